/** The changes that the filter lets through: page by page into the past, and what arrives while one looks. */
import { type InfiniteData, keepPreviousData, useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useArrivals } from "../api/arrivals";
import { ask } from "../api/client";
import { Asking, type Filter } from "../filter/filter";
import { asChange, type Change, LISTED, newestFirst } from "./rows";

const PAGE = 200;
/** Rows that one look for what has arrived takes at most. */
const MOST = 2000;
/** Rows get their time of arrival before they are stored: groups of them may be seen in another order. */
const OVERLAP = "1m";

interface Place {
  time: string;
  id: string;
}

interface Page {
  rows: Change[];
  cut: string;
}

/** Return the line that lets through what stands on one side of a place. */
function beside(asking: Asking, place: Place, side: "<" | ">"): string {
  const time = asking.value(place.time, "datetime");
  const id = asking.value(place.id);
  return `| where TimeGenerated ${side} ${time} or (TimeGenerated == ${time} and strcmp(ChangeId, ${id}) ${side} 0)\n`;
}

async function page(filter: Filter, before: Place | null, signal: AbortSignal): Promise<Page> {
  const asking = new Asking();
  const where = asking.where(filter, "ConfigurationChange");
  const place = before ? beside(asking, before, "<") : "";
  const text = `ConfigurationChange\n${where}${place}| order by TimeGenerated desc, ChangeId desc\n| take ${PAGE}\n| project ${LISTED.join(", ")}`;
  const { rows, cut } = await ask(asking.question(text), signal);
  return { rows: rows.map(asChange), cut };
}

/** What was stored since, and stands above `end`: what stands below comes with its page. */
async function arrived(filter: Filter, since: string, end: Place | null, signal: AbortSignal): Promise<Change[]> {
  const asking = new Asking();
  const where = asking.where(filter, "ConfigurationChange") + (end ? beside(asking, end, ">") : "");
  const after = since ? `| where IngestedAt >= ${asking.value(since, "datetime")} - ${OVERLAP}\n` : "";
  const text = `ConfigurationChange\n${where}${after}| order by IngestedAt desc\n| take ${MOST}\n| project ${LISTED.join(", ")}`;
  return (await ask(asking.question(text), signal)).rows.map(asChange);
}

/** Return where a page ends; null: with it everything ends. */
function after(last: Page | undefined): Place | null {
  const row = last?.rows.length === PAGE ? last.rows.at(-1) : undefined;
  return row ? { time: row.TimeGenerated ?? "", id: row.ChangeId ?? "" } : null;
}

const latest = (rows: Change[]) =>
  rows
    .map((row) => row.IngestedAt ?? "")
    .sort()
    .at(-1) ?? "";

export function useChanges(filter: Filter, paused: boolean) {
  const client = useQueryClient();
  const key = useMemo(() => ["changes", filter], [filter]);
  const [fresh, setFresh] = useState<Change[]>([]);
  const [waiting, setWaiting] = useState(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another filter begins anew
  useEffect(() => {
    setFresh([]);
    setWaiting(false);
  }, [key]);

  const pages = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam, signal }) => page(filter, pageParam, signal),
    initialPageParam: null as Place | null,
    getNextPageParam: after,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    // The list stays, and the focus in it, until what another filter lets through is there.
    placeholderData: keepPreviousData,
  });

  const known = useRef(fresh);
  known.current = fresh;
  const look = useCallback(
    async (signal: AbortSignal) => {
      const loaded = client.getQueryData<InfiniteData<Page>>(key);
      if (!loaded) return;
      const rows = [...loaded.pages.flatMap((one) => one.rows), ...known.current];
      const found = await arrived(filter, latest(rows), after(loaded.pages.at(-1)), signal);
      const old = new Set(rows.map((row) => row.ChangeId));
      const news = [...found.filter((row) => !old.has(row.ChangeId)), ...known.current];
      setWaiting(false);
      if (found.length === MOST || news.length > MOST) {
        // Too much to follow one by one, or open for days: the list begins anew.
        client.setQueryData<InfiniteData<Page>>(key, {
          pages: loaded.pages.slice(0, 1),
          pageParams: loaded.pageParams.slice(0, 1),
        });
        await client.refetchQueries({ queryKey: key, exact: true });
        setFresh([]);
      } else if (news.length > known.current.length) setFresh(news);
    },
    [client, key, filter],
  );
  const note = useCallback(async () => setWaiting(true), []);
  const live = useArrivals(paused ? note : look, {
    topic: JSON.stringify(filter),
    ready: pages.isSuccess && !pages.isPlaceholderData,
    first: !paused,
  });

  const rows = useMemo(() => {
    const known = pages.data?.pages.flatMap((one) => one.rows) ?? [];
    if (!fresh.length) return known;
    const mine = new Set(known.map((row) => row.ChangeId));
    return [...fresh.filter((row) => !mine.has(row.ChangeId)), ...known].sort(newestFirst);
  }, [pages.data, fresh]);

  return { pages, rows, live, waiting };
}
