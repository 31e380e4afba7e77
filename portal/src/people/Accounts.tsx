import { Button, Field, Input, Text } from "@fluentui/react-components";
import { AddRegular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Column } from "../grid/Grid";
import { agoText, numberText, whenText } from "../moments";
import { Drawer } from "../states/Drawer";
import { Facts } from "../states/Facts";
import { Sheet } from "../states/Sheet";
import { visible } from "../text";
import { type Account, groupsText, LISTS, SHORTEST } from "./access";
import { Commands } from "./Commands";
import { Password } from "./Password";
import { Rights } from "./Rights";
import { Section } from "./Section";
import type { TabProps } from "./tabs";
import { useChange } from "./useChange";

const COLUMNS: Column<Account>[] = [
  { id: "name", label: "Name", width: "minmax(10rem, 2fr)", text: (one) => one.name },
  { id: "role", label: "Role", width: "8rem", text: (one) => one.role },
  { id: "groups", label: "Machine groups", width: "minmax(9rem, 2fr)", text: (one) => groupsText(one.machineGroups) },
  {
    id: "signed",
    label: "Last sign-in",
    width: "10rem",
    text: (one) => (one.lastSignIn ? agoText(one.lastSignIn) : "never"),
  },
  { id: "sessions", label: "Sessions", width: "7rem", text: (one) => numberText(one.sessions) },
  { id: "made", label: "Made", width: "11rem", text: (one) => whenText(one.createdAt) },
];

const pathOf = (name: string) => `/api/v1/accounts/${encodeURIComponent(name)}`;

type Doing = "create" | "rights" | "password" | "sessions" | "remove";

export function Accounts({ selected, select }: TabProps) {
  const found = useQuery(LISTS.accounts);
  const [doing, setDoing] = useState<Doing | null>(null);
  const chosen = found.data?.find((one) => one.name === selected);
  const close = () => setDoing(null);
  const owners = found.data?.filter((one) => one.role === "Owner").length ?? 0;
  return (
    <Section
      label="Accounts"
      commands={
        <Button icon={<AddRegular />} appearance="primary" onClick={() => setDoing("create")}>
          Create account
        </Button>
      }
      found={found}
      columns={COLUMNS}
      keyOf={(one) => one.name}
      selected={selected}
      select={select}
      empty="No accounts yet: whoever signs in does so by a link or an API token. Create an account for each person, so that the audit log says who did what."
      status={found.data ? `Accounts: ${numberText(found.data.length)}, of which Owners: ${numberText(owners)}` : ""}
      details={(one) => (
        <Drawer of="Account" title={visible(one.name)} close={() => select(null)}>
          <Commands>
            <Button onClick={() => setDoing("rights")}>Change role</Button>
            <Button onClick={() => setDoing("password")}>Set password</Button>
            <Button onClick={() => setDoing("sessions")}>End sessions</Button>
            <Button onClick={() => setDoing("remove")}>Remove</Button>
          </Commands>
          <Facts
            facts={[
              ["Role", one.role],
              ["Machine groups", groupsText(one.machineGroups)],
              ["Last sign-in", one.lastSignIn ? whenText(one.lastSignIn) : "never"],
              ["Open sessions", numberText(one.sessions)],
              ["Made", `${whenText(one.createdAt)} by ${visible(one.createdBy)}`],
            ]}
          />
        </Drawer>
      )}
    >
      {doing === "create" && <Create close={close} select={select} />}
      {chosen && doing === "rights" && <ChangeRights account={chosen} close={close} />}
      {chosen && doing === "password" && <SetPassword account={chosen} close={close} />}
      {chosen && (doing === "sessions" || doing === "remove") && (
        <End account={chosen} how={doing} close={close} gone={() => select(null)} />
      )}
    </Section>
  );
}

function Create({ close, select }: { close: () => void; select: (name: string) => void }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [rights, setRights] = useState<{ role: string; groups: string[] | null }>({ role: "Reader", groups: null });
  const change = useChange<Account>(["accounts"], (made) => {
    close();
    select(made.name);
  });
  const body = { name, password, role: rights.role, machineGroups: rights.groups };
  return (
    <Sheet
      title="Create account"
      action="Create"
      act={() => change.mutate({ method: "POST", path: "/api/v1/accounts", body })}
      close={close}
      busy={change.isPending}
      error={change.error}
      ready={name !== "" && password.length >= SHORTEST}
    >
      <Field label="Name" hint="Letters, digits and .@+-_, such as ada or ada@example.com.">
        <Input value={name} onChange={(_, { value }) => setName(value)} autoComplete="off" />
      </Field>
      <Password value={password} onChange={setPassword} />
      <Rights value={rights} onChange={setRights} />
    </Sheet>
  );
}

function ChangeRights({ account, close }: { account: Account; close: () => void }) {
  const [rights, setRights] = useState({ role: account.role, groups: account.machineGroups });
  const change = useChange(["accounts", "session"], close);
  const body = { role: rights.role, machineGroups: rights.groups };
  return (
    <Sheet
      title={`Change role of ${visible(account.name)}`}
      action="Change"
      act={() => change.mutate({ method: "PUT", path: pathOf(account.name), body })}
      close={close}
      busy={change.isPending}
      error={change.error}
    >
      <Text>It counts from the next thing that {visible(account.name)} asks for.</Text>
      <Rights value={rights} onChange={setRights} />
    </Sheet>
  );
}

function SetPassword({ account, close }: { account: Account; close: () => void }) {
  const [password, setPassword] = useState("");
  const change = useChange(["accounts"], close);
  return (
    <Sheet
      title={`Set password of ${visible(account.name)}`}
      action="Set password"
      act={() => change.mutate({ method: "PUT", path: `${pathOf(account.name)}/password`, body: { password } })}
      close={close}
      busy={change.isPending}
      error={change.error}
      ready={password.length >= SHORTEST}
    >
      <Text>Every session of the account ends; whoever works under it signs in anew.</Text>
      <Password label="New password" value={password} onChange={setPassword} />
    </Sheet>
  );
}

interface EndProps {
  account: Account;
  how: "sessions" | "remove";
  close: () => void;
  gone: () => void;
}

function End({ account, how, close, gone }: EndProps) {
  const name = visible(account.name);
  const change = useChange(["accounts"], () => {
    close();
    if (how === "remove") gone();
  });
  const path = how === "remove" ? pathOf(account.name) : `${pathOf(account.name)}/sessions`;
  return (
    <Sheet
      title={how === "remove" ? `Remove ${name}?` : `End sessions of ${name}?`}
      action={how === "remove" ? "Remove" : "End sessions"}
      act={() => change.mutate({ method: "DELETE", path })}
      close={close}
      busy={change.isPending}
      error={change.error}
    >
      <Text>
        {how === "remove"
          ? "The account and its sessions end at once. What it did stays in the audit log; its API tokens stay, too."
          : "Every browser that works under this account must sign in again. Its password stays."}
      </Text>
    </Sheet>
  );
}
