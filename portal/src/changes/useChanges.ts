/** The changes that the filter lets through: page by page into the past, and what arrives while one looks. */
import { type InfiniteData, keepPreviousData, useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";
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

async function page(filter: Filter, before: Place | null, signal: AbortSignal): Promise<Page> {
  const asking = new Asking();
  const where = asking.where(filter, "ConfigurationChange");
  let place = "";
  if (before) {
    const time = asking.value(before.time, "datetime");
    const id = asking.value(before.id);
    place = `| where TimeGenerated < ${time} or (TimeGenerated == ${time} and strcmp(ChangeId, ${id}) < 0)\n`;
  }
  const text = `ConfigurationChange\n${where}${place}| order by TimeGenerated desc, ChangeId desc\n| take ${PAGE}\n| project ${LISTED.join(", ")}`;
  const { rows, cut } = await ask(asking.question(text), signal);
  return { rows: rows.map(asChange), cut };
}

async function arrived(filter: Filter, since: string, signal: AbortSignal): Promise<Change[]> {
  const asking = new Asking();
  const where = asking.where(filter, "ConfigurationChange");
  const after = since ? `| where IngestedAt >= ${asking.value(since, "datetime")} - ${OVERLAP}\n` : "";
  const text = `ConfigurationChange\n${where}${after}| order by IngestedAt desc\n| take ${MOST}\n| project ${LISTED.join(", ")}`;
  return (await ask(asking.question(text), signal)).rows.map(asChange);
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
    getNextPageParam: ({ rows }) => {
      const last = rows.length === PAGE ? rows.at(-1) : undefined;
      return last ? { time: last.TimeGenerated ?? "", id: last.ChangeId ?? "" } : null;
    },
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    // The list stays, and the focus in it, until what another filter lets through is there.
    placeholderData: keepPreviousData,
  });

  const look = useCallback(
    async (signal: AbortSignal) => {
      const known = client.getQueryData<InfiniteData<Page>>(key);
      if (!known) return;
      const rows = known.pages.flatMap((one) => one.rows);
      const found = await arrived(filter, latest(rows), signal);
      const old = new Set(rows.map((row) => row.ChangeId));
      setFresh(found.filter((row) => !old.has(row.ChangeId)));
      setWaiting(false);
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
