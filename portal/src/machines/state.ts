/** What is known of the machines beside what they are: how they fare. */
import type { Machine } from "../api/client";

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
