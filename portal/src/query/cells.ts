/** Values of an answer as its table shows, sorts and exports them. */
import type { Row, Value } from "../api/client";
import type { Result, Shape } from "./ask";

const NUMBERS = new Set(["int", "long", "real", "decimal"]);

export const isNumber = (type: string) => NUMBERS.has(type);

/** As the query language writes it: what is copied out of a cell can be used in a query. */
export const cellText = (value: Value | undefined) => (value === null || value === undefined ? "" : String(value));

/** As people read it: a dynamic on several lines. */
export function longText(value: Value | undefined, type: string): string {
  const text = cellText(value);
  if (type !== "dynamic" || !/^[[{]/.test(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // cut by the query itself, perhaps
  }
}

const WORDS = new Intl.Collator();

function compare(one: Value, other: Value, type: string): number {
  if (isNumber(type)) {
    const [a, b] = [Number(one), Number(other)];
    if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
    return a === b ? 0 : a < b ? -1 : 1;
  }
  const [a, b] = [String(one), String(other)];
  if (type === "datetime") return Date.parse(a) - Date.parse(b) || (a < b ? -1 : Number(a > b));
  return WORDS.compare(a, b);
}

export interface Order {
  column: number;
  descending: boolean;
}

/** Return the numbers of the rows in an order; what has no value comes last either way. */
export function ordered(result: Result, order: Order | null): number[] {
  const numbers = result.rows.map((_, at) => at);
  if (!order) return numbers;
  const type = result.columns[order.column]?.type ?? "string";
  const value = (at: number) => result.rows[at]?.[order.column] ?? null;
  return numbers.sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return order.descending ? compare(b, a, type) : compare(a, b, type);
  });
}

export const named = (columns: Shape[], cells: Value[]): Row =>
  Object.fromEntries(columns.map((column, at) => [column.name, cells[at] ?? null]));

/** Rows that are looked at to find out how wide a column is. */
const SAMPLE = 100;

/** Return how wide a column is shown, in rem. */
export function width(result: Result, column: number): number {
  let longest = (result.columns[column]?.name.length ?? 0) + 2;
  for (const cells of result.rows.slice(0, SAMPLE)) longest = Math.max(longest, cellText(cells[column]).length);
  return Math.min(Math.max(longest * 0.48 + 2, 6), 28);
}
