/** What programs and machines sign in with: API tokens, enrolment tokens, and the senders behind some of them. */
import { Button, Dropdown, Field, Input, Option, Text } from "@fluentui/react-components";
import { AddRegular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { request } from "../api/client";
import type { Column } from "../grid/Grid";
import { agoText, numberText, whenText } from "../moments";
import { Drawer } from "../states/Drawer";
import { Facts } from "../states/Facts";
import { Sheet, ShownOnce } from "../states/Sheet";
import { visible } from "../text";
import { type EnrollmentToken, groupsText, LISTS, ROLES, type Sender, type Token } from "./access";
import { Commands } from "./Commands";
import { Rights } from "./Rights";
import { Section } from "./Section";
import type { TabProps } from "./tabs";
import { useChange } from "./useChange";

/** The installation's own token, which its server makes. */
const LOCAL = "local";

/** One line: a token of any kind, or a sender. */
type Line =
  | { kind: "API token"; token: Token }
  | { kind: "Enrolment token"; token: EnrollmentToken }
  | { kind: "Sender"; sender: Sender };

const keyOf = (line: Line) => `${line.kind}:${line.kind === "Sender" ? line.sender.id : line.token.id}`;

function nameOf(line: Line): string {
  if (line.kind === "Sender") return line.sender.name;
  return line.kind === "API token" ? line.token.name : `for ${line.token.machineGroup}`;
}

function groupOf(line: Line): string {
  if (line.kind === "Sender") return line.sender.machineGroup;
  return line.kind === "API token" ? groupsText(line.token.machineGroups) : line.token.machineGroup;
}

function mayText(line: Line): string {
  if (line.kind === "API token") return line.token.rule ? `Sender to ${line.token.rule}` : line.token.role;
  if (line.kind === "Enrolment token") return `enrols ${numberText(line.token.usesLeft)} more`;
  return line.sender.rule ? `sends to ${line.sender.rule}` : "its rule is gone";
}

function endText(line: Line, now = Date.now()): string {
  if (line.kind === "Sender") return "";
  if (!line.token.expiresAt) return "never";
  return Date.parse(line.token.expiresAt) < now ? "over" : agoText(line.token.expiresAt);
}

function usedText(line: Line): string {
  if (line.kind !== "API token") return "";
  return line.token.lastUsed ? agoText(line.token.lastUsed) : "never";
}

const COLUMNS: Column<Line>[] = [
  { id: "name", label: "Name", width: "minmax(10rem, 2fr)", text: nameOf },
  { id: "kind", label: "Kind", width: "9rem", text: (line) => line.kind },
  { id: "may", label: "May", width: "minmax(9rem, 2fr)", text: mayText },
  { id: "groups", label: "Machine groups", width: "minmax(8rem, 1fr)", text: groupOf },
  { id: "expires", label: "Expires", width: "8rem", text: (line) => endText(line) },
  { id: "used", label: "Last used", width: "9rem", text: usedText },
];

export function Tokens({ selected, select }: TabProps) {
  const tokens = useQuery(LISTS.tokens);
  const enrollment = useQuery(LISTS.enrollment);
  const senders = useQuery(LISTS.senders);
  const [creating, setCreating] = useState(false);
  const [ending, setEnding] = useState(false);
  const [secret, setSecret] = useState("");
  const all = [tokens, enrollment, senders];
  const lines: Line[] | undefined =
    tokens.data && enrollment.data && senders.data
      ? [
          ...tokens.data.map((token): Line => ({ kind: "API token", token })),
          ...enrollment.data.map((token): Line => ({ kind: "Enrolment token", token })),
          ...senders.data.map((sender): Line => ({ kind: "Sender", sender })),
        ]
      : undefined;
  const chosen = lines?.find((line) => keyOf(line) === selected);
  return (
    <Section
      label="API tokens"
      commands={
        <Button icon={<AddRegular />} appearance="primary" onClick={() => setCreating(true)}>
          Create token
        </Button>
      }
      found={{
        data: lines,
        error: all.find((one) => one.error)?.error ?? null,
        isPending: all.some((one) => one.isPending),
        refetch: () => all.map((one) => one.refetch()),
      }}
      columns={COLUMNS}
      keyOf={keyOf}
      selected={selected}
      select={select}
      empty="No tokens."
      status={
        lines
          ? `API tokens: ${numberText(tokens.data?.length ?? 0)}, enrolment tokens: ${numberText(enrollment.data?.length ?? 0)}, senders: ${numberText(senders.data?.length ?? 0)}`
          : ""
      }
      details={(line) => (
        <Drawer of={line.kind} title={visible(nameOf(line))} close={() => select(null)}>
          {line.kind === "API token" && line.token.id === LOCAL ? (
            <Text>
              The server's own, in the file local.token of its folder. Remove the file and start the server anew to get
              another one.
            </Text>
          ) : (
            <Commands>
              <Button onClick={() => setEnding(true)}>{ENDS[line.kind].label}</Button>
            </Commands>
          )}
          <Facts facts={factsOf(line)} />
        </Drawer>
      )}
    >
      {creating && (
        <Create
          close={() => setCreating(false)}
          made={(token) => {
            setCreating(false);
            setSecret(token);
          }}
        />
      )}
      {secret && (
        <ShownOnce title="The new token" secret={secret} close={() => setSecret("")}>
          <Text>It is shown this once. Programs send it as “Authorization: Bearer …”.</Text>
        </ShownOnce>
      )}
      {chosen && ending && (
        <End
          line={chosen}
          close={() => setEnding(false)}
          gone={() => {
            setEnding(false);
            select(null);
          }}
        />
      )}
    </Section>
  );
}

function factsOf(line: Line): [string, string][] {
  const common: [string, string][] = [
    ["May", visible(mayText(line))],
    ["Machine groups", visible(groupOf(line))],
  ];
  if (line.kind === "Sender") {
    return [
      ...common,
      ["Tokens", numberText(line.sender.tokens)],
      ["Made", whenText(line.sender.createdAt)],
      ["Id", line.sender.id],
    ];
  }
  return [
    ...common,
    ...(line.kind === "Enrolment token"
      ? ([["Rules it gives", line.token.rules.map(visible).join(", ")]] as [string, string][])
      : ([["Last used", line.token.lastUsed ? whenText(line.token.lastUsed) : "never"]] as [string, string][])),
    ["Expires", line.token.expiresAt ? whenText(line.token.expiresAt) : "never"],
    ["Made", `${whenText(line.token.createdAt)} by ${visible(line.token.createdBy)}`],
    ["Id", line.token.id],
  ];
}

/** What ends each of them, and what that means. */
const ENDS = {
  "API token": {
    label: "Remove",
    path: "/api/v1/tokens/",
    means: "Programs that use it are refused at once, and browsers that signed in with it.",
  },
  "Enrolment token": {
    label: "Revoke",
    path: "/api/v1/enrollment-tokens/",
    means: "No machine enrols with it any more. Those that did stay.",
  },
  Sender: {
    label: "Purge",
    path: "/api/v1/senders/",
    means: "Its tokens are refused at once, and everything that it ever sent is deleted. This cannot be undone.",
  },
} as const;

function End({ line, close, gone }: { line: Line; close: () => void; gone: () => void }) {
  const end = ENDS[line.kind];
  const change = useChange(["tokens", "enrollment-tokens", "senders"], gone);
  const id = line.kind === "Sender" ? line.sender.id : line.token.id;
  return (
    <Sheet
      title={`${end.label} ${visible(nameOf(line))}?`}
      action={end.label}
      act={() => change.mutate({ method: "DELETE", path: `${end.path}${encodeURIComponent(id)}` })}
      close={close}
      busy={change.isPending}
      error={change.error}
      {...(line.kind === "Sender" ? { typed: line.sender.name } : {})}
    >
      <Text>{end.means}</Text>
    </Sheet>
  );
}

/** Choices of how long a token is good, in days. */
const TERMS: Record<string, number | null> = { "30 days": 30, "90 days": 90, "1 year": 365, Never: null };

function Create({ close, made }: { close: () => void; made: (token: string) => void }) {
  const [name, setName] = useState("");
  const [rights, setRights] = useState<{ role: string; groups: string[] | null }>({ role: "Reader", groups: null });
  const [term, setTerm] = useState("90 days");
  const [rule, setRule] = useState("");
  const rules = useQuery({
    queryKey: ["rule-names"],
    queryFn: async ({ signal }) =>
      (await request<{ value: { name: string }[] }>("GET", "/api/v1/rules", { signal })).value.map((one) => one.name),
  });
  const change = useChange<{ token: string }>(["tokens", "senders"], ({ token }) => made(token));
  const sends = rights.role === "Sender";
  const create = () => {
    const days = TERMS[term];
    const expiresAt = days ? new Date(Date.now() + days * 86_400_000).toISOString() : null;
    const body = { name, role: rights.role, machineGroups: rights.groups, expiresAt, ...(sends ? { rule } : {}) };
    change.mutate({ method: "POST", path: "/api/v1/tokens", body });
  };
  return (
    <Sheet
      title="Create token"
      action="Create"
      act={create}
      close={close}
      busy={change.isPending}
      error={change.error}
      ready={name !== "" && (!sends || rule !== "")}
    >
      <Field label="Name" hint="What it is for: whoever reads the audit log sees it.">
        <Input value={name} maxLength={128} onChange={(_, { value }) => setName(value)} autoComplete="off" />
      </Field>
      <Rights value={rights} onChange={setRights} roles={[...Object.keys(ROLES), "Sender"]} />
      {sends && (
        <Field label="Rule" hint="The data collection rule that it may send to.">
          <Dropdown
            value={rule}
            selectedOptions={rule ? [rule] : []}
            onOptionSelect={(_, { optionValue }) => setRule(optionValue ?? "")}
          >
            {(rules.data ?? []).map((one) => (
              <Option key={one} value={one}>
                {one}
              </Option>
            ))}
          </Dropdown>
        </Field>
      )}
      <Field label="Good for">
        <Dropdown
          value={term}
          selectedOptions={[term]}
          onOptionSelect={(_, { optionValue }) => setTerm(optionValue ?? "90 days")}
        >
          {Object.keys(TERMS).map((one) => (
            <Option key={one} value={one}>
              {one}
            </Option>
          ))}
        </Dropdown>
      </Field>
    </Sheet>
  );
}
