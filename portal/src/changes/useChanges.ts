/** The changes that the filter lets through: page by page into the past, and what arrives while one looks. */
import { type InfiniteData, keepPreviousData, useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useArrivals } from "../api/arrivals";
import { ask } from "../api/client";
import { Asking, type Filter } from "../filter/filter";
import type { Order } from "../grid/Grid";
import { asChange, type Change, comparing, LISTED, ORDERS } from "./rows";

const PAGE = 200;
/** Rows that one look for what has arrived takes at most. */
const MOST = 2000;
/** Rows get their time of arrival before they are stored: groups of them may be seen in another order. */
const OVERLAP = "1m";

interface Place {
  time: string;
  id: string;
  /** What the list is ordered by, if not the time. */
  key: string;
}

interface Page {
  rows: Change[];
  cut: string;
}

/** What a list is of: the rows that a filter lets through, in an order, with columns beside the usual ones. */
export interface Listed {
  filter: Filter;
  order: Order;
  extra: string[];
}

/** Return the line that lets through what stands after a place, or before it. */
function beside(asking: Asking, { column, descending }: Order, place: Place, after: boolean): string {
  const time = asking.value(place.time, "datetime");
  const id = asking.value(place.id);
  const by = ORDERS[column];
  const later = (by || descending) === after ? "<" : ">";
  const within = `TimeGenerated ${later} ${time} or (TimeGenerated == ${time} and strcmp(ChangeId, ${id}) ${later} 0)`;
  if (!by) return `| where ${within}\n`;
  const key = asking.value(place.key);
  const side = descending === after ? "<" : ">";
  return `| extend Key = ${by.expression}\n| where strcmp(Key, ${key}) ${side} 0 or (Key == ${key} and (${within}))\n`;
}

function ordered({ column, descending }: Order): string {
  const by = ORDERS[column];
  const down = descending ? "desc" : "asc";
  if (!by) return `| order by TimeGenerated ${down}, ChangeId ${down}\n`;
  return `| order by ${by.expression} ${down}, TimeGenerated desc, ChangeId desc\n`;
}

const columnsOf = ({ extra }: Listed) => [...new Set<string>([...LISTED, ...extra])].join(", ");

async function page(listed: Listed, before: Place | null, signal: AbortSignal): Promise<Page> {
  const asking = new Asking();
  const where = asking.where(listed.filter, "ConfigurationChange");
  const place = before ? beside(asking, listed.order, before, true) : "";
  const text = `ConfigurationChange\n${where}${place}${ordered(listed.order)}| take ${PAGE}\n| project ${columnsOf(listed)}`;
  const { rows, cut } = await ask(asking.question(text), signal);
  return { rows: rows.map(asChange), cut };
}

/** What was stored since, and stands above `end`: what stands below comes with its page. */
async function arrived(listed: Listed, since: string, end: Place | null, signal: AbortSignal): Promise<Change[]> {
  const asking = new Asking();
  const after = since ? `| where IngestedAt >= ${asking.value(since, "datetime")} - ${OVERLAP}\n` : "";
  const where =
    asking.where(listed.filter, "ConfigurationChange") + (end ? beside(asking, listed.order, end, false) : "");
  const text = `ConfigurationChange\n${after}${where}| order by IngestedAt desc\n| take ${MOST}\n| project ${columnsOf(listed)}`;
  return (await ask(asking.question(text), signal)).rows.map(asChange);
}

/** Return where a page ends; null: with it everything ends. */
function after(last: Page | undefined, { column }: Order): Place | null {
  const row = last?.rows.length === PAGE ? last.rows.at(-1) : undefined;
  return row ? { time: row.TimeGenerated ?? "", id: row.ChangeId ?? "", key: ORDERS[column]?.of(row) ?? "" } : null;
}

function latest(rows: Change[]): string {
  let found = "";
  for (const { IngestedAt } of rows) if (IngestedAt && IngestedAt > found) found = IngestedAt;
  return found;
}

/** Return two lists in order as one. */
function merged(fresh: Change[], known: Change[], compare: (one: Change, other: Change) => number): Change[] {
  const sorted = [...fresh].sort(compare);
  const all: Change[] = [];
  let next = 0;
  for (const row of known) {
    for (let one = sorted[next]; one && compare(one, row) < 0; one = sorted[next]) {
      all.push(one);
      next += 1;
    }
    all.push(row);
  }
  return [...all, ...sorted.slice(next)];
}

const NONE: Change[] = [];

export function useChanges(listed: Listed, paused: boolean) {
  const client = useQueryClient();
  const { order } = listed;
  const key = useMemo(() => ["changes", listed], [listed]);
  // What arrived belongs to the list that it was looked for: another filter's may come late.
  const [kept, setKept] = useState<{ key: unknown; rows: Change[] }>({ key, rows: NONE });
  const fresh = kept.key === key ? kept.rows : NONE;
  const [waiting, setWaiting] = useState(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another filter begins anew
  useEffect(() => setWaiting(false), [key]);

  const pages = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam, signal }) => page(listed, pageParam, signal),
    initialPageParam: null as Place | null,
    getNextPageParam: (last) => after(last, order),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    // The list stays, and the focus in it, until what another filter lets through is there.
    placeholderData: keepPreviousData,
  });

  const now = useRef({ key, fresh });
  now.current = { key, fresh };
  const look = useCallback(
    async (signal: AbortSignal) => {
      const loaded = client.getQueryData<InfiniteData<Page>>(key);
      if (!loaded) return;
      const stored = loaded.pages.flatMap((one) => one.rows);
      const since = now.current.key === key ? now.current.fresh : NONE;
      const found = await arrived(listed, latest([...stored, ...since]), after(loaded.pages.at(-1), order), signal);
      if (signal.aborted || now.current.key !== key) return;
      const known = now.current.fresh;
      const old = new Set([...stored, ...known].map((row) => row.ChangeId));
      const news = [...found.filter((row) => !old.has(row.ChangeId)), ...known];
      setWaiting(false);
      if (found.length === MOST || news.length > MOST) {
        // Too much to follow one by one, or open for days: the list begins anew.
        client.setQueryData<InfiniteData<Page>>(key, {
          pages: loaded.pages.slice(0, 1),
          pageParams: loaded.pageParams.slice(0, 1),
        });
        await client.refetchQueries({ queryKey: key, exact: true });
        setKept({ key, rows: NONE });
      } else if (news.length > known.length) setKept({ key, rows: news });
    },
    [client, key, listed, order],
  );
  const note = useCallback(async () => setWaiting(true), []);
  const live = useArrivals(paused ? note : look, {
    topic: JSON.stringify(listed),
    ready: pages.isSuccess && !pages.isPlaceholderData,
    first: !paused,
  });

  const rows = useMemo(() => {
    const known = pages.data?.pages.flatMap((one) => one.rows) ?? [];
    if (!fresh.length) return known;
    const mine = new Set(known.map((row) => row.ChangeId));
    return merged(
      fresh.filter((row) => !mine.has(row.ChangeId)),
      known,
      comparing(order),
    );
  }, [pages.data, fresh, order]);

  return { pages, rows, live, waiting };
}
