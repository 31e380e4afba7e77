/** What the server finds in a document while it is edited. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { type Json, type Path, resolve } from "../document";
import { type Check, check } from "../rules";

export interface Finding {
  path: Path;
  place: string;
  message: string;
  severity: string;
}

const PAUSE = 300;

/** Ask the server about a text when nobody has typed for a moment; findings of an older text are not shown. */
export function useCheck(text: string, document: Json | undefined) {
  const [asked, setAsked] = useState(text);
  useEffect(() => {
    const soon = window.setTimeout(() => setAsked(text), PAUSE);
    return () => window.clearTimeout(soon);
  }, [text]);
  const found = useQuery<Check>({
    queryKey: ["rule-check", asked],
    queryFn: ({ signal }) => check(asked, signal),
    placeholderData: keepPreviousData,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    retry: false,
  });
  const current = asked === text && !found.isPlaceholderData;
  const findings = useMemo<Finding[]>(
    () =>
      current && document !== undefined && found.data
        ? found.data.problems.map((one) => ({ ...one, path: resolve(document, one.place) }))
        : [],
    [current, document, found.data],
  );
  return { sources: found.data?.sources ?? [], findings, current, error: found.error, isPending: found.isPending };
}
