/** What of an answer is drawn: which column is the axis, which are values, and which tell series apart. */
import type { Value } from "../api/client";
import type { Result, Shape } from "./ask";
import { cellText, isNumber } from "./cells";

export interface Series {
  name: string;
  points: [Value, number][];
}

export interface Drawn {
  axis: Shape;
  series: Series[];
  /** What was left out, and why; empty: nothing. */
  note: string;
}

/** Series that are drawn: more than that nobody tells apart. */
const MOST_SERIES = 50;
/** Points that are drawn in all. */
const MOST_POINTS = 100_000;

function list(value: Value | undefined): Value[] | null {
  if (typeof value !== "string" || !value.startsWith("[")) return null;
  try {
    const found: unknown = JSON.parse(value);
    return Array.isArray(found)
      ? found.map((one) => (typeof one === "object" && one !== null ? JSON.stringify(one) : (one as Value)))
      : null;
  } catch {
    return null;
  }
}

const isMoment = (value: Value | undefined) => typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value);

/** Return the answer with a row for every element of its arrays: what `make-series` makes is drawn point by point. */
function pointwise(result: Result): Result {
  const first = result.rows[0];
  const arrays = result.columns.flatMap(({ type }, at) => (type === "dynamic" && list(first?.[at]) ? [at] : []));
  if (!arrays.length) return result;
  const columns = result.columns.map((column, at) => {
    if (!arrays.includes(at)) return column;
    return { name: column.name, type: isMoment(list(first?.[at])?.[0]) ? "datetime" : "real" };
  });
  const rows = result.rows.flatMap((cells) => {
    const lists = new Map(arrays.map((at) => [at, list(cells[at]) ?? []]));
    const length = Math.max(...[...lists.values()].map((one) => one.length));
    return Array.from({ length }, (_, number) =>
      cells.map((cell, at) => (lists.has(at) ? (lists.get(at)?.[number] ?? null) : cell)),
    );
  });
  return { ...result, columns, rows };
}

/** Names of columns in a property of `render`: `a, b`. */
const namesIn = (property: string | undefined) =>
  (property ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);

/** The column of the horizontal axis: what `render` says, of a timechart the first time, else the first column. */
function axisOf({ columns, chart, properties }: Result): number {
  const wanted = columns.findIndex(({ name }) => name === properties["xcolumn"]);
  if (wanted >= 0) return wanted;
  const time = columns.findIndex(({ type }) => type === "datetime");
  if (/^(time|anomaly)chart$/.test(chart)) return time;
  if (/^(line|area|stackedarea|scatter)chart$/.test(chart) && time >= 0) return time;
  return 0;
}

/** Return what is drawn; a text: why nothing is. */
export function drawn(answer: Result): Drawn | string {
  const result = pointwise(answer);
  const { columns, properties } = result;
  const at = axisOf(result);
  const axis = columns[at];
  if (!axis) return "A time chart wants a column with times.";
  const wanted = namesIn(properties["ycolumns"]);
  const apart = namesIn(properties["series"]);
  const others = columns.map((column, number) => ({ ...column, number })).filter(({ number }) => number !== at);
  const values = others.filter(
    ({ name, type }) => (wanted.length ? wanted.includes(name) : isNumber(type)) && !apart.includes(name),
  );
  const keys = others.filter(({ name, type }) =>
    apart.length ? apart.includes(name) : type === "string" || type === "bool",
  );
  if (!values.length) return "A chart wants a column with numbers beside the one of its axis.";

  const found = new Map<string, Series>();
  const total = new Map<string, number>();
  let [points, cut] = [0, false];
  for (const cells of result.rows) {
    const key = keys.map(({ number }) => cellText(cells[number]) || "(nothing)").join(", ");
    for (const { name, number } of values) {
      const label = [key, values.length > 1 || !key ? name : ""].filter(Boolean).join(": ");
      let series = found.get(label);
      if (!series) {
        series = { name: label, points: [] };
        found.set(label, series);
      }
      const value = cells[number] === null ? Number.NaN : Number(cells[number]);
      if (points >= MOST_POINTS) {
        cut = true;
        continue;
      }
      points += 1;
      series.points.push([cells[at] ?? null, properties["accumulate"] === "true" ? added(total, label, value) : value]);
    }
  }
  const all = [...found.values()];
  const notes = [];
  if (all.length > MOST_SERIES) notes.push(`the first ${MOST_SERIES} of ${all.length} series`);
  if (cut) notes.push(`the first ${MOST_POINTS} points`);
  return { axis, series: all.slice(0, MOST_SERIES), note: notes.length ? `Drawn are ${notes.join(", ")}.` : "" };
}

function added(total: Map<string, number>, label: string, value: number): number {
  const sum = (total.get(label) ?? 0) + (Number.isNaN(value) ? 0 : value);
  total.set(label, sum);
  return sum;
}
