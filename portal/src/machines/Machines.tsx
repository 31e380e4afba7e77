import { Badge, Button, Dropdown, makeStyles, Option, Subtitle1, Tag, Text, tokens } from "@fluentui/react-components";
import { AddRegular } from "@fluentui/react-icons";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import type { Machine, Row } from "../api/client";
import { FilterBar } from "../filter/FilterBar";
import { useFilter } from "../filter/useFilter";
import { Card } from "../grid/Card";
import { ColumnChooser, useColumns } from "../grid/Columns";
import { type Column, Grid, type Order } from "../grid/Grid";
import { List } from "../grid/List";
import { orderOf, orderText } from "../grid/order";
import { go, usePlace } from "../location";
import { agoText, numberText, whenText } from "../moments";
import { Heading } from "../shell/Heading";
import type { PageProps } from "../shell/page";
import { WhyEmpty } from "../states/WhyEmpty";
import { Enrol } from "./Enrol";
import { byReason, machinePage, oneMachine, reasonText } from "./list";
import { MachineDetails } from "./MachineDetails";
import { STATE_COLORS, stateOf } from "./state";

/** Pages that are looked at again by themselves: further down nobody waits for the state of a machine. */
const MOST_PAGES = 3;

const useStyles = makeStyles({
  state: { minWidth: "9rem" },
  none: {
    margin: "0 auto",
    padding: tokens.spacingHorizontalXL,
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalM,
  },
});

export function StateBadge({ machine }: { machine: Machine }) {
  const state = stateOf(machine);
  return (
    <Badge appearance="tint" color={STATE_COLORS[state]}>
      {state}
    </Badge>
  );
}

function troublesText(known: Row[] | undefined): string {
  const words = byReason(known ?? []).map(
    ({ reason, rows }) => `${reasonText(reason)}${rows.length > 1 ? ` (${numberText(rows.length)})` : ""}`,
  );
  return words.join(", ") || "well";
}

/** A machine, with what is not well with it. */
interface Entry {
  machine: Machine;
  troubles: Row[] | undefined;
}

const of = (text: (machine: Machine) => string) => (entry: Entry) => text(entry.machine);

const COLUMNS: Column<Entry>[] = [
  {
    id: "computer",
    label: "Machine",
    width: "minmax(8rem, 2fr)",
    text: of((machine) => machine.computer),
    field: "machine",
    sorts: true,
  },
  {
    id: "state",
    label: "State",
    width: "9rem",
    text: of(stateOf),
    look: (entry) => <StateBadge machine={entry.machine} />,
    sorts: true,
  },
  {
    id: "osName",
    label: "System",
    width: "minmax(9rem, 2fr)",
    text: of((machine) => machine.osName || machine.osType),
    sorts: true,
  },
  { id: "agentVersion", label: "Agent", width: "6rem", text: of((machine) => machine.agentVersion), sorts: true },
  {
    id: "lastContact",
    label: "Last contact",
    width: "10rem",
    text: of((machine) => agoText(machine.lastContact)),
    sorts: true,
  },
  {
    id: "machineGroup",
    label: "Group",
    width: "minmax(6rem, 1fr)",
    text: of((machine) => machine.machineGroup),
    sorts: true,
  },
  {
    id: "rules",
    label: "Rules",
    width: "minmax(7rem, 1fr)",
    text: of((machine) => machine.rules?.join(", ") || "none"),
  },
  { id: "health", label: "Health", width: "minmax(11rem, 2fr)", text: (entry) => troublesText(entry.troubles) },
  { id: "osType", label: "Kind of system", width: "8rem", text: of((machine) => machine.osType), extra: true },
  {
    id: "enrolledAt",
    label: "Enrolled",
    width: "12rem",
    text: of((machine) => whenText(machine.enrolledAt)),
    extra: true,
  },
  {
    id: "contactAt",
    label: "Last contact at",
    width: "12rem",
    text: of((machine) => whenText(machine.lastContact)),
    extra: true,
  },
  {
    id: "silentSince",
    label: "Silent since",
    width: "12rem",
    text: of((machine) => whenText(machine.silentSince)),
    extra: true,
  },
  { id: "id", label: "Machine id", width: "19rem", text: of((machine) => machine.id), extra: true },
  { id: "vmUuid", label: "Hardware id", width: "19rem", text: of((machine) => machine.vmUuid), extra: true },
  { id: "resourceId", label: "Resource id", width: "24rem", text: of((machine) => machine.resourceId), extra: true },
];

const BY_NAME: Order = { column: "computer", descending: false };
const ANY = "any";
const USED = ["machine"] as const;

