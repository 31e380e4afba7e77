import { Badge, Button, Spinner, Switch } from "@fluentui/react-components";
import { ArrowExportRegular, ArrowImportRegular, CodeRegular, PauseRegular, PlayRegular } from "@fluentui/react-icons";
import { useMemo, useState } from "react";
import { FilterBar } from "../filter/FilterBar";
import { type Filter, fieldOf, span, Written, write } from "../filter/filter";
import { useFilter } from "../filter/useFilter";
import { EVERYWHERE } from "../filter/values";
import { Card } from "../grid/Card";
import { ColumnChooser, useColumns } from "../grid/Columns";
import { type Action, type Column, Grid, type Line, type Order } from "../grid/Grid";
import { List } from "../grid/List";
import { orderOf, orderText } from "../grid/order";
import { go, usePlace } from "../location";
import { agoText, cellOf, numberText, whenText } from "../moments";
import { Heading } from "../shell/Heading";
import { WhyEmpty } from "../states/WhyEmpty";
import { Details } from "./Details";
import { type Gap, gapText, useGaps } from "./gaps";
import { actorText, type Change, itemName, kindText, whatChanged, whatField } from "./rows";
import { type Listed, useChanges } from "./useChanges";

const CATEGORY_COLORS = { Added: "success", Removed: "danger", Modified: "informative" } as const;

export function Category({ value }: { value: string | null | undefined }) {
  const color = CATEGORY_COLORS[value as keyof typeof CATEGORY_COLORS] ?? "informative";
  return (
    <Badge appearance="tint" color={color}>
      {value}
    </Badge>
  );
}

/** A column of the table as it is, for whoever chooses it. */
function extra(name: keyof Change & string, label: string, width = "11rem"): Column<Change> {
  const field = fieldOf("ConfigurationChange", name);
  return {
    id: name,
    label,
    width,
    text: (row) => cellOf(name, row[name]),
    extra: true,
    ...(field ? { field } : {}),
    value: (row) => String(row[name] ?? ""),
  };
}

const COLUMNS: Column<Change>[] = [
  {
    id: "time",
    label: "Time",
    width: "12rem",
    text: (row) => whenText(row.TimeGenerated),
    field: "time",
    value: (row) => row.TimeGenerated ?? "",
    sorts: true,
  },
  {
    id: "machine",
    label: "Machine",
    width: "minmax(7rem, 1fr)",
    text: (row) => row.Computer ?? "",
    field: "machine",
    sorts: true,
  },
  {
    id: "kind",
    label: "Kind",
    width: "6.5rem",
    text: (row) => kindText(row.ConfigChangeType),
    field: "kind",
    value: (row) => row.ConfigChangeType ?? "",
    sorts: true,
  },
  {
    id: "category",
    label: "Change",
    width: "7rem",
    text: (row) => row.ChangeCategory ?? "",
    look: (row) => <Category value={row.ChangeCategory} />,
    field: "category",
    sorts: true,
  },
  { id: "item", label: "Item", width: "minmax(12rem, 3fr)", text: itemName, field: "item", sorts: true, names: true },
  {
    id: "what",
    label: "What",
    width: "minmax(10rem, 2fr)",
    text: whatChanged,
    field: (row) => whatField(row)[0],
    value: (row) => whatField(row)[1],
  },
  {
    id: "who",
    label: "By",
    width: "minmax(8rem, 1fr)",
    text: actorText,
    field: "program",
    value: (row) => row.InitiatingProcessName ?? "",
  },
  extra("FieldsChanged", "Fields changed", "14rem"),
  extra("Previous", "Version before"),
  extra("Current", "Version after"),
  extra("PreviousSize", "Size before"),
  extra("Size", "Size after"),
  extra("PreviousDateModified", "Modified before"),
  extra("DateModified", "Modified after"),
  extra("PreviousAttributes", "Attributes before"),
  extra("Attributes", "Attributes after"),
  extra("PreviousAcls", "Owner and access before", "14rem"),
  extra("Acls", "Owner and access after", "14rem"),
  extra("PreviousFileContentChecksum", "Checksum before", "14rem"),
  extra("FileContentChecksum", "Checksum after", "14rem"),
  extra("PreviousValueData", "Value before"),
  extra("ValueData", "Value after"),
  extra("SvcPreviousState", "State before"),
  extra("SvcState", "State after"),
  extra("SvcPreviousStartupType", "Startup before"),
  extra("SvcStartupType", "Startup after"),
  extra("Publisher", "Publisher", "12rem"),
  extra("PreviousSeen", "Seen before", "12rem"),
  extra("DetectedBy", "Detected by", "8rem"),
  extra("RuleName", "Rule"),
  extra("InitiatingProcessAccountName", "Account", "9rem"),
  extra("InitiatingProcessCommandLine", "Command line", "18rem"),
  extra("ExplainedBy", "Explained by"),
  extra("TransactionId", "Transaction", "19rem"),
  extra("IngestedAt", "Arrived", "12rem"),
  extra("ChangeId", "Change id", "19rem"),
];

const NEWEST: Order = { column: "time", descending: true };

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

