import { Badge, Button, makeStyles, Spinner, Switch, Text, tokens } from "@fluentui/react-components";
import { CodeRegular, PauseRegular, PlayRegular } from "@fluentui/react-icons";
import { useMemo, useState } from "react";
import { FilterBar } from "../filter/FilterBar";
import { type Filter, Written, write } from "../filter/filter";
import { useFilter } from "../filter/useFilter";
import { type Column, Grid, type Line } from "../grid/Grid";
import { go, usePlace } from "../location";
import { agoText, whenText } from "../moments";
import { Heading } from "../shell/Heading";
import { Problem } from "../states/Problem";
import { WhyEmpty } from "../states/WhyEmpty";
import { visible } from "../text";
import { Details } from "./Details";
import { actorText, type Change, itemName, kindText, whatChanged } from "./rows";
import { useChanges } from "./useChanges";

const useStyles = makeStyles({
  place: { display: "flex", flexGrow: 1, minHeight: 0 },
  list: { display: "flex", flexDirection: "column", flexGrow: 1, minWidth: 0, minHeight: 0 },
  foot: {
    display: "flex",
    alignItems: "center",
    columnGap: tokens.spacingHorizontalM,
    padding: `${tokens.spacingVerticalXS} ${tokens.spacingHorizontalM}`,
    backgroundColor: tokens.colorNeutralBackground1,
    borderTop: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  card: { display: "flex", flexDirection: "column", minWidth: 0, overflow: "hidden" },
  clip: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap", display: "block" },
});

const CATEGORY_COLORS = { Added: "success", Removed: "danger", Modified: "informative" } as const;

export function Category({ value }: { value: string | null | undefined }) {
  const color = CATEGORY_COLORS[value as keyof typeof CATEGORY_COLORS] ?? "informative";
  return (
    <Badge appearance="tint" color={color}>
      {value}
    </Badge>
  );
}

const COLUMNS: Column<Change>[] = [
  { id: "time", label: "Time", width: "12rem", text: (row) => whenText(row.TimeGenerated) },
  { id: "machine", label: "Machine", width: "minmax(7rem, 1fr)", text: (row) => row.Computer ?? "", field: "machine" },
  {
    id: "kind",
    label: "Kind",
    width: "6.5rem",
    text: (row) => kindText(row.ConfigChangeType),
    field: "kind",
    value: (row) => row.ConfigChangeType ?? "",
  },
  {
    id: "category",
    label: "Change",
    width: "7rem",
    text: (row) => row.ChangeCategory ?? "",
    look: (row) => <Category value={row.ChangeCategory} />,
    field: "category",
  },
  { id: "item", label: "Item", width: "minmax(12rem, 3fr)", text: itemName, field: "item" },
  { id: "what", label: "What", width: "minmax(10rem, 2fr)", text: whatChanged },
  {
    id: "who",
    label: "By",
    width: "minmax(8rem, 1fr)",
    text: actorText,
    field: "program",
    value: (row) => row.InitiatingProcessName ?? "",
  },
];

/** Rows of one transaction go under one line, where its newest row stands. */
function grouped(rows: Change[], opened: Set<string>, toggle: (id: string) => void): Line<Change>[] {
  const members = new Map<string, Change[]>();
  for (const row of rows) {
    const id = row.TransactionId || row.ChangeId || "";
    const there = members.get(id);
    if (there) there.push(row);
    else members.set(id, [row]);
  }
  const lines: Line<Change>[] = [];
  for (const [id, all] of members) {
    const [first] = all;
    if (!first) continue;
    if (all.length === 1) {
      lines.push({ key: first.ChangeId ?? id, row: first });
      continue;
    }
    const kinds = [...new Set(all.map((row) => kindText(row.ConfigChangeType)))].join(", ");
    const by = first.ExplainedBy || actorText(first);
    const label = `${whenText(first.TimeGenerated)} · ${first.Computer} · ${all.length} changes (${kinds})${by ? ` · ${by}` : ""}`;
    const open = opened.has(id);
    lines.push({ key: `transaction-${id}`, row: first, group: { label, open, toggle: () => toggle(id) } });
    if (open) for (const row of all) lines.push({ key: row.ChangeId ?? "", row, inGroup: true });
  }
  return lines;
}

/** The address of the page of queries, with what the filter lets through as a query. */
function questionOf(filter: Filter): URLSearchParams {
  const where = new Written().where(filter, "ConfigurationChange", false);
  const next = write({ ...filter, text: "", conditions: [] }, new URLSearchParams());
  next.set("q", `ConfigurationChange\n${where}| order by TimeGenerated desc`);
  return next;
}

export default function Changes() {
  const styles = useStyles();
  const { path, query } = usePlace();
  const { filter, narrow } = useFilter();
  const [paused, setPaused] = useState(false);
  const [opened, setOpened] = useState<Set<string>>(new Set());
  const { pages, rows, live, waiting } = useChanges(filter, paused);
  const grouping = query.get("group") === "transaction";
  const selected = query.get("change") ?? undefined;

  const lines = useMemo(() => {
    if (!grouping) return rows.map((row) => ({ key: row.ChangeId ?? "", row }));
    return grouped(rows, opened, (id) => {
      const next = new Set(opened);
      if (!next.delete(id)) next.add(id);
      setOpened(next);
    });
  }, [rows, grouping, opened]);

  const place = (name: string, value: string | null) => {
    const next = new URLSearchParams(query);
    if (value === null) next.delete(name);
    else next.set(name, value);
    go(path, next);
  };
  const more = pages.hasNextPage && !pages.isFetchingNextPage ? () => void pages.fetchNextPage() : undefined;
  const cut = pages.data?.pages.find((one) => one.cut)?.cut;

  return (
    <>
      <Heading>Changes</Heading>
      <FilterBar table="ConfigurationChange">
        <Switch
          label="By transaction"
          checked={grouping}
          onChange={(_, { checked }) => place("group", checked ? "transaction" : null)}
        />
        <Button
          appearance="subtle"
          icon={paused ? <PlayRegular /> : <PauseRegular />}
          aria-pressed={paused}
          onClick={() => setPaused(!paused)}
        >
          {paused ? "Go on" : "Pause"}
        </Button>
        <Button appearance="subtle" icon={<CodeRegular />} onClick={() => go("/query", questionOf(filter))}>
          Query this
        </Button>
        {paused && waiting && <Badge color="brand">new changes</Badge>}
      </FilterBar>
      <div className={styles.place}>
        <div className={styles.list}>
          {pages.error && <Problem error={pages.error} again={() => void pages.refetch()} />}
          {pages.isPending && <Spinner label="Looking for changes" />}
          {pages.isSuccess && !rows.length && <WhyEmpty filter={filter} table="ConfigurationChange" of="changes" />}
          {rows.length > 0 && (
            <Grid
              label="Changes"
              columns={COLUMNS}
              lines={lines}
              selected={selected}
              narrow={narrow}
              open={(row) => place("change", row.ChangeId ?? null)}
              {...(more ? { more } : {})}
              card={(row) => (
                <div className={styles.card}>
                  <Text weight="semibold" className={styles.clip}>
                    {visible(itemName(row))}
                  </Text>
                  <Text size={200} className={styles.clip}>
                    <Category value={row.ChangeCategory} /> {agoText(row.TimeGenerated)} · {row.Computer} ·{" "}
                    {visible(whatChanged(row))}
                  </Text>
                </div>
              )}
            />
          )}
          <footer className={styles.foot}>
            <Text size={200} role="status">
              {rows.length === 1 ? "1 change" : `${rows.length} changes`}
              {pages.hasNextPage ? ", more below" : ""}
              {paused ? ", paused" : live ? ", live" : ", the server is not heard; trying again"}
              {cut ? `, not all: ${cut}` : ""}
            </Text>
            {pages.isFetchingNextPage && <Spinner size="tiny" label="Older ones" />}
          </footer>
        </div>
        {selected && (
          <Details
            id={selected}
            close={() => place("change", null)}
            show={(id) => place("change", id)}
            narrow={narrow}
          />
        )}
      </div>
    </>
  );
}