export default function Machines({ session }: PageProps) {
  const styles = useStyles();
  const { path, query } = usePlace();
  const { filter, narrow } = useFilter();
  const [enrolling, setEnrolling] = useState(false);
  const selected = query.get("id") ?? undefined;
  const sorting = query.get("sort");
  const order = useMemo(() => orderOf(sorting, COLUMNS) ?? BY_NAME, [sorting]);
  const columns = useColumns("machines", COLUMNS);
  const wanted = { filter, state: query.get("state"), trouble: query.get("trouble") };
  const conditions = JSON.stringify([filter.text, filter.conditions]);
  const pages = useInfiniteQuery({
    queryKey: ["fleet", "machines", conditions, wanted.state, wanted.trouble, order],
    queryFn: ({ pageParam, signal }) => machinePage(wanted, order, pageParam, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.next || null,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) > MOST_PAGES ? false : 15_000),
  });
  const newest = pages.data?.pages.at(-1);
  const lines = useMemo(
    () =>
      pages.data?.pages.flatMap((one) =>
        one.machines.map((machine) => ({
          key: machine.id,
          row: { machine, troubles: one.troubles.get(machine.id) },
        })),
      ) ?? [],
    [pages.data],
  );
  const listed = lines.find((line) => line.key === selected)?.row;
  const other = useQuery({
    queryKey: ["fleet", "machine", selected],
    queryFn: ({ signal }) => oneMachine(selected ?? "", signal),
    enabled: selected !== undefined && pages.isSuccess && !listed,
  });
  const [found] = other.data?.machines ?? [];
  const chosen = listed ?? (found && { machine: found, troubles: other.data?.troubles.get(found.id) });
  const more = pages.hasNextPage && !pages.isFetchingNextPage ? () => void pages.fetchNextPage() : undefined;
  const narrowedTo = (name: string, value: string | null) => {
    const next = new URLSearchParams(query);
    if (value === null) next.delete(name);
    else next.set(name, value);
    go(path, next);
  };
  const select = (id: string | null) => {
    const next = new URLSearchParams(query);
    if (id) next.set("id", id);
    else next.delete("id");
    go(path, next);
  };

  return (
    <>
      <Heading>Machines</Heading>
      <FilterBar table="ConfigurationData" timed={false} uses={USED}>
        <Dropdown
          className={styles.state}
          aria-label="State"
          value={wanted.state ?? "Every state"}
          selectedOptions={[wanted.state ?? ANY]}
          onOptionSelect={(_, { optionValue }) =>
            narrowedTo("state", optionValue && optionValue !== ANY ? optionValue : null)
          }
        >
          <Option value={ANY}>Every state</Option>
          {Object.keys(STATE_COLORS).map((state) => (
            <Option key={state} value={state}>
              {state}
            </Option>
          ))}
        </Dropdown>
        <ColumnChooser list="machines" all={COLUMNS} shown={columns} />
        {session.role === "Owner" && (
          <Button icon={<AddRegular />} appearance="primary" onClick={() => setEnrolling(true)}>
            Enrol
          </Button>
        )}
        {wanted.trouble !== null && (
          <Tag
            size="small"
            appearance="brand"
            dismissible
            dismissIcon={{ "aria-label": "Remove: Health" }}
            onClick={() => narrowedTo("trouble", null)}
          >
            {wanted.trouble ? reasonText(wanted.trouble) : "Anything not well"}
          </Tag>
        )}
      </FilterBar>
      {enrolling && <Enrol close={() => setEnrolling(false)} />}
      <List
        asked={pages}
        looking="Looking for machines"
        status={newest ? `${numberText(newest.matching)} of ${numberText(newest.total)} machines` : ""}
        beside={
          chosen && (
            <MachineDetails
              machine={chosen.machine}
              rules={chosen.machine.rules ?? []}
              troubles={chosen.troubles ?? []}
              role={session.role}
              close={() => select(null)}
            />
          )
        }
      >
        {newest && !lines.length && (newest.total > 0 ? <None total={newest.total} /> : null)}
        {newest && !newest.total && <WhyEmpty filter={filter} table="ConfigurationData" of="machines" />}
        {lines.length > 0 && (
          <Grid
            label="Machines"
            columns={columns}
            lines={lines}
            narrow={narrow}
            selected={selected}
            open={({ machine }) => select(machine.id)}
            order={order}
            sort={(next) => narrowedTo("sort", orderText(next, BY_NAME))}
            {...(more ? { more } : {})}
            card={({ machine, troubles }) => (
              <Card
                name={machine.computer}
                mark={<StateBadge machine={machine} />}
                facts={[agoText(machine.lastContact), troublesText(troubles)]}
              />
            )}
          />
        )}
      </List>
    </>
  );
}

/** The filter lets none of the machines through. */
function None({ total }: { total: number }) {
  const styles = useStyles();
  return (
    <section className={styles.none} aria-label="Why this is empty">
      <Subtitle1 as="h2">No machines here</Subtitle1>
      <Text>
        There are {numberText(total)} machines, and the filter lets none of them through: by text, state, health or
        machine.
      </Text>
      <div>
        <Button onClick={() => go("/machines", new URLSearchParams())}>Show all machines</Button>
      </div>
    </section>
  );
}
