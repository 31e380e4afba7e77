/** Kinds of the inventory: what of their items the lists show. */
import type { Row, Value } from "../api/client";
import { type FieldName, fieldOf } from "../filter/filter";
import type { Column } from "../grid/Grid";
import { cellOf } from "../moments";
import type { Group } from "./items";

interface Shown {
  column: string;
  label: string;
  width: string;
  extra?: true;
}

interface KindOfItem {
  label: string;
  /** What of an item on its machine the list shows. */
  shown: Shown[];
  /** What the name and the version of a group are called here, and the columns that they are. */
  name: string;
  version: string;
  same: { name: string; version: string };
  publisher?: string;
  details: Shown[];
}

const MACHINE: Shown = { column: "Computer", label: "Machine", width: "minmax(7rem, 1fr)" };
const REFRESHED: Shown = { column: "TimeGenerated", label: "Last refreshed", width: "12rem" };
const EXTRA: Shown[] = [
  { column: "RuleName", label: "Rule", width: "10rem", extra: true },
  { column: "Location", label: "Location", width: "14rem", extra: true },
  { column: "SourceComputerId", label: "Machine id", width: "19rem", extra: true },
  { column: "IngestedAt", label: "Arrived", width: "12rem", extra: true },
];

const item = (label: string): Shown => ({ column: "Item", label, width: "minmax(12rem, 3fr)" });
const extra = (column: string, label: string, width = "11rem"): Shown => ({ column, label, width, extra: true });

const SERVICE: Shown[] = [
  item("Name"),
  { column: "SvcDisplayName", label: "Display name", width: "minmax(8rem, 2fr)" },
  { column: "SvcState", label: "State", width: "7rem" },
];
const SERVICE_DETAILS: Shown[] = [
  { column: "SvcDisplayName", label: "Display name", width: "minmax(8rem, 2fr)" },
  { column: "SvcState", label: "State", width: "7rem" },
];

export const KINDS: Record<string, KindOfItem> = {
  Software: {
    label: "Software",
    name: "Name",
    version: "Version",
    same: { name: "SoftwareName", version: "CurrentVersion" },
    publisher: "Publisher",
    details: [{ column: "Architecture", label: "Architecture", width: "8rem" }],
    shown: [
      item("Name"),
      { column: "CurrentVersion", label: "Version", width: "minmax(8rem, 1fr)" },
      { column: "Publisher", label: "Publisher", width: "minmax(8rem, 2fr)" },
      MACHINE,
      REFRESHED,
      extra("Architecture", "Architecture", "8rem"),
      extra("SoftwareType", "Type", "8rem"),
      extra("InstalledAt", "Installed", "12rem"),
      extra("PackageUrl", "Package URL", "18rem"),
      ...EXTRA,
    ],
  },
  Files: {
    label: "Files",
    name: "Path",
    version: "Checksum",
    same: { name: "FileSystemPath", version: "FileContentChecksum" },
    details: [{ column: "Size", label: "Size", width: "10rem" }],
    shown: [
      item("Path"),
      { column: "Size", label: "Size", width: "10rem" },
      { column: "DateModified", label: "Modified", width: "12rem" },
      { column: "Attributes", label: "Attributes", width: "8rem" },
      MACHINE,
      REFRESHED,
      extra("Acls", "Owner and access", "12rem"),
      extra("FileContentChecksum", "Checksum", "18rem"),
      extra("DateCreated", "Created", "12rem"),
      ...EXTRA,
    ],
  },
  Daemons: {
    label: "Linux daemons",
    name: "Name",
    version: "Enablement",
    same: { name: "SvcName", version: "SvcRunlevels" },
    details: SERVICE_DETAILS,
    shown: [
      ...SERVICE,
      { column: "SvcRunlevels", label: "Enablement", width: "8rem" },
      MACHINE,
      REFRESHED,
      extra("SvcPath", "Program", "16rem"),
      extra("SvcAccount", "Account", "9rem"),
      extra("SvcDescription", "Description", "16rem"),
      ...EXTRA,
    ],
  },
  WindowsServices: {
    label: "Windows services",
    name: "Name",
    version: "Startup",
    same: { name: "SvcName", version: "SvcStartupType" },
    details: SERVICE_DETAILS,
    shown: [
      ...SERVICE,
      { column: "SvcStartupType", label: "Startup", width: "7rem" },
      MACHINE,
      REFRESHED,
      extra("SvcPath", "Program", "16rem"),
      extra("SvcAccount", "Account", "9rem"),
      extra("SvcDescription", "Description", "16rem"),
      ...EXTRA,
    ],
  },
};

