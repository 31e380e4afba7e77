/** What the server's compiler says of a query while it is written. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { type Mistake, request } from "../api/client";
import type { Declared } from "./ask";

/** Milliseconds without a key that are a pause of whoever types. */
const PAUSE = 400;
/** Characters; the server checks no longer ones. */
const LONGEST = 50_000;

interface Checked {
  parameters: Declared[];
  mistake: Mistake | null;
}

export function useCheck(text: string): { mistake: Mistake | null; declared: Declared[] } {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const soon = window.setTimeout(() => setSettled(text), PAUSE);
    return () => window.clearTimeout(soon);
  }, [text]);
  const wanted = settled.trim() !== "" && settled.length <= LONGEST;
  const check = useQuery({
    queryKey: ["check", settled],
    queryFn: ({ signal }) => request<Checked>("POST", "/api/v1/query/check", { body: { query: settled }, signal }),
    enabled: wanted,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    placeholderData: keepPreviousData,
  });
  // A text that is no query at the moment declares what it declared before.
  const declared = useRef<Declared[]>([]);
  if (!wanted) declared.current = [];
  else if (check.data && !check.data.mistake) declared.current = check.data.parameters;
  const isOfText = wanted && settled === text && !check.isPlaceholderData;
  return { mistake: isOfText ? (check.data?.mistake ?? null) : null, declared: declared.current };
}
