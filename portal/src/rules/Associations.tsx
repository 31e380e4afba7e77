import {
  Button,
  Combobox,
  Field,
  makeStyles,
  Option,
  Radio,
  RadioGroup,
  Text,
  tokens,
} from "@fluentui/react-components";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Machine, Session } from "../api/client";
import { Name } from "../states/Name";
import { Problem } from "../states/Problem";
import { visible } from "../text";
import { MachinePicker } from "./MachinePicker";
import { type Association, associate, dissociate, type Known, mayAssociate, type Rule } from "./rules";

const useStyles = makeStyles({
  list: { listStyle: "none", margin: 0, padding: 0, display: "flex", flexDirection: "column" },
  line: {
    display: "flex",
    alignItems: "center",
    justifyContent: "space-between",
    columnGap: tokens.spacingHorizontalM,
    padding: `${tokens.spacingVerticalXS} 0`,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
    overflowWrap: "anywhere",
  },
  remove: { flexShrink: 0 },
  form: { display: "flex", flexDirection: "column", rowGap: tokens.spacingVerticalS, maxWidth: "24rem" },
});

interface AssociationsProps {
  rule: Rule;
  all: Known;
  session: Session;
}

export function Associations({ rule, all, session }: AssociationsProps) {
  const styles = useStyles();
  const client = useQueryClient();
  const [removing, setRemoving] = useState("");
  const mine = all.associations.filter((one) => one.rule === rule.name);
  const removal = useMutation({
    mutationFn: dissociate,
    onSettled: () => {
      setRemoving("");
      return client.invalidateQueries({ queryKey: ["rules"] });
    },
  });
  const machineOf = (one: Association) => all.machines.find((machine) => machine.id === one.machine);
  const nameOf = (one: Association) =>
    one.group !== null ? `Group ${one.group}` : `Machine ${machineOf(one)?.computer ?? one.machine}`;
  const count = (one: Association) => all.machines.filter((machine) => machine.machineGroup === one.group).length;
  return (
    <>
      {mine.length === 0 && (
        <Text>
          The rule is associated with nothing{session.machineGroups ? " that you may see" : ""}: it collects nothing.
        </Text>
      )}
      <ul className={styles.list} aria-label="Associations">
        {mine.map((one) => (
          <li key={one.name} className={styles.line}>
            <span>
              <Name text={nameOf(one)} />
              {one.group !== null && ` (${count(one)} machine${count(one) === 1 ? "" : "s"})`}
            </span>
            {mayAssociate(session) &&
              (removing === one.name ? (
                <span>
                  <Button
                    size="small"
                    appearance="primary"
                    disabled={removal.isPending}
                    onClick={() => removal.mutate(one.name)}
                  >
                    Remove it
                  </Button>{" "}
                  <Button size="small" onClick={() => setRemoving("")}>
                    Keep it
                  </Button>
                </span>
              ) : (
                <Button
                  size="small"
                  className={styles.remove}
                  aria-label={`Remove ${visible(nameOf(one))}`}
                  onClick={() => setRemoving(one.name)}
                >
                  Remove
                </Button>
              ))}
          </li>
        ))}
      </ul>
      {removing && (
        <Text role="status">What only this rule collects there leaves the inventory; no change is told of it.</Text>
      )}
      {removal.error && <Problem error={removal.error} />}
      {mayAssociate(session) && <Add rule={rule} all={all} session={session} />}
    </>
  );
}

function Add({ rule, all, session }: AssociationsProps) {
  const styles = useStyles();
  const client = useQueryClient();
  const [to, setTo] = useState<"group" | "machine">("group");
  const [group, setGroup] = useState("");
  const [machine, setMachine] = useState<Machine | null>(null);
  const mine = all.associations.filter((one) => one.rule === rule.name);
  const known = [...all.machines.map((one) => one.machineGroup), ...all.associations.map((one) => one.group ?? "")];
  const groups = session.machineGroups ?? [...new Set(known)].filter(Boolean).sort();
  const doubled =
    to === "group"
      ? mine.some((one) => one.group === group.toLowerCase())
      : mine.some((one) => one.machine === machine?.id);
  const addition = useMutation({
    mutationFn: () =>
      to === "group"
        ? associate(all.associations, { rule: rule.name, group }, group)
        : associate(all.associations, { rule: rule.name, machine: machine?.id ?? "" }, machine?.computer ?? ""),
    onSuccess: () => {
      setGroup("");
      setMachine(null);
      return client.invalidateQueries({ queryKey: ["rules"] });
    },
  });
  const ready = to === "group" ? Boolean(group) : Boolean(machine);
  return (
    <form
      className={styles.form}
      onSubmit={(event) => {
        event.preventDefault();
        addition.mutate();
      }}
    >
      <Field label="Associate with">
        <RadioGroup layout="horizontal" value={to} onChange={(_, { value }) => setTo(value as "group" | "machine")}>
          <Radio value="group" label="a machine group" />
          <Radio value="machine" label="one machine" />
        </RadioGroup>
      </Field>
      {to === "group" ? (
        <Field
          label="Group"
          hint={
            session.machineGroups ? "One of yours." : "One that is there, or a new one that machines will enrol into."
          }
        >
          <Combobox
            freeform={!session.machineGroups}
            value={group}
            selectedOptions={group ? [group] : []}
            onChange={(event) => setGroup(event.target.value)}
            onOptionSelect={(_, { optionValue }) => setGroup(optionValue ?? "")}
          >
            {groups
              .filter((one) => session.machineGroups || one.includes(group.toLowerCase()))
              .map((one) => (
                <Option key={one} value={one}>
                  {one}
                </Option>
              ))}
          </Combobox>
        </Field>
      ) : (
        <Field label="Machine">
          <MachinePicker
            machines={all.machines.filter((one) => one.status === "active")}
            chosen={machine}
            choose={setMachine}
          />
        </Field>
      )}
      {doubled && <Text>It is associated with this already.</Text>}
      {addition.error && <Problem error={addition.error} />}
      <div>
        <Button type="submit" appearance="primary" disabled={!ready || doubled || addition.isPending}>
          Associate
        </Button>
      </div>
    </form>
  );
}
