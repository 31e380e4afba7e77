/** A question as somebody wrote it, and its answer as a table. */
import { request, type Schemas, type Value } from "../api/client";
import type { Filter, Window } from "../filter/filter";

export interface Shape {
  name: string;
  /** A type of KQL. */
  type: string;
}

export interface Result {
  columns: Shape[];
  rows: Value[][];
  /** Why these are not all rows; empty: they are. */
  cut: string;
  /** Seconds that the server took. */
  seconds: number;
  /** What `render` asks for; empty: nothing. */
  chart: string;
  properties: Record<string, string>;
}

export interface Declared {
  name: string;
  type: string;
  default: string | null;
}

const DURATIONS: Record<Exclude<Window, "all">, string> = { "1h": "PT1H", "24h": "PT24H", "7d": "P7D", "30d": "P30D" };

/** Return the filter's time as the query interface wants it (ISO 8601); undefined: the query says it by itself. */
export function timespan(filter: Filter): string | undefined {
  if (filter.from || filter.to) {
    return `${filter.from || "0001-01-01T00:00:00Z"}/${filter.to || "9999-12-31T23:59:59Z"}`;
  }
  return filter.window === "all" ? undefined : DURATIONS[filter.window];
}

/** An integer that JavaScript has no number for; where there is none of them, nothing is read twice. */
const LONG = /[[,]-?\d{16}/;

async function exact(response: Response): Promise<unknown> {
  const text = await response.text();
  if (!LONG.test(text)) return JSON.parse(text);
  const reviver = (_: string, value: unknown, context?: { source?: string }) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source
      ? context.source
      : value;
  return JSON.parse(text, reviver);
}

type Answered = Schemas["Tables"] & {
  statistics?: { query?: { executionTime?: number } };
  render?: Record<string, string | null>;
};

export async function answer(
  text: string,
  parameters: Record<string, string>,
  time: string | undefined,
  signal: AbortSignal,
): Promise<Result> {
  const body = { query: text, parameters, ...(time ? { timespan: time } : {}) };
  const headers = { prefer: "include-render=true, include-statistics=true" };
  const path = "/v1/workspaces/default/query";
  const found = await request<Answered>("POST", path, { body, headers, signal, read: exact });
  const [table] = found.tables;
  const { visualization, ...properties } = found.render ?? {};
  const details = (found.error as { details?: { message?: string }[] } | undefined)?.details;
  return {
    columns: table?.columns ?? [],
    rows: (table?.rows ?? []) as Value[][],
    cut: details?.[0]?.message ?? (found.error ? "the answer was cut" : ""),
    seconds: found.statistics?.query?.executionTime ?? 0,
    chart: visualization ?? "",
    properties: properties as Record<string, string>,
  };
}
