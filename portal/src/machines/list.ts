/** Pages of the list of machines, and what is not well with those on them. */
import { ask, type Machine, type Row, request, type Schemas } from "../api/client";
import { Asking, type Filter } from "../filter/filter";
import type { Order } from "../grid/Grid";
import type { State } from "./state";

const PAGE = 200;

export interface MachineFilter {
  filter: Filter;
  state: string | null;
  /** A reason of TrackingHealth; empty: any. */
  trouble: string | null;
}

export interface MachinePage {
  machines: Machine[];
  /** What is not well now, by machine id. */
  troubles: Map<string, Row[]>;
  matching: number;
  total: number;
  next: string;
}

/** Of the newest word about everything, what is not well. That a machine is silent it says itself. */
const NOT_WELL = "| where Status != 'Ok' and Reason != 'Silent'\n";

async function troubles(machines: Machine[], signal: AbortSignal): Promise<Map<string, Row[]>> {
  const found = new Map<string, Row[]>();
  if (!machines.length) return found;
  const asking = new Asking();
  // One value with all of them: a query has no room for hundreds of parameters.
  const ids = asking.value(machines.map((machine) => machine.id).join(","));
  const text = `health_now(${ids})\n${NOT_WELL}| order by Status asc, TimeGenerated desc\n| take 5000`;
  for (const row of (await ask(asking.question(text), signal)).rows) {
    const id = String(row["SourceComputerId"]);
    const there = found.get(id);
    if (there) there.push(row);
    else found.set(id, [row]);
  }
  return found;
}

export async function machinePage(
  { filter, state, trouble }: MachineFilter,
  order: Order,
  cursor: string,
  signal: AbortSignal,
): Promise<MachinePage> {
  const query = new URLSearchParams({ limit: String(PAGE), order: order.column, cursor });
  query.set("descending", String(order.descending));
  if (filter.text) query.set("text", filter.text);
  if (state) query.set("state", state);
  if (trouble !== null) query.set("trouble", trouble);
  for (const { field, not, values } of filter.conditions) {
    if (field === "machine") for (const value of values) query.append(not ? "otherThan" : "computer", value);
  }
  const found = await request<Schemas["Machines"]>("GET", `/api/v1/machines?${query}`, { signal });
  return {
    machines: found.value,
    troubles: await troubles(found.value, signal),
    matching: found.matching ?? found.value.length,
    total: found.total ?? found.value.length,
    next: found.nextCursor ?? "",
  };
}

export async function oneMachine(id: string, signal: AbortSignal): Promise<MachinePage> {
  const machine = await request<Machine>("GET", `/api/v1/machines/${encodeURIComponent(id)}`, { signal });
  return { machines: [machine], troubles: await troubles([machine], signal), matching: 1, total: 1, next: "" };
}

export interface Health {
  states: Record<State, number>;
  /** Machines by reason of TrackingHealth and how bad it is. */
  reasons: Row[];
}

export async function health(signal: AbortSignal): Promise<Health> {
  const reasons =
    `health_now()\n${NOT_WELL}| summarize Machines = dcount(SourceComputerId) by Reason, Status\n` +
    "| order by Status asc, Machines desc\n| take 50";
  const [states, found] = await Promise.all([
    request<Schemas["MachineStates"]>("GET", "/api/v1/machine-states", { signal }),
    ask({ text: reasons, parameters: {} }, signal),
  ]);
  return { states: states.value as Record<State, number>, reasons: found.rows };
}

/** Return what is not well by how bad it is and why; errors first. */
export function byReason(rows: Row[]): { status: string; reason: string; rows: Row[] }[] {
  const found = new Map<string, { status: string; reason: string; rows: Row[] }>();
  for (const row of rows) {
    const [status, reason] = [String(row["Status"]), String(row["Reason"])];
    const there = found.get(`${status} ${reason}`);
    if (there) there.rows.push(row);
    else found.set(`${status} ${reason}`, { status, reason, rows: [row] });
  }
  return [...found.values()].sort((a, b) => Number(b.status === "Error") - Number(a.status === "Error"));
}

/** Reasons of TrackingHealth in words. */
export const REASONS: Record<string, string> = {
  Gap: "Records were lost",
  Evicted: "Records were dropped on the machine",
  Limit: "A limit was reached",
  RuleMatchesNothing: "A rule matches nothing",
  RuleInvalid: "A rule is not valid",
  NoRule: "No rule",
  Denied: "Access was denied",
  ItemFailed: "Items could not be looked at",
  WatchLost: "A watch was lost",
  MountSilent: "A network file system does not answer",
  OutboxFull: "The outbox is full",
  StoreFull: "The store is full",
  DiskFull: "The disk is full",
  Refused: "Records were refused",
  Fork: "The state is a copy",
  Cloned: "The machine was cloned",
  ClockSkew: "The clock is wrong",
  Restored: "The server was set back",
  Resync: "The inventory is sent anew",
  Connection: "No connection",
  Collected: "A look was not complete",
  Coverage: "Not everything is looked into",
};

export const reasonText = (reason: string) => REASONS[reason] ?? reason;
