import { Button, Dropdown, Field, Input, Option, Text } from "@fluentui/react-components";
import { AddRegular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Machine, request, type Schemas } from "../api/client";
import type { Column } from "../grid/Grid";
import { numberText, whenText } from "../moments";
import { Drawer } from "../states/Drawer";
import { Facts } from "../states/Facts";
import { Sheet } from "../states/Sheet";
import { visible } from "../text";
import { type Group, LISTS } from "./access";
import { Commands } from "./Commands";
import { Section } from "./Section";
import type { TabProps } from "./tabs";
import { useChange } from "./useChange";

const COLUMNS: Column<Group>[] = [
  { id: "name", label: "Machine group", width: "minmax(10rem, 2fr)", text: (group) => group.name },
  { id: "machines", label: "Machines", width: "8rem", text: (group) => numberText(group.machines) },
  { id: "senders", label: "Senders", width: "8rem", text: (group) => numberText(group.senders) },
  {
    id: "rules",
    label: "Associated rules",
    width: "minmax(12rem, 3fr)",
    text: (group) => group.rules.join(", ") || "none",
  },
  { id: "made", label: "Made", width: "11rem", text: (group) => whenText(group.createdAt) },
];

const byName = (left: Machine, right: Machine) => left.computer.localeCompare(right.computer);

export function Groups({ session, selected, select }: TabProps) {
  const found = useQuery(LISTS.groups);
  const [doing, setDoing] = useState<"create" | "move" | "remove" | null>(null);
  const chosen = found.data?.find((group) => group.name === selected);
  const mayChange = session.role === "Owner";
  const close = () => setDoing(null);
  return (
    <Section
      label="Machine groups"
      commands={
        mayChange && (
          <Button icon={<AddRegular />} appearance="primary" onClick={() => setDoing("create")}>
            Create group
          </Button>
        )
      }
      found={found}
      columns={COLUMNS}
      keyOf={(group) => group.name}
      selected={selected}
      select={select}
      empty="No machine groups yet: one comes to be with the first enrolment token that names it."
      status={found.data ? `Machine groups: ${numberText(found.data.length)}` : ""}
      details={(group) => (
        <Drawer of="Machine group" title={visible(group.name)} close={() => select(null)}>
          {mayChange && (
            <Commands>
              <Button onClick={() => setDoing("move")}>Move a machine here</Button>
              <Button onClick={() => setDoing("remove")}>Remove</Button>
            </Commands>
          )}
          <Facts
            facts={[
              ["Machines", numberText(group.machines)],
              ["Senders", numberText(group.senders)],
              ["Enrolment tokens", numberText(group.enrollmentTokens)],
              ["Associated rules", group.rules.map(visible).join(", ") || "none"],
              ["Made", whenText(group.createdAt)],
            ]}
          />
          <MachinesOf group={group.name} />
        </Drawer>
      )}
    >
      {doing === "create" && <Create close={close} select={select} />}
      {chosen && doing === "move" && <Move group={chosen.name} close={close} />}
      {chosen && doing === "remove" && <Remove group={chosen.name} close={close} gone={() => select(null)} />}
    </Section>
  );
}

const MACHINES = {
  queryKey: ["machines"],
  queryFn: async ({ signal }: { signal: AbortSignal }) =>
    (await request<Schemas["Machines"]>("GET", "/api/v1/machines", { signal })).value,
};
const MOST_NAMES = 50;

function MachinesOf({ group }: { group: string }) {
  const machines = useQuery(MACHINES);
  const mine = (machines.data ?? []).filter((machine) => machine.machineGroup === group).sort(byName);
  if (!mine.length) return null;
  const rest = mine.length - MOST_NAMES;
  return (
    <Text>
      {mine
        .slice(0, MOST_NAMES)
        .map((machine) => visible(machine.computer))
        .join(", ")}
      {rest > 0 ? ` and ${numberText(rest)} more` : ""}
    </Text>
  );
}

function Create({ close, select }: { close: () => void; select: (name: string) => void }) {
  const [name, setName] = useState("");
  const change = useChange<{ name: string }>(["groups"], (made) => {
    close();
    select(made.name);
  });
  const path = `/api/v1/machine-groups/${encodeURIComponent(name)}`;
  return (
    <Sheet
      title="Create group"
      action="Create"
      act={() => change.mutate({ method: "PUT", path })}
      close={close}
      busy={change.isPending}
      error={change.error}
      ready={name !== ""}
    >
      <Field
        label="Name"
        hint="Letters, digits and -_.(); small letters, as in ARM ids that are compared without case."
      >
        <Input value={name} maxLength={90} onChange={(_, { value }) => setName(value)} autoComplete="off" />
      </Field>
    </Sheet>
  );
}

function Move({ group, close }: { group: string; close: () => void }) {
  const machines = useQuery(MACHINES);
  const [id, setId] = useState("");
  const change = useChange(["groups", "machines", "fleet"], close);
  const others = (machines.data ?? []).filter((machine) => machine.machineGroup !== group).sort(byName);
  const shown = (machine: Machine) => `${visible(machine.computer)} (${visible(machine.machineGroup)})`;
  const chosen = others.find((machine) => machine.id === id);
  return (
    <Sheet
      title={`Move a machine to ${visible(group)}`}
      action="Move"
      act={() => change.mutate({ method: "PUT", path: `/api/v1/machines/${id}/group`, body: { group } })}
      close={close}
      busy={change.isPending}
      error={change.error}
      ready={id !== ""}
    >
      <Field label="Machine">
        <Dropdown
          value={chosen ? shown(chosen) : ""}
          selectedOptions={id ? [id] : []}
          onOptionSelect={(_, { optionValue }) => setId(optionValue ?? "")}
        >
          {others.map((machine) => (
            <Option key={machine.id} value={machine.id} text={shown(machine)}>
              {shown(machine)}
            </Option>
          ))}
        </Dropdown>
      </Field>
      <Text>
        Whoever may see {visible(group)} sees everything that the machine ever sent; whoever may see only its former
        group sees nothing of it any more. Rules of the former group end and those of {visible(group)} begin at once;
        rules of the machine itself stay. Records of other programs that no rule takes then are refused. Stored rows
        keep the resource id that they came with.
      </Text>
    </Sheet>
  );
}

function Remove({ group, close, gone }: { group: string; close: () => void; gone: () => void }) {
  const change = useChange(["groups"], () => {
    close();
    gone();
  });
  return (
    <Sheet
      title={`Remove ${visible(group)}?`}
      action="Remove"
      act={() => change.mutate({ method: "DELETE", path: `/api/v1/machine-groups/${encodeURIComponent(group)}` })}
      close={close}
      busy={change.isPending}
      error={change.error}
    >
      <Text>Only an empty group goes: without machines, senders, enrolment tokens and associations.</Text>
    </Sheet>
  );
}
