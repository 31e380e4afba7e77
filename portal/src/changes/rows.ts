/** Changes as the list shows them: which columns are asked for, what an item is called, what happened to it. */
import type { ChangeRow, Row } from "../api/client";
import { type FieldName, ITEM } from "../filter/filter";
import type { Order } from "../grid/Grid";

export const LISTED = [
  "ChangeId",
  "TransactionId",
  "TimeGenerated",
  "IngestedAt",
  "Computer",
  "SourceComputerId",
  "ConfigChangeType",
  "ChangeCategory",
  "FieldsChanged",
  "Name",
  "FileSystemPath",
  "PreviousFileSystemPath",
  "RegistryKey",
  "ValueName",
  "SoftwareName",
  "SvcName",
  "SvcDisplayName",
  "SvcChangeType",
  "SvcState",
  "SvcPreviousState",
  "SvcStartupType",
  "SvcPreviousStartupType",
  "SvcRunlevels",
  "SvcPreviousRunlevels",
  "Current",
  "Previous",
  "Publisher",
  "Size",
  "PreviousSize",
  "ValueData",
  "PreviousValueData",
  "InitiatingProcessName",
  "InitiatingProcessAccountName",
  "ExplainedBy",
  "DetectedBy",
] as const;

/** A row of an answer, with the types that its table gives its columns; null stands for nothing. */
export type Change = { [Name in keyof ChangeRow]?: ChangeRow[Name] | null };

export const asChange = (row: Row) => row as Change;

/** As `ITEM` of the filter has it. */
export function itemName(row: Change): string {
  if (row.FileSystemPath) return row.FileSystemPath;
  if (row.RegistryKey) return `${row.RegistryKey}\\${row.ValueName ?? ""}`;
  return row.SoftwareName || row.SvcName || row.Name || "";
}

const KINDS: Record<string, string> = {
  Files: "File",
  Software: "Software",
  Daemons: "Daemon",
  WindowsServices: "Service",
  Registry: "Registry",
};

export const kindText = (kind: string | null | undefined) => KINDS[kind ?? ""] ?? kind ?? "";

function fromTo(before: string | null | undefined, after: string | null | undefined): string {
  return `${before || "(nothing)"} → ${after || "(nothing)"}`;
}

/** What is other than before: the field that it is of, its value, and a few words. */
function what(row: Change): [FieldName, string | null | undefined, string] {
  const renamed = row.PreviousFileSystemPath;
  if (renamed) return ["renamed", renamed, `renamed from ${renamed}`];
  if (row.ChangeCategory !== "Modified") return ["version", row.Current, row.Current ?? ""];
  switch (row.SvcChangeType) {
    case "State":
      return ["state", row.SvcState, `state ${fromTo(row.SvcPreviousState, row.SvcState)}`];
    case "StartupType":
      return ["startup", row.SvcStartupType, `startup ${fromTo(row.SvcPreviousStartupType, row.SvcStartupType)}`];
    case "Runlevels":
      return ["enablement", row.SvcRunlevels, `enablement ${fromTo(row.SvcPreviousRunlevels, row.SvcRunlevels)}`];
  }
  if (row.ConfigChangeType === "Software" && row.Previous !== row.Current) {
    return ["version", row.Current, fromTo(row.Previous, row.Current)];
  }
  if (row.ConfigChangeType === "Registry" && row.PreviousValueData !== row.ValueData) {
    return ["value", row.ValueData, fromTo(row.PreviousValueData, row.ValueData)];
  }
  return ["fields", row.FieldsChanged, (row.FieldsChanged ?? "").split(",").filter(Boolean).join(", ")];
}

/** Say in a few words what is other than before. */
export const whatChanged = (row: Change) => what(row)[2];

/** The field that `whatChanged` speaks of, and its value. */
export function whatField(row: Change): [FieldName, string] {
  const [field, value] = what(row);
  return [field, value ?? ""];
}

export function actorText(row: Change): string {
  const who = [row.InitiatingProcessName, row.InitiatingProcessAccountName].filter(Boolean).join(" as ");
  return who || (row.ExplainedBy ?? "");
}

/** Orders that the list can be had in: what they go by, for the server and here. Ties are broken newest first. */
export const ORDERS: Record<string, { expression: string; of: (row: Change) => string }> = {
  machine: { expression: "Computer", of: (row) => row.Computer ?? "" },
  kind: { expression: "ConfigChangeType", of: (row) => row.ConfigChangeType ?? "" },
  category: { expression: "ChangeCategory", of: (row) => row.ChangeCategory ?? "" },
  item: { expression: ITEM, of: itemName },
};

const text = (a: string, b: string) => (a === b ? 0 : a < b ? -1 : 1);

/** Return what compares two rows as the query orders them. */
export function comparing({ column, descending }: Order): (one: Change, other: Change) => number {
  const by = ORDERS[column];
  const down = descending ? -1 : 1;
  return (one, other) => {
    if (by) {
      const found = text(by.of(one), by.of(other));
      if (found) return found * down;
    }
    const time =
      text(one.TimeGenerated ?? "", other.TimeGenerated ?? "") || text(one.ChangeId ?? "", other.ChangeId ?? "");
    return by ? -time : time * down;
  };
}
