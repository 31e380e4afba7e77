/** Kinds of the inventory: what of their items the list shows. */
import type { Row, Value } from "../api/client";
import type { FieldName } from "../filter/filter";
import { sizeText, whenText } from "../moments";

export interface Shown {
  column: string;
  label: string;
  width: string;
  field?: FieldName;
}

const MACHINE: Shown = { column: "Computer", label: "Machine", width: "minmax(7rem, 1fr)", field: "machine" };
const REFRESHED: Shown = { column: "TimeGenerated", label: "Last refreshed", width: "12rem" };
const SPREAD: Shown = { column: "Machines", label: "On machines", width: "8rem" };

const item = (label: string): Shown => ({ column: "Item", label, width: "minmax(12rem, 3fr)", field: "item" });

const SERVICE: Shown[] = [
  item("Name"),
  { column: "SvcDisplayName", label: "Display name", width: "minmax(8rem, 2fr)" },
  { column: "SvcState", label: "State", width: "7rem", field: "state" },
];

export const KINDS: Record<string, { label: string; shown: Shown[] }> = {
  Software: {
    label: "Software",
    shown: [
      item("Name"),
      { column: "CurrentVersion", label: "Version", width: "minmax(8rem, 1fr)", field: "version" },
      { column: "Publisher", label: "Publisher", width: "minmax(8rem, 2fr)", field: "publisher" },
      MACHINE,
      SPREAD,
      REFRESHED,
    ],
  },
  Files: {
    label: "Files",
    shown: [
      item("Path"),
      { column: "Size", label: "Size", width: "10rem" },
      { column: "DateModified", label: "Modified", width: "12rem" },
      { column: "Attributes", label: "Attributes", width: "8rem" },
      MACHINE,
      SPREAD,
      REFRESHED,
    ],
  },
  Daemons: {
    label: "Linux daemons",
    shown: [...SERVICE, { column: "SvcRunlevels", label: "Enablement", width: "8rem" }, MACHINE, SPREAD, REFRESHED],
  },
  WindowsServices: {
    label: "Windows services",
    shown: [...SERVICE, { column: "SvcStartupType", label: "Startup", width: "7rem" }, MACHINE, SPREAD, REFRESHED],
  },
};

export const FIRST = "Software";

export function cellText(column: string, value: Value | undefined): string {
  if (value === null || value === undefined || value === "") return "";
  if (column === "Size") return sizeText(Number(value));
  if (column === "TimeGenerated" || column.startsWith("Date")) return whenText(value);
  return String(value);
}

export const rowKey = (row: Row) => String(row["Sort"]);