/** Put what is not known where it stands in time; `rows` are ordered by it. */
function withGaps(lines: Line<Change>[], gaps: Gap[], descending: boolean, whole: boolean): Line<Change>[] {
  if (!gaps.length) return lines;
  const moment = (gap: Gap) => (descending ? gap.to : gap.from);
  const waiting = [...gaps].sort((a, b) => (moment(a) - moment(b)) * (descending ? -1 : 1));
  const all: Line<Change>[] = [];
  const put = (row: Change) => {
    const gap = waiting.shift();
    if (gap) all.push({ key: `gap-${gap.computer}-${gap.from}-${gap.to}-${gap.reason}`, row, note: gapText(gap) });
  };
  for (const line of lines) {
    const time = Date.parse(line.row.TimeGenerated ?? "");
    for (let gap = waiting[0]; gap && !line.inGroup; gap = waiting[0]) {
      // It begins and ends with rows: between them it stands.
      if (descending ? moment(gap) <= time : moment(gap) >= time) break;
      put(line.row);
    }
    all.push(line);
  }
  const last = lines.at(-1);
  // Older ones stand below what is not loaded yet.
  while (whole && last && waiting.length) put(last.row);
  return all;
}

export default function Changes() {
  const { path, query } = usePlace();
  const { filter, narrow, set } = useFilter();
  const [paused, setPaused] = useState(false);
  const [opened, setOpened] = useState<Set<string>>(new Set());
  const columns = useColumns("changes", COLUMNS);
  const sorting = query.get("sort");
  const listed: Listed = useMemo(
    () => ({
      filter,
      order: orderOf(sorting, COLUMNS) ?? NEWEST,
      extra: columns.filter((column) => column.extra).map((column) => column.id),
    }),
    [filter, sorting, columns],
  );
  const { pages, rows, live, waiting } = useChanges(listed, paused);
  const gaps = useGaps(filter, pages.isSuccess);
  const grouping = query.get("group") === "transaction";
  const selected = query.get("change") ?? undefined;
  const { order } = listed;

  const lines = useMemo(() => {
    const toggle = (id: string) => {
      const next = new Set(opened);
      if (!next.delete(id)) next.add(id);
      setOpened(next);
    };
    const all = grouping ? grouped(rows, opened, toggle) : rows.map((row) => ({ key: row.ChangeId ?? "", row }));
    if (order.column !== "time" || pages.isPlaceholderData) return all;
    return withGaps(all, gaps.data ?? [], order.descending, !pages.hasNextPage);
  }, [rows, grouping, opened, gaps.data, order, pages.hasNextPage, pages.isPlaceholderData]);

  const place = (name: string, value: string | null) => {
    const next = new URLSearchParams(query);
    if (value === null) next.delete(name);
    else next.set(name, value);
    go(path, next);
  };
  const around = (time: string): Action[] => [
    {
      label: "From here on",
      icon: <ArrowExportRegular />,
      act: () => set({ ...filter, from: new Date(time).toISOString() }),
    },
    {
      label: "Until here",
      icon: <ArrowImportRegular />,
      // The end of the filter's time does not belong to it.
      act: () => {
        const [begin] = span(filter, Date.now()) ?? [];
        const from = begin === undefined ? "" : new Date(begin).toISOString();
        set({ ...filter, from, to: new Date(Date.parse(time) + 1).toISOString() });
      },
    },
  ];
  const more = pages.hasNextPage && !pages.isFetchingNextPage ? () => void pages.fetchNextPage() : undefined;
  const cut = pages.data?.pages.find((one) => one.cut)?.cut;

  return (
    <>
      <Heading>Changes</Heading>
      <FilterBar table="ConfigurationChange" scope={EVERYWHERE}>
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
        <ColumnChooser list="changes" all={COLUMNS} shown={columns} />
        {paused && waiting && <Badge color="brand">new changes</Badge>}
      </FilterBar>
      <List
        asked={pages}
        looking="Looking for changes"
        status={
          <>
            {rows.length === 1 ? "1 change" : `${numberText(rows.length)} changes`}
            {pages.hasNextPage ? ", more below" : ""}
            {paused ? ", paused" : live ? ", live" : ", the server is not heard; trying again"}
            {cut ? `, not all: ${cut}` : ""}
          </>
        }
        foot={pages.isFetchingNextPage && <Spinner size="tiny" label="Older ones" />}
        beside={
          selected && (
            <Details
              id={selected}
              close={() => place("change", null)}
              show={(id) => place("change", id)}
              narrow={narrow}
            />
          )
        }
      >
        {pages.isSuccess && !rows.length && <WhyEmpty filter={filter} table="ConfigurationChange" of="changes" />}
        {rows.length > 0 && (
          <Grid
            label="Changes"
            columns={columns}
            order={order}
            sort={(next) => place("sort", orderText(next, NEWEST))}
            lines={lines}
            selected={selected}
            narrow={narrow}
            open={(row) => place("change", row.ChangeId ?? null)}
            {...(more ? { more } : {})}
            actions={({ TimeGenerated }, column) => (column === "time" ? around(TimeGenerated ?? "") : [])}
            card={(row) => (
              <Card
                name={itemName(row)}
                mark={<Category value={row.ChangeCategory} />}
                facts={[agoText(row.TimeGenerated), row.Computer, whatChanged(row)]}
              />
            )}
          />
        )}
      </List>
    </>
  );
}
