/** What a field has for values, for whoever chooses some. */
import { ask } from "../api/client";
import { Asking, type FieldName, type Filter, isList, type Table, zoneOf } from "./filter";

/** Lines of a query that say where on a page the filter counts. */
export type Scope = (asking: Asking) => string;

export const EVERYWHERE: Scope = () => "";

export interface Counted {
  value: string;
  rows: number;
}

/** So many are told at once. */
export const MOST_VALUES = 50;

/** Return the most common values with `part` in them, among what the rest of the filter lets through. */
export async function valuesOf(
  field: FieldName,
  table: Table,
  filter: Filter,
  { scope, timed, part }: { scope: Scope; timed: boolean; part: string },
  signal: AbortSignal,
): Promise<Counted[]> {
  const asking = new Asking();
  const others = { ...filter, conditions: filter.conditions.filter((one) => one.field !== field) };
  const where = asking.where(others, table, timed);
  const expression = asking.expression(field, table, zoneOf(filter));
  const each = isList(field)
    ? `| extend Value = split(${expression}, ',')\n| mv-expand Value to typeof(string)\n`
    : `| extend Value = ${expression}\n`;
  const having = part ? `| where Value contains ${asking.value(part)}\n` : "";
  const text =
    `${table}\n${scope(asking)}${where}${each}${having}` +
    `| summarize Rows = count() by Value\n| order by Rows desc, Value asc\n| take ${MOST_VALUES}`;
  const { rows } = await ask(asking.question(text), signal);
  return rows.map((row) => ({ value: String(row["Value"] ?? ""), rows: Number(row["Rows"]) }));
}
