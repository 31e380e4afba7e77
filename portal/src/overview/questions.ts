/** What the overview asks: counts of what the filter lets through. */
import { ask, type Row } from "../api/client";
import { Asking, FIELDS, type Filter, ITEM, span, zoneOf } from "../filter/filter";

const TABLE = "ConfigurationChange";
/** Bars that a chart has about. */
const BARS = 48;
const MINUTE = 60_000;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 10_080, 40_320];

/** Return how long a bar is, in minutes. `days`: how old the oldest change is, where the filter does not say. */
export function step(filter: Filter, days: number, now = Date.now()): number {
  const [from, to] = span(filter, now) ?? [now - Math.max(days, 1) * 1440 * MINUTE, now];
  const wanted = (to - from) / MINUTE / BARS;
  return STEPS.find((one) => one >= wanted) ?? 40_320;
}

async function rows(filter: Filter, rest: string, signal: AbortSignal, asking = new Asking()): Promise<Row[]> {
  const where = asking.where(filter, TABLE);
  return (await ask(asking.question(`${TABLE}\n${where}${rest}`), signal)).rows;
}

export async function overTime(filter: Filter, signal: AbortSignal): Promise<{ rows: Row[]; minutes: number }> {
  let days = 1;
  if (!span(filter, Date.now())) {
    const [oldest] = await rows(filter, "| summarize Days = datetime_diff('day', now(), min(TimeGenerated))", signal);
    days = Number(oldest?.["Days"] ?? 1) + 1;
  }
  const minutes = step(filter, days);
  const rest = `| summarize Changes = count() by Time = bin(TimeGenerated, ${minutes}m), Kind = ConfigChangeType\n| order by Time asc`;
  return { rows: await rows(filter, rest, signal), minutes };
}

/** By the clock of the filter's time zone. */
export function byHour(filter: Filter, signal: AbortSignal): Promise<Row[]> {
  const asking = new Asking();
  const [day, hour] = [FIELDS.weekday, FIELDS.hour].map(({ in: { ConfigurationChange: expression } }) =>
    asking.local(expression, zoneOf(filter)),
  );
  return rows(filter, `| summarize Changes = count() by Day = ${day}, Hour = ${hour}`, signal, asking);
}

export const TOPS = {
  machine: { title: "Most changed machines", value: "Computer" },
  item: { title: "Most changed items", value: ITEM },
  publisher: { title: "Publishers of changed software", value: "Publisher" },
  program: { title: "Programs that change most", value: "InitiatingProcessName" },
} as const;

export type Top = keyof typeof TOPS;

/** All of them in one question: each is small, and each would wait for its turn. */
export async function tops(filter: Filter, signal: AbortSignal): Promise<Record<string, Row[]>> {
  const asking = new Asking();
  const where = asking.where(filter, TABLE);
  const parts = Object.entries(TOPS).map(
    ([of, { value }]) =>
      `(seen | extend Value = ${value} | where isnotempty(Value) | summarize Changes = count() by Value` +
      ` | top 8 by Changes desc | extend Of = '${of}')`,
  );
  const text = `let seen = ${TABLE}\n${where};\nunion ${parts.join(",\n")}\n| order by Changes desc, Value asc`;
  const found: Record<string, Row[]> = {};
  for (const row of (await ask(asking.question(text), signal)).rows) {
    const of = String(row["Of"]);
    found[of] = [...(found[of] ?? []), row];
  }
  return found;
}

/** Software that came this week, whatever the time of the filter. */
export const newSoftware = (filter: Filter, signal: AbortSignal) =>
  rows(
    { ...filter, window: "7d", from: "", to: "" },
    "| where ConfigChangeType == 'Software' and ChangeCategory == 'Added'\n" +
      "| summarize Machines = dcount(SourceComputerId), Version = take_any(Current) by SoftwareName\n| top 8 by Machines desc",
    signal,
  );
