/** The inventory by name and version, with how common each is. */
import { Button, makeStyles, Spinner, Text, tokens } from "@fluentui/react-components";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import type { Filter } from "../filter/filter";
import { narrowed, write } from "../filter/filter";
import { useFilter } from "../filter/useFilter";
import { Card } from "../grid/Card";
import { ColumnChooser, useColumns } from "../grid/Columns";
import { Grid, type Order } from "../grid/Grid";
import { orderOf, orderText } from "../grid/order";
import { go } from "../location";
import { numberText, whenText } from "../moments";
import { Drawer } from "../states/Drawer";
import { Facts } from "../states/Facts";
import { Name } from "../states/Name";
import { Problem } from "../states/Problem";
import { To } from "../states/To";
import { visible } from "../text";
import { type Group, type Groups as GroupPage, groups, having } from "./items";
import { cellText, groupColumns, groupKey } from "./kinds";
import { List } from "./List";

const COMMON: Order = { column: "machines", descending: true };

export interface ListProps {
  kind: string;
  label: string;
  at: string;
  filter: Filter;
  query: URLSearchParams;
  place: (changes: Record<string, string | null>, replace?: boolean) => void;
}

export function Groups({ kind, label, at, filter, query, place }: ListProps) {
  const { narrow } = useFilter();
  const sorting = query.get("sort");
  const order = useMemo(() => orderOf(sorting, groupColumns(kind, 0)) ?? COMMON, [sorting, kind]);
  const selected = query.get("item") ?? undefined;
  // Only what counts here: another time of the changes is no other inventory.
  const conditions = JSON.stringify([filter.text, filter.conditions]);
  const pages = useInfiniteQuery({
    queryKey: ["inventory groups", kind, at, conditions, order],
    queryFn: ({ pageParam, signal }) => groups(kind, at, filter, order, pageParam, signal),
    initialPageParam: 0,
    getNextPageParam: (last, all) => {
      const loaded = all.reduce((sum, one) => sum + one.value.length, 0);
      return last.value.length && loaded < last.total ? loaded : null;
    },
    placeholderData: keepPreviousData,
    // The server may have answered by an older count while it makes a newer one.
    refetchInterval: 10_000,
  });
  const newest = pages.data?.pages.at(-1);
  const rows = useMemo(() => pages.data?.pages.flatMap((one) => one.value) ?? [], [pages.data]);
  const lines = useMemo(() => rows.map((row) => ({ key: groupKey(row), row })), [rows]);
  const all = useMemo(() => groupColumns(kind, newest?.machines ?? 0), [kind, newest?.machines]);
  const columns = useColumns(`inventory.${kind}.groups`, all);
  const chosen = rows.find((row) => groupKey(row) === selected);
  const more = pages.hasNextPage && !pages.isFetchingNextPage ? () => void pages.fetchNextPage() : undefined;

  return (
    <List
      kind={kind}
      at={at}
      filter={filter}
      pages={pages}
      looking="Counting what is there"
      empty={!rows.length}
      counted={newest ? countedText(newest) : ""}
      chooser={<ColumnChooser list={`inventory.${kind}.groups`} all={all} shown={columns} />}
      beside={
        chosen && (
          <GroupDetails kind={kind} at={at} group={chosen} filter={filter} close={() => place({ item: null })} />
        )
      }
    >
      <Grid
        label={label}
        columns={columns}
        lines={lines}
        narrow={narrow}
        selected={selected}
        open={(row) => place({ item: groupKey(row) })}
        order={order}
        sort={(next) => place({ sort: orderText(next, COMMON), item: null })}
        {...(more ? { more } : {})}
        card={(row) => (
          <Card
            name={row.name}
            facts={[kind === "Software" ? row.version : "", `on ${row.machines} of ${newest?.machines}`, row.publisher]}
          />
        )}
      />
    </List>
  );
}

function countedText({ total, machines, countedAt, cut }: GroupPage): string {
  const things = total === 1 ? "1 name and version" : `${numberText(total)} names and versions`;
  const on = `${numberText(machines)} ${machines === 1 ? "machine" : "machines"}`;
  const missing = cut ? ", the rarest are not counted: filter by text to find them" : "";
  return `${things}, on ${on}, counted ${whenText(countedAt)}${missing}`;
}

interface GroupDetailsProps {
  kind: string;
  at: string;
  group: Group;
  filter: Filter;
  close: () => void;
}

const useStyles = makeStyles({
  machines: { margin: 0, paddingLeft: tokens.spacingHorizontalL, overflowWrap: "anywhere" },
});

function GroupDetails({ kind, at, group, filter, close }: GroupDetailsProps) {
  const styles = useStyles();
  const machines = useQuery({
    queryKey: ["having", kind, at, group.name, group.version],
    queryFn: ({ signal }) => having(kind, at, group, signal),
  });
  const everywhere: Filter = { ...filter, window: "all", from: "", to: "", text: "", conditions: [] };
  const ofItem = narrowed(everywhere, "item", group.name, false);
  return (
    <Drawer of="Item" title={<Name text={group.name} />} close={close}>
      <div>
        <Button onClick={() => changesOf(filter, group.name)}>Changes of this item</Button>
      </div>
      <Facts
        facts={[
          ["Version", visible(group.version)],
          ["Publisher", visible(group.publisher)],
          ...Object.entries(group.details).map(([name, value]): [string, string] => [
            name,
            visible(cellText(name, value as string)),
          ]),
          ["Machines", numberText(group.machines)],
        ]}
      />
      {machines.isPending && <Spinner size="small" label="Looking on which machines" />}
      {machines.error && <Problem error={machines.error} again={() => void machines.refetch()} />}
      <ul className={styles.machines} aria-label="Machines that have it">
        {machines.data?.slice(0, 200).map((row) => (
          <li key={String(row["SourceComputerId"])}>
            <To path="/inventory" filter={narrowed(ofItem, "machine", String(row["Computer"]), false)} with={{ kind }}>
              <Name text={String(row["Computer"])} />
            </To>{" "}
            <Text size={200}>refreshed {whenText(row["TimeGenerated"])}</Text>
          </li>
        ))}
      </ul>
      {(machines.data?.length ?? 0) > 200 && <Text>These are the first 200; the export has all of them.</Text>}
    </Drawer>
  );
}

/** Where the changes of an item are. */
export const changesOf = (filter: Filter, item: string) =>
  go(
    "/changes",
    write(
      narrowed({ ...filter, window: "all", from: "", to: "", text: "", conditions: [] }, "item", item, false),
      new URLSearchParams(),
    ),
  );
