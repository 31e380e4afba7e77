import { Badge, Button, makeStyles, Spinner, Text, tokens } from "@fluentui/react-components";
import { AddRegular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import type { Machine } from "../api/client";
import { FilterBar } from "../filter/FilterBar";
import { useFilter } from "../filter/useFilter";
import { type Column, Grid } from "../grid/Grid";
import { go, usePlace } from "../location";
import { agoText } from "../moments";
import { Heading } from "../shell/Heading";
import type { PageProps } from "../shell/page";
import { Problem } from "../states/Problem";
import { WhyEmpty } from "../states/WhyEmpty";
import { visible } from "../text";
import { Enrol } from "./Enrol";
import { MachineDetails } from "./MachineDetails";
import { type Fleet, fleet, STATE_COLORS, stateOf } from "./state";

const useStyles = makeStyles({
  place: { display: "flex", flexGrow: 1, minHeight: 0 },
  list: { display: "flex", flexDirection: "column", flexGrow: 1, minWidth: 0, minHeight: 0 },
  foot: {
    padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalM}`,
    backgroundColor: tokens.colorNeutralBackground1,
    borderTop: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  card: { display: "flex", flexDirection: "column", minWidth: 0, overflow: "hidden" },
  clip: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap", display: "block" },
});

export function StateBadge({ machine }: { machine: Machine }) {
  const state = stateOf(machine);
  return (
    <Badge appearance="tint" color={STATE_COLORS[state]}>
      {state}
    </Badge>
  );
}

function troublesText(known: Fleet, machine: Machine): string {
  const rows = known.troubles.get(machine.id) ?? [];
  const errors = rows.filter((row) => row["Status"] === "Error").length;
  const words = [errors ? `${errors} errors` : "", rows.length > errors ? `${rows.length - errors} warnings` : ""];
  return words.filter(Boolean).join(", ") || "well";
}

function columnsOf(known: Fleet): Column<Machine>[] {
  return [
    {
      id: "computer",
      label: "Machine",
      width: "minmax(8rem, 2fr)",
      text: (machine) => machine.computer,
      field: "machine",
    },
    {
      id: "state",
      label: "State",
      width: "8rem",
      text: stateOf,
      look: (machine) => <StateBadge machine={machine} />,
    },
    { id: "os", label: "System", width: "minmax(9rem, 2fr)", text: (machine) => machine.osName || machine.osType },
    { id: "version", label: "Agent", width: "6rem", text: (machine) => machine.agentVersion },
    { id: "contact", label: "Last contact", width: "10rem", text: (machine) => agoText(machine.lastContact) },
    { id: "group", label: "Group", width: "minmax(6rem, 1fr)", text: (machine) => machine.machineGroup },
    {
      id: "rules",
      label: "Rules",
      width: "minmax(7rem, 1fr)",
      text: (machine) => known.rules.get(machine.id)?.join(", ") || "none",
    },
    { id: "health", label: "Health", width: "11rem", text: (machine) => troublesText(known, machine) },
  ];
}

export default function Machines({ session }: PageProps) {
  const styles = useStyles();
  const { path, query } = usePlace();
  const { filter, narrow } = useFilter();
  const [enrolling, setEnrolling] = useState(false);
  const selected = query.get("id") ?? undefined;
  const found = useQuery({ queryKey: ["fleet"], queryFn: ({ signal }) => fleet(signal), refetchInterval: 15_000 });
  const known = found.data;

  const shown = useMemo(() => {
    const text = filter.text.toLowerCase();
    const named = filter.conditions.filter((condition) => condition.field === "machine");
    return (known?.machines ?? []).filter(
      (machine) =>
        named.every(({ values, not }) => values.includes(machine.computer) !== not) &&
        [machine.computer, machine.name, machine.osName, machine.machineGroup, machine.id, stateOf(machine)].some(
          (one) => one.toLowerCase().includes(text),
        ),
    );
  }, [known, filter]);
  const lines = useMemo(() => shown.map((machine) => ({ key: machine.id, row: machine })), [shown]);
  const columns = useMemo(() => (known ? columnsOf(known) : []), [known]);
  const chosen = known?.machines.find((machine) => machine.id === selected);
  const select = (id: string | null) => {
    const next = new URLSearchParams(query);
    if (id) next.set("id", id);
    else next.delete("id");
    go(path, next);
  };

  return (
    <>
      <Heading>Machines</Heading>
      <FilterBar table="ConfigurationData" timed={false}>
        {session.role === "Owner" && (
          <Button icon={<AddRegular />} appearance="primary" onClick={() => setEnrolling(true)}>
            Enrol
          </Button>
        )}
      </FilterBar>
      {enrolling && <Enrol close={() => setEnrolling(false)} />}
      <div className={styles.place}>
        <div className={styles.list}>
          {found.error && <Problem error={found.error} again={() => void found.refetch()} />}
          {found.isPending && <Spinner label="Looking for machines" />}
          {known && !shown.length && <WhyEmpty filter={filter} table="ConfigurationData" of="machines" />}
          {known && shown.length > 0 && (
            <Grid
              label="Machines"
              columns={columns}
              lines={lines}
              narrow={narrow}
              selected={selected}
              open={(machine) => select(machine.id)}
              card={(machine) => (
                <div className={styles.card}>
                  <Text weight="semibold" className={styles.clip}>
                    {visible(machine.computer)}
                  </Text>
                  <Text size={200} className={styles.clip}>
                    <StateBadge machine={machine} /> {agoText(machine.lastContact)} · {troublesText(known, machine)}
                  </Text>
                </div>
              )}
            />
          )}
          <footer className={styles.foot}>
            <Text size={200} role="status">
              {known ? `${shown.length} of ${known.machines.length} machines` : ""}
            </Text>
          </footer>
        </div>
        {known && chosen && (
          <MachineDetails
            machine={chosen}
            rules={known.rules.get(chosen.id) ?? []}
            troubles={known.troubles.get(chosen.id) ?? []}
            role={session.role}
            close={() => select(null)}
          />
        )}
      </div>
    </>
  );
}
