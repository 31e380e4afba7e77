/** What the inventory is asked. */
import { type Answer, ask, type Question, type Row, request, type Schemas } from "../api/client";
import { Asking, type Filter, ITEM } from "../filter/filter";
import type { Order } from "../grid/Grid";
import { groupedBy, ofGroups } from "./kinds";

export type Group = Schemas["InventoryGroup"];
export type Groups = Schemas["InventoryGroups"];

const PAGE = 300;
/** Kinds in the server's addresses. */
const ADDRESS: Record<string, string> = {
  Software: "software",
  Files: "files",
  Daemons: "daemons",
  WindowsServices: "services",
};
/** Names and versions, and on how many machines they are; from number `start` on. */
export function groups(
  kind: string,
  at: string,
  filter: Filter,
  order: Order,
  start: number,
  signal: AbortSignal,
): Promise<Groups> {
  const query = new URLSearchParams({ order: order.column, start: String(start), limit: String(PAGE) });
  query.set("descending", String(order.descending));
  if (at) query.set("at", at);
  if (filter.text) query.set("text", filter.text);
  for (const { field, not, values } of filter.conditions) {
    const name = ofGroups(kind, field);
    if (!name) continue;
    for (const value of values) query.append(not ? "otherThan" : "only", `${name}:${value}`);
  }
  return request<Groups>("GET", `/api/v1/inventory-groups/${ADDRESS[kind]}?${query}`, { signal });
}

/** Items in an order that has no ties: a name, its machine, and what tells two of one name apart. */
const SORT = `strcat(${ITEM}, ' ', Computer, ' ', SourceComputerId, ' ', Architecture, ' ', Location, ' ', CurrentVersion)`;
/** Ids of the machines that the filter names: by them the server finds their items at once. */
async function named(filter: Filter, signal: AbortSignal): Promise<string[]> {
  const condition = filter.conditions.find((one) => one.field === "machine" && !one.not);
  if (!condition) return [];
  const query = new URLSearchParams({ limit: "100" });
  for (const value of condition.values) query.append("computer", value);
  const found = await request<Schemas["Machines"]>("GET", `/api/v1/machines?${query}`, { signal });
  return found.nextCursor ? [] : found.value.map((machine) => machine.id);
}

/** Lines that let through one kind, as of a time. */
export function whole(asking: Asking, kind: string, at: string): string {
  const moment = at ? `| where TimeGenerated <= ${asking.value(at, "datetime")}\n` : "";
  return `| where ConfigDataType == ${asking.value(kind)}\n${moment}`;
}

function items(asking: Asking, kind: string, at: string, filter: Filter, ids: string[] = []): string {
  const where = asking.where(filter, "ConfigurationData", false);
  const values = ids.map((id) => asking.value(id));
  const whose = values.length === 1 ? `SourceComputerId == ${values[0]}` : `SourceComputerId in (${values.join(", ")})`;
  return `ConfigurationData\n${whole(asking, kind, at)}${values.length ? `| where ${whose}\n` : ""}${where}`;
}

export interface Place {
  key: string;
  sort: string;
}

export async function page(
  kind: string,
  at: string,
  filter: Filter,
  order: Order,
  after: Place | null,
  signal: AbortSignal,
): Promise<Answer> {
  const asking = new Asking();
  const wanted = items(asking, kind, at, filter, await named(filter, signal));
  const [side, way] = order.descending ? ["<", "desc"] : [">", "asc"];
  let beyond = "";
  if (after) {
    const [key, sort] = [asking.value(after.key), asking.value(after.sort)];
    beyond = `| where strcmp(Key, ${key}) ${side} 0 or (Key == ${key} and strcmp(Sort, ${sort}) > 0)\n`;
  }
  const text =
    `${wanted}| extend Item = ${ITEM}, Sort = ${SORT}, Key = ${order.column === "Item" ? SORT : order.column}\n${beyond}` +
    `| order by Key ${way}, Sort asc\n| take ${PAGE}`;
  return ask(asking.question(text), signal);
}

export function nextAfter(answer: Answer): Place | null {
  const last = answer.rows.length === PAGE ? answer.rows.at(-1) : undefined;
  return last ? { key: String(last["Key"]), sort: String(last["Sort"]) } : null;
}

/** Machines that have a name in a version, as of a time. */
export async function having(kind: string, at: string, group: Group, signal: AbortSignal): Promise<Row[]> {
  const asking = new Asking();
  const { name, version } = groupedBy(kind);
  const all = items(asking, kind, at, NO_FILTER);
  const where = `| where ${name} == ${asking.value(group.name)} and ${version} == ${asking.value(group.version)}\n`;
  const text = `${all}${where}| project Computer, SourceComputerId, TimeGenerated\n| order by Computer asc\n| take 1000`;
  return (await ask(asking.question(text), signal)).rows;
}

const NO_FILTER: Filter = { window: "all", from: "", to: "", text: "", conditions: [] };

/** Machines of which there is something to export, in order. */
export async function exported(kind: string, at: string, filter: Filter, signal: AbortSignal): Promise<string[]> {
  const asking = new Asking();
  const text = `${items(asking, kind, at, filter)}| summarize Items = count() by SourceComputerId\n| order by SourceComputerId asc`;
  const { rows, cut } = await ask(asking.question(text), signal);
  if (cut) throw new Error(`The machines are too many: ${cut}`);
  return rows.map((row) => String(row["SourceComputerId"]));
}

/** Everything that machines have, which are given by the first and the last of them. */
export function everything(
  kind: string,
  at: string,
  filter: Filter,
  columns: string[],
  [first, last]: [string, string],
): Question {
  const asking = new Asking();
  const [from, to] = [asking.value(first), asking.value(last)];
  const all = items(asking, kind, at, filter, first === last ? [first] : []);
  return asking.question(
    `${all}| where strcmp(SourceComputerId, ${from}) >= 0 and strcmp(SourceComputerId, ${to}) <= 0\n` +
      `| order by Computer asc, Name asc\n| project ${columns.join(", ")}`,
  );
}
