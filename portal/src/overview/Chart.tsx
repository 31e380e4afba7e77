import { queryOptions, useQuery } from "@tanstack/react-query";
import { Problem } from "../states/Problem";
import type { ChartProps } from "./Canvas";

/** The code that draws. Not by Suspense: what comes soon after its fallback it holds back for 300 ms. */
export const CANVAS = queryOptions({
  queryKey: ["code", "canvas"],
  queryFn: async () => (await import("./Canvas")).default,
  staleTime: Number.POSITIVE_INFINITY,
  gcTime: Number.POSITIVE_INFINITY,
});

/** A chart, as soon as the code that draws it is here. */
export function Chart(props: ChartProps) {
  const code = useQuery(CANVAS);
  if (code.error) return <Problem error={code.error} again={() => void code.refetch()} />;
  return code.data ? <code.data {...props} /> : <div style={{ height: props.height }} />;
}