export const FIRST = "Software";

const kindOf = (kind: string): KindOfItem => KINDS[kind] ?? (KINDS[FIRST] as KindOfItem);

/** The columns that make an item the same on two machines. */
export const groupedBy = (kind: string) => kindOf(kind).same;

/** What a field is called where names and versions are counted; none: only items on their machines have it. */
export function ofGroups(kind: string, field: FieldName): string | undefined {
  const { same, publisher, details } = kindOf(kind);
  if (field === fieldOf("ConfigurationData", same.version)) return "version";
  const others = details.map(({ column }) => fieldOf("ConfigurationData", column));
  return ["item", publisher && "publisher", ...others].includes(field) ? field : undefined;
}

/** Columns that items can be ordered by. */
const SORTS = new Set(["Item", "CurrentVersion", "Publisher", "SvcState", "Computer"]);

export const cellText = (column: string, value: Value | undefined) => cellOf(column, value);

export const rowKey = (row: Row) => String(row["Sort"]);

function fieldIn(column: string): { field?: FieldName } {
  const field = column === "Item" ? "item" : fieldOf("ConfigurationData", column);
  return field ? { field } : {};
}

/** Items of machines, one by one. */
export function itemColumns(kind: string): Column<Row>[] {
  return kindOf(kind).shown.map(({ column, label, width, extra: more }) => ({
    id: column,
    label,
    width,
    text: (row) => cellText(column, row[column]),
    ...fieldIn(column),
    value: (row) => String(row[column] ?? ""),
    ...(SORTS.has(column) ? { sorts: true as const } : {}),
    ...(more ? { extra: true as const } : {}),
  }));
}

/** Names and versions, and how common they are. `all`: how many machines there are. */
export function groupColumns(kind: string, all: number): Column<Group>[] {
  const { name, version, publisher, details } = kindOf(kind);
  return [
    { id: "item", label: name, width: "minmax(12rem, 3fr)", text: (group) => group.name, field: "item", sorts: true },
    {
      id: "version",
      label: version,
      width: "minmax(8rem, 1fr)",
      text: (group) => group.version,
      sorts: true,
      ...fieldIn(groupedBy(kind).version),
    },
    ...(publisher
      ? [
          {
            id: "publisher",
            label: publisher,
            width: "minmax(8rem, 2fr)",
            text: (group: Group) => group.publisher,
            field: "publisher" as const,
            sorts: true as const,
          },
        ]
      : []),
    ...details.map(({ column, label, width }) => ({
      id: column,
      label,
      width,
      text: (group: Group) => cellText(column, group.details[column] as Value),
      ...fieldIn(column),
      value: (group: Group) => String(group.details[column] ?? ""),
    })),
    {
      id: "machines",
      label: "Machines",
      width: "9rem",
      text: (group) => `on ${group.machines} of ${all}`,
      value: (group) => String(group.machines),
      sorts: true,
    },
  ];
}

export const groupKey = (group: Group) => JSON.stringify([group.name, group.version, group.publisher, group.details]);

/** Columns of a file that is exported. */
export function exportedColumns(kind: string): string[] {
  const names = kindOf(kind).shown.map(({ column }) => column);
  const named = kind === "Software" ? "SoftwareName" : kind === "Files" ? "FileSystemPath" : "SvcName";
  return [...new Set([named, ...names.filter((name) => name !== "Item"), "Name", "ConfigDataType"])];
}

/** What a kind is called within a sentence: `Linux daemons`, `software`. */
export const kindWords = (kind: string) =>
  (KINDS[kind]?.label ?? "items").replace(/^(?=[SF])./, (first) => first.toLowerCase());
