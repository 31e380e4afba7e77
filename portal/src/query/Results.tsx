/** An answer as a table, or as the chart that it asks for. */
import {
  Button,
  MessageBar,
  MessageBarBody,
  makeStyles,
  Spinner,
  Tab,
  TabList,
  Text,
  tokens,
} from "@fluentui/react-components";
import { ArrowSortDownRegular, ArrowSortUpRegular, CopyRegular } from "@fluentui/react-icons";
import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { Card } from "../grid/Card";
import { type Column, Grid } from "../grid/Grid";
import { List } from "../grid/List";
import { numberText } from "../moments";
import { Drawer } from "../states/Drawer";
import { Facts } from "../states/Facts";
import { visible, visibleLines } from "../text";
import type { Result } from "./ask";
import { cellText, isNumber, longText, named, type Order, ordered, width } from "./cells";

const ResultChart = lazy(() => import("./ResultChart"));

const useStyles = makeStyles({
  tabs: { backgroundColor: tokens.colorNeutralBackground1, flexShrink: 0 },
  bar: { flexShrink: 0 },
  none: {
    padding: tokens.spacingHorizontalXL,
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalM,
    alignItems: "flex-start",
  },
});

interface ResultsProps {
  result: Result;
  dark: boolean;
  /** How the time is called that was asked for; empty: all of it. */
  time: string;
  showAll: () => void;
}

export function Results({ result, dark, time, showAll }: ResultsProps) {
  const styles = useStyles();
  const charted = result.chart !== "" && result.chart !== "table";
  const [view, setView] = useState("table");
  const [order, setOrder] = useState<Order | null>(null);
  const [chosen, setChosen] = useState<number | null>(null);
  // Another answer is looked at anew.
  useEffect(() => {
    setView(charted && result.rows.length ? "chart" : "table");
    setOrder(null);
    setChosen(null);
  }, [result, charted]);

  const columns = useMemo(
    () =>
      result.columns.map(
        ({ name, type }, at): Column<number> => ({
          id: String(at),
          label: type === "datetime" ? `${name} [UTC]` : name,
          width: `minmax(${width(result, at)}rem, 1fr)`,
          numeric: isNumber(type),
          sorts: true,
          text: (row) => cellText(result.rows[row]?.[at]),
        }),
      ),
    [result],
  );
  const lines = useMemo(() => ordered(result, order).map((row) => ({ key: String(row), row })), [result, order]);
  const cells = chosen === null ? undefined : result.rows[chosen];

  const sortBy = (column: number, descending: boolean) => setOrder({ column, descending });
  const copy = (row: number) => {
    const found = named(result.columns, result.rows[row] ?? []);
    void navigator.clipboard?.writeText(JSON.stringify(found, null, 1));
  };
  const head = result.columns.slice(0, 4).map(({ name }, at) => ({ name, at }));

  return (
    <List
      status={`${result.rows.length === 1 ? "1 row" : `${numberText(result.rows.length)} rows`}${result.cut ? ", not all" : ""} in ${result.seconds.toFixed(2)} s`}
      beside={
        cells && (
          <Drawer of="Row" title={`Row ${(chosen ?? 0) + 1}`} close={() => setChosen(null)}>
            <div>
              <Button icon={<CopyRegular />} onClick={() => copy(chosen ?? 0)}>
                Copy row
              </Button>
            </div>
            <Facts
              facts={result.columns.map(({ name, type }, at) => [
                visible(name),
                visibleLines(longText(cells[at], type)),
              ])}
            />
          </Drawer>
        )
      }
    >
      {charted && (
        <TabList
          className={styles.tabs}
          size="small"
          selectedValue={view}
          onTabSelect={(_, { value }) => setView(String(value))}
        >
          <Tab value="table">Results</Tab>
          <Tab value="chart">Chart</Tab>
        </TabList>
      )}
      {result.cut && (
        <MessageBar intent="warning" layout="multiline" className={styles.bar}>
          <MessageBarBody>These are not all rows: {result.cut}. Narrow the time or the query.</MessageBarBody>
        </MessageBar>
      )}
      {view === "chart" && (
        <Suspense fallback={<Spinner label="Drawing" />}>
          <ResultChart result={result} dark={dark} />
        </Suspense>
      )}
      {view === "table" && !lines.length && (
        <div className={styles.none}>
          <Text>{time ? `The query has no rows in this time (${time}).` : "The query has no rows."}</Text>
          {time && <Button onClick={showAll}>Ask without a time</Button>}
        </div>
      )}
      {view === "table" && lines.length > 0 && (
        <Grid
          label="Results"
          columns={columns}
          lines={lines}
          selected={chosen === null ? undefined : String(chosen)}
          open={setChosen}
          narrow={() => undefined}
          {...(order ? { order: { column: String(order.column), descending: order.descending } } : {})}
          sort={({ column, descending }) => sortBy(Number(column), descending)}
          actions={(row, column) => [
            { label: "Copy row", icon: <CopyRegular />, act: () => copy(row) },
            { label: "Sort ascending", icon: <ArrowSortUpRegular />, act: () => sortBy(Number(column), false) },
            { label: "Sort descending", icon: <ArrowSortDownRegular />, act: () => sortBy(Number(column), true) },
          ]}
          card={(row) => (
            <Card
              name={cellText(result.rows[row]?.[0]) || "(nothing)"}
              facts={head.slice(1).map(({ name, at }) => `${name}: ${cellText(result.rows[row]?.[at])}`)}
            />
          )}
        />
      )}
    </List>
  );
}

export const rowsOf = (result: Result) => result.rows.map((cells) => named(result.columns, cells));
