import {
  Button,
  Input,
  Menu,
  MenuItem,
  MenuList,
  MenuPopover,
  MenuTrigger,
  makeStyles,
  Spinner,
  Tab,
  TabList,
  Text,
  tokens,
} from "@fluentui/react-components";
import { ArrowDownloadRegular } from "@fluentui/react-icons";
import { keepPreviousData, useInfiniteQuery, useMutation, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { ask, type Row } from "../api/client";
import { FilterBar } from "../filter/FilterBar";
import { write } from "../filter/filter";
import { useFilter } from "../filter/useFilter";
import { type Column, Grid } from "../grid/Grid";
import { go, usePlace } from "../location";
import { numberText, whenText } from "../moments";
import { Heading } from "../shell/Heading";
import { Drawer } from "../states/Drawer";
import { Facts } from "../states/Facts";
import { Problem } from "../states/Problem";
import { WhyEmpty } from "../states/WhyEmpty";
import { visible, visibleLines } from "../text";
import { csv, download } from "./download";
import { count, everything, nextAfter, page } from "./items";
import { cellText, FIRST, KINDS, rowKey, type Shown } from "./kinds";

const useStyles = makeStyles({
  kinds: { backgroundColor: tokens.colorNeutralBackground1, overflowX: "auto", flexShrink: 0 },
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

function column(shown: Shown): Column<Row> {
  return {
    id: shown.column,
    label: shown.label,
    width: shown.width,
    text: (row) => cellText(shown.column, row[shown.column]),
    ...(shown.field ? { field: shown.field, value: (row: Row) => String(row[shown.column] ?? "") } : {}),
  };
}

export default function Inventory() {
  const styles = useStyles();
  const { path, query } = usePlace();
  const { filter, narrow } = useFilter();
  const named = query.get("kind") ?? FIRST;
  const kind = named in KINDS ? named : FIRST;
  const at = query.get("at") ?? "";
  const selected = query.get("item") ?? undefined;
  const shown = KINDS[kind]?.shown ?? [];
  const columns = useMemo(() => shown.map(column), [shown]);
  // Only what counts here: another time of the changes is no other inventory.
  const conditions = JSON.stringify([filter.text, filter.conditions]);

  const pages = useInfiniteQuery({
    queryKey: ["inventory", kind, at, conditions],
    queryFn: ({ pageParam, signal }) => page(kind, at, filter, pageParam, signal),
    initialPageParam: "",
    getNextPageParam: nextAfter,
    placeholderData: keepPreviousData,
  });
  const total = useQuery({
    queryKey: ["inventory count", kind, at, conditions],
    queryFn: async ({ signal }) => (await ask(count(kind, at, filter), signal)).rows[0],
  });
  const exporting = useMutation({
    mutationFn: async (form: "csv" | "json") => {
      const answer = await ask(everything(kind, at, filter));
      const name = `${kind.toLowerCase()}-${(at || new Date().toISOString()).slice(0, 10)}.${form}`;
      if (form === "csv") download(name, "text/csv", csv(answer.rows));
      else download(name, "application/json", JSON.stringify(answer.rows, null, 1));
      return answer.cut;
    },
  });
  const rows = useMemo(() => pages.data?.pages.flatMap((one) => one.rows) ?? [], [pages.data]);
  const lines = useMemo(() => rows.map((row) => ({ key: rowKey(row), row })), [rows]);
  const chosen = rows.find((row) => rowKey(row) === selected);

  const place = (changes: Record<string, string | null>, replace = false) => {
    const next = new URLSearchParams(query);
    for (const [name, value] of Object.entries(changes)) {
      if (value) next.set(name, value);
      else next.delete(name);
    }
    go(path, next, replace);
  };
  const more = pages.hasNextPage && !pages.isFetchingNextPage ? () => void pages.fetchNextPage() : undefined;

  return (
    <>
      <Heading>Inventory</Heading>
      <FilterBar table="ConfigurationData" timed={false}>
        <Input
          type="date"
          aria-label="As of"
          contentBefore={<Text size={200}>As of</Text>}
          value={at.slice(0, 10)}
          // The end of that day, here.
          onChange={(_, { value }) =>
            place({ at: value ? new Date(`${value}T23:59:59.999`).toISOString() : null, item: null })
          }
        />
        <Menu>
          <MenuTrigger disableButtonEnhancement>
            <Button icon={exporting.isPending ? <Spinner size="tiny" /> : <ArrowDownloadRegular />} appearance="subtle">
              Export
            </Button>
          </MenuTrigger>
          <MenuPopover>
            <MenuList>
              <MenuItem onClick={() => exporting.mutate("csv")}>CSV</MenuItem>
              <MenuItem onClick={() => exporting.mutate("json")}>JSON</MenuItem>
            </MenuList>
          </MenuPopover>
        </Menu>
      </FilterBar>
      <TabList
        className={styles.kinds}
        selectedValue={kind}
        onTabSelect={(_, { value }) => place({ kind: String(value), item: null })}
        size="small"
      >
        {Object.entries(KINDS).map(([name, { label }]) => (
          <Tab key={name} value={name}>
            {label}
          </Tab>
        ))}
      </TabList>
      <div className={styles.place}>
        <div className={styles.list}>
          {exporting.error && <Problem error={exporting.error} />}
          {exporting.data && <Problem error={new Error(`The file has not all rows: ${exporting.data}`)} />}
          {pages.error && <Problem error={pages.error} again={() => void pages.refetch()} />}
          {pages.isPending && <Spinner label="Looking what is there" />}
          {pages.isSuccess && !rows.length && (
            <WhyEmpty filter={{ ...filter, window: "all", from: "", to: "" }} table="ConfigurationData" of="items" />
          )}
          {rows.length > 0 && (
            <Grid
              label={KINDS[kind]?.label ?? ""}
              columns={columns}
              lines={lines}
              narrow={narrow}
              selected={selected}
              open={(row) => place({ item: rowKey(row) })}
              {...(more ? { more } : {})}
              card={(row) => (
                <div className={styles.card}>
                  <Text weight="semibold" className={styles.clip}>
                    {visible(`${row["Item"]} ${row["CurrentVersion"] ?? ""}`)}
                  </Text>
                  <Text size={200} className={styles.clip}>
                    {String(row["Computer"])} · {whenText(row["TimeGenerated"])} {String(row["Publisher"] ?? "")}
                  </Text>
                </div>
              )}
            />
          )}
          <footer className={styles.foot}>
            <Text size={200} role="status">
              {total.data
                ? `Items: ${numberText(Number(total.data["Items"]))}, machines: ${numberText(Number(total.data["Machines"]))}`
                : ""}
              {at ? `, as of ${whenText(at)}` : ""}
            </Text>
          </footer>
        </div>
        {chosen && (
          <Drawer of="Item" title={visible(String(chosen["Item"]))} close={() => place({ item: null })}>
            <div>
              <Button
                onClick={() => {
                  const item = { field: "item" as const, not: false, values: [String(chosen["Item"])] };
                  go(
                    "/changes",
                    write({ ...filter, window: "all", text: "", conditions: [item] }, new URLSearchParams()),
                  );
                }}
              >
                Changes of this item
              </Button>{" "}
              <Button onClick={() => narrow("item", String(chosen["Item"]), false)}>The same on other machines</Button>
            </div>
            <Facts
              facts={Object.entries(chosen)
                .filter(([name]) => name !== "Sort" && name !== "Item")
                .map(([name, value]) => [name, visibleLines(cellText(name, value))])}
            />
          </Drawer>
        )}
      </div>
    </>
  );
}
