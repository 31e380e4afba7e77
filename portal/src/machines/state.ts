/** What is known of the machines beside what they are: how they fare. */
import { ask, type Machine, type Row, request, type Schemas } from "../api/client";

export type State = "Active" | "Silent" | "Revoked" | "Decommissioned";

export function stateOf(machine: Machine): State {
  if (machine.status === "revoked") return "Revoked";
  if (machine.status === "decommissioned") return "Decommissioned";
  return machine.silentSince ? "Silent" : "Active";
}

export const STATE_COLORS = {
  Active: "success",
  Silent: "danger",
  Revoked: "warning",
  Decommissioned: "informative",
} as const satisfies Record<State, string>;

export interface Fleet {
  machines: Machine[];
  /** Rules in force by machine id. */
  rules: Map<string, string[]>;
  /** What is not well now, by machine id. */
  troubles: Map<string, Row[]>;
}

/** The newest word about every part, of a week; what is not well of it. That a machine is silent it says itself. */
const TROUBLES =
  "TrackingHealth\n| where TimeGenerated > ago(7d) and Reason != 'Silent'\n" +
  "| summarize arg_max(TimeGenerated, Status, Detail) by SourceComputerId, Computer, Component, Kind, Reason, RuleName, Stream\n" +
  "| where Status != 'Ok'\n| order by Status asc, TimeGenerated desc\n| take 5000";

export async function fleet(signal: AbortSignal): Promise<Fleet> {
  const [machines, associations, health] = await Promise.all([
    request<Schemas["Machines"]>("GET", "/api/v1/machines", { signal }),
    request<Schemas["Associations"]>("GET", "/api/v1/associations", { signal }),
    ask({ text: TROUBLES, parameters: {} }, signal),
  ]);
  const rules = new Map<string, string[]>();
  for (const machine of machines.value) {
    const mine = associations.value.filter((one) => one.machine === machine.id || one.group === machine.machineGroup);
    rules.set(machine.id, [...new Set(mine.map((one) => one.rule))]);
  }
  const troubles = new Map<string, Row[]>();
  for (const row of health.rows) {
    const id = String(row["SourceComputerId"]);
    troubles.set(id, [...(troubles.get(id) ?? []), row]);
  }
  return { machines: machines.value, rules, troubles };
}
