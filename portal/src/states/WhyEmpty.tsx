/** An empty list says why it is empty, from what the machines and the server tell of themselves, and what to do next. */
import { Button, makeStyles, Spinner, Subtitle1, Text, tokens } from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { ask, type Machine, type Row, request } from "../api/client";
import { Asking, type Filter, isEmpty, type Table, WINDOWS, write } from "../filter/filter";
import { go, usePlace } from "../location";
import { whenText } from "../moments";

const useStyles = makeStyles({
  empty: {
    flexGrow: 1,
    maxWidth: "42rem",
    margin: "0 auto",
    padding: tokens.spacingHorizontalXL,
    display: "flex",
    flexDirection: "column",
    rowGap: tokens.spacingVerticalM,
    overflowWrap: "anywhere",
  },
  list: { margin: 0, paddingLeft: tokens.spacingHorizontalXL },
  actions: { display: "flex", flexWrap: "wrap", gap: tokens.spacingHorizontalS },
});

interface Facts {
  machines: Machine[];
  /** Rows of the table without any filter, and within the time of the filter. */
  everything: number;
  inTime: number;
  /** The newest word of every part of every machine that is not well. */
  troubles: Row[];
  looked: boolean;
}

async function facts(filter: Filter, table: Table, kind: string, signal: AbortSignal): Promise<Facts> {
  const counting = new Asking();
  const timed = counting.where({ ...filter, text: "", conditions: [] }, table);
  const all = new Asking();
  const of = (asking: Asking) => (kind ? `| where ConfigDataType == ${asking.value(kind)}\n` : "");
  const [machines, everything, inTime, troubles, looks] = await Promise.all([
    request<{ value: Machine[] }>("GET", "/api/v1/machines?limit=1", { signal }),
    ask(all.question(`${table}\n${of(all)}| count`), signal),
    ask(counting.question(`${table}\n${timed}${of(counting)}| count`), signal),
    ask(
      {
        text:
          "health_now() | where Status == 'Error' or (Status == 'Warning' and Reason != 'RuleMatchesNothing')" +
          " | order by TimeGenerated desc | take 5",
        parameters: {},
      },
      signal,
    ),
    ask({ text: "TrackingHealth | where Reason == 'Collected' | count", parameters: {} }, signal),
  ]);
  const count = (rows: Row[]) => Number(rows[0]?.["Count"] ?? 0);
  return {
    machines: machines.value,
    everything: count(everything.rows),
    inTime: count(inTime.rows),
    troubles: troubles.rows,
    looked: count(looks.rows) > 0,
  };
}

interface WhyEmptyProps {
  filter: Filter;
  table: Table;
  /** What is not there: `changes`. */
  of: string;
  /** Of the inventory: its kind, and the day that is asked for. */
  kind?: string;
  at?: string;
}

export function WhyEmpty({ filter, table, of, kind = "", at = "" }: WhyEmptyProps) {
  const styles = useStyles();
  const { path, query } = usePlace();
  const why = useQuery({
    queryKey: ["why", table, kind, filter],
    queryFn: ({ signal }) => facts(filter, table, kind, signal),
    refetchInterval: 10_000,
  });
  if (why.isPending) return <Spinner label="Looking why there is nothing" />;
  const known = why.data;
  const everything: Filter = { ...filter, window: "all", from: "", to: "" };
  const clear = (next: Filter) => go(path, write(next, query));
  return (
    <section className={styles.empty} aria-label="Why this is empty">
      <Subtitle1 as="h2">No {of} here</Subtitle1>
      {known && <Reason known={known} filter={filter} of={of} kind={kind} at={at} />}
      {known && known.troubles.length > 0 && (
        <>
          <Text>What may have to do with it:</Text>
          <ul className={styles.list}>
            {known.troubles.map((row, at) => (
              <li key={at}>
                <Text>
                  {String(row["Computer"])}: {String(row["Component"])} {String(row["Kind"])} {String(row["Reason"])}{" "}
                  {String(row["Detail"])} ({whenText(row["TimeGenerated"])})
                </Text>
              </li>
            ))}
          </ul>
        </>
      )}
      <div className={styles.actions}>
        {kind && known && !known.everything && (
          <Button onClick={() => go("/rules", new URLSearchParams())}>Rules</Button>
        )}
        {!isEmpty(filter) && (
          <Button onClick={() => clear({ ...filter, text: "", conditions: [] })}>Clear the filter</Button>
        )}
        {(filter.window !== "all" || filter.from || filter.to) && (
          <Button onClick={() => clear(everything)}>Show all time</Button>
        )}
      </div>
    </section>
  );
}

interface ReasonProps {
  known: Facts;
  filter: Filter;
  of: string;
  kind: string;
  at: string;
}

function Reason({ known, filter, of, kind, at }: ReasonProps): ReactNode {
  if (!known.machines.length) {
    return (
      <Text>
        No machine is enrolled. On the server, <code>whatchanged tokens enroll</code> makes a token; on the machine,{" "}
        <code>whatchanged install --server … --token-file …</code> uses it.
      </Text>
    );
  }
  if (!known.looked) return <Text>The first look at the machines is not over yet. This page goes on by itself.</Text>;
  if (kind && !known.everything) {
    return <Text>No machine has {of}, or no rule collects that kind.</Text>;
  }
  if (kind && at && isEmpty(filter)) return <Text>Of that day no {of} are known: it is before the first look.</Text>;
  if (!known.everything) {
    return (
      <Text>
        There have been no {of} since this server began to keep records. What stood there at the first look is no
        change: it is in the inventory.
      </Text>
    );
  }
  if (!known.inTime) {
    const time = filter.from || filter.to ? "in this time" : `in this time (${WINDOWS[filter.window].toLowerCase()})`;
    return (
      <Text>
        There are {known.everything} {of}, but none {time}.
      </Text>
    );
  }
  return (
    <Text>
      There are {known.inTime} {of} in this time, and the filter lets none of them through.
    </Text>
  );
}
