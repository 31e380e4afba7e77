/** The one filter of all pages: what it is, how it stands in the address, how it becomes a query. */
import type { Question } from "../api/client";
import { UNSEEN } from "../text";

export type Table = "ConfigurationChange" | "ConfigurationData";

interface Field {
  label: string;
  /** Expression in KQL, by table; a table that is missing has nothing of the kind. */
  in: Partial<Record<Table, string>>;
  /** The column is a list, comma-separated: any of it counts. */
  list?: true;
  /** It speaks of the clock on the wall: `LOCAL` in its expression stands for the time there. */
  local?: true;
}

export const ITEM =
  "case(isnotempty(FileSystemPath), FileSystemPath, " +
  "isnotempty(RegistryKey), strcat(RegistryKey, '\\\\', ValueName), " +
  "isnotempty(SoftwareName), SoftwareName, isnotempty(SvcName), SvcName, Name)";

function both(expression: string): Record<Table, string> {
  return { ConfigurationChange: expression, ConfigurationData: expression };
}

const change = (expression: string) => ({ ConfigurationChange: expression });
const data = (expression: string) => ({ ConfigurationData: expression });

/** In the order in which they are offered. */
export const FIELDS = {
  kind: { label: "Kind", in: change("ConfigChangeType") },
  category: { label: "Change", in: change("ChangeCategory") },
  machine: { label: "Machine", in: both("Computer") },
  item: { label: "Item", in: both(ITEM) },
  renamed: { label: "Renamed from", in: change("PreviousFileSystemPath") },
  fields: { label: "Fields changed", in: change("FieldsChanged"), list: true },
  program: { label: "Program", in: change("InitiatingProcessName") },
  account: { label: "Account", in: change("InitiatingProcessAccountName") },
  command: { label: "Command line", in: change("InitiatingProcessCommandLine") },
  explained: { label: "Explained by", in: change("ExplainedBy") },
  rule: { label: "Rule", in: both("RuleName") },
  publisher: { label: "Publisher", in: both("Publisher") },
  version: { label: "Version", in: { ConfigurationChange: "Current", ConfigurationData: "CurrentVersion" } },
  versionBefore: { label: "Version before", in: change("Previous") },
  architecture: { label: "Architecture", in: both("Architecture") },
  type: { label: "Type of software", in: data("SoftwareType") },
  package: { label: "Package URL", in: data("PackageUrl") },
  installed: { label: "Installed", in: data("tostring(InstalledAt)") },
  state: { label: "State", in: both("SvcState") },
  stateBefore: { label: "State before", in: change("SvcPreviousState") },
  startup: { label: "Startup", in: both("SvcStartupType") },
  startupBefore: { label: "Startup before", in: change("SvcPreviousStartupType") },
  enablement: { label: "Enablement", in: both("SvcRunlevels") },
  display: { label: "Display name", in: both("SvcDisplayName") },
  description: { label: "Description", in: data("SvcDescription") },
  path: { label: "Program of a service", in: both("SvcPath") },
  logon: { label: "Account of a service", in: both("SvcAccount") },
  location: { label: "Location", in: both("Location") },
  size: { label: "Size", in: both("tostring(Size)") },
  sizeBefore: { label: "Size before", in: change("tostring(PreviousSize)") },
  modified: { label: "Modified", in: both("tostring(DateModified)") },
  modifiedBefore: { label: "Modified before", in: change("tostring(PreviousDateModified)") },
  created: { label: "Created", in: both("tostring(DateCreated)") },
  attributes: { label: "Attributes", in: both("Attributes") },
  attributesBefore: { label: "Attributes before", in: change("PreviousAttributes") },
  access: { label: "Owner and access", in: both("Acls") },
  accessBefore: { label: "Owner and access before", in: change("PreviousAcls") },
  checksum: { label: "Checksum", in: both("FileContentChecksum") },
  checksumBefore: { label: "Checksum before", in: change("PreviousFileContentChecksum") },
  value: { label: "Value", in: change("ValueData") },
  valueBefore: { label: "Value before", in: change("PreviousValueData") },
  weekday: {
    label: "Weekday (0 is Sunday)",
    in: change("tostring(toint(dayofweek(LOCAL) / 1d))"),
    local: true,
  },
  hour: { label: "Hour", in: change("tostring(hourofday(LOCAL))"), local: true },
  detected: { label: "Detected by", in: change("DetectedBy") },
  time: { label: "Time", in: change("tostring(TimeGenerated)") },
  seen: { label: "Seen before", in: change("tostring(PreviousSeen)") },
  arrived: { label: "Arrived", in: change("tostring(IngestedAt)") },
  machineId: { label: "Machine id", in: both("SourceComputerId") },
  transaction: { label: "Transaction", in: change("TransactionId") },
  change: { label: "Change id", in: change("ChangeId") },
} as const satisfies Record<string, Field>;

export type FieldName = keyof typeof FIELDS;

export const FIELD_NAMES = Object.keys(FIELDS) as FieldName[];

const field = (name: FieldName): Field => FIELDS[name];

/** Fields that a table has. */
export const fieldsOf = (table: Table) => FIELD_NAMES.filter((name) => table in FIELDS[name].in);

/** The field that a column of a table is; none: it is one of no field. */
export const fieldOf = (table: Table, column: string) =>
  FIELD_NAMES.find((name) => [column, `tostring(${column})`].includes(field(name).in[table] ?? ""));

/** Whether a column of the field is a list. */
export const isList = (name: FieldName) => field(name).list === true;

/** Whether what a condition means depends on the time zone. */
export const isLocal = (name: FieldName) => field(name).local === true;

export interface Condition {
  field: FieldName;
  not: boolean;
  values: string[];
}

export const WINDOWS = {
  "1h": "Last hour",
  "24h": "Last 24 hours",
  "7d": "Last 7 days",
  "30d": "Last 30 days",
  all: "All time",
} as const;

export type Window = keyof typeof WINDOWS;

const AS_USUAL: Window = "24h";

export interface Filter {
  window: Window;
  /** Begin and end in ISO 8601; both empty: `window` counts. */
  from: string;
  to: string;
  text: string;
  conditions: Condition[];
  /** Time zone of hours and weekdays (IANA), if they were chosen in another than that of this browser. */
  zone?: string;
}

const HERE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** Return the time zone that hours and weekdays are of: whoever gets a link sees what was sent. */
export const zoneOf = (filter: Filter) => filter.zone ?? HERE;

function isZone(name: string): boolean {
  try {
    return Boolean(new Intl.DateTimeFormat("en", { timeZone: name }));
  } catch {
    return false; // RangeError: there is none of this name
  }
}

export function read(query: URLSearchParams): Filter {
  const named = query.get("in") ?? "";
  const conditions: Condition[] = [];
  for (const name of FIELD_NAMES) {
    for (const not of [false, true]) {
      const values = query.getAll(`${not ? "not" : "is"}.${name}`);
      if (values.length) conditions.push({ field: name, not, values });
    }
  }
  const zone = query.get("zone");
  return {
    ...(zone && isZone(zone) ? { zone } : {}),
    window: named in WINDOWS ? (named as Window) : AS_USUAL,
    from: moment(query.get("from")),
    to: moment(query.get("to")),
    text: query.get("text") ?? "",
    conditions,
  };
}

function moment(text: string | null): string {
  const time = text ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? "" : new Date(time).toISOString();
}

/** Return the address' query with this filter in it, and whatever else stands there. */
export function write(filter: Filter, query: URLSearchParams): URLSearchParams {
  const written = new URLSearchParams();
  for (const [name, value] of query) {
    if (!/^((is|not)\..*|in|from|to|text|zone)$/.test(name)) written.append(name, value);
  }
  if (filter.from || filter.to) {
    if (filter.from) written.set("from", filter.from);
    if (filter.to) written.set("to", filter.to);
  } else if (filter.window !== AS_USUAL) written.set("in", filter.window);
  if (filter.text) written.set("text", filter.text);
  if (filter.conditions.some((one) => isLocal(one.field))) written.set("zone", zoneOf(filter));
  for (const { field: name, not, values } of filter.conditions) {
    for (const value of values) written.append(`${not ? "not" : "is"}.${name}`, value);
  }
  return written;
}

/** Return the filter with one more value: "only this" goes to what is there, "not this" takes it away. */
export function narrowed(filter: Filter, name: FieldName, value: string, not: boolean): Filter {
  const others = filter.conditions.filter((one) => one.field !== name || one.not !== not);
  const there = filter.conditions.find((one) => one.field === name && one.not === not);
  const values = not ? [...new Set([...(there?.values ?? []), value])] : [value];
  return { ...filter, conditions: [...others, { field: name, not, values }] };
}

export function without(filter: Filter, name: FieldName, not: boolean): Filter {
  return { ...filter, conditions: filter.conditions.filter((one) => one.field !== name || one.not !== not) };
}

const HOUR = 3_600_000;
const SPANS: Record<Exclude<Window, "all">, number> = {
  "1h": HOUR,
  "24h": 24 * HOUR,
  "7d": 168 * HOUR,
  "30d": 720 * HOUR,
};

/** Return begin and end of the filter's time, in milliseconds; null: it has no begin. */
export function span(filter: Filter, now: number): [number, number] | null {
  if (filter.from || filter.to) {
    return filter.from ? [Date.parse(filter.from), filter.to ? Date.parse(filter.to) : now] : null;
  }
  return filter.window === "all" ? null : [now - SPANS[filter.window], now];
}

/** Return the filter with a condition, in place of the one that it was, and of another of the same kind. */
export function replaced(filter: Filter, former: Condition | null, condition: Condition): Filter {
  const rest = former ? without(filter, former.field, former.not) : filter;
  const { conditions } = without(rest, condition.field, condition.not);
  return { ...filter, conditions: [...conditions, condition] };
}

export function isEmpty(filter: Filter): boolean {
  return !filter.text && !filter.conditions.length;
}

/** What a page asks: `where` lines of the filter, and values as parameters. */
export class Asking {
  private readonly declared: string[] = [];
  private readonly values: Record<string, string> = {};

  /** Return the name of a parameter that has this value. */
  value(value: string, type: "string" | "datetime" = "string"): string {
    const name = `v${this.declared.length}`;
    this.declared.push(`${name}:${type}`);
    this.values[name] = value;
    return name;
  }

  /** Return the lines that let through what the filter lets through. `timed`: its time counts, too. */
  where(filter: Filter, table: Table, timed = true): string {
    const lines: string[] = [];
    if (timed) lines.push(...this.times(filter));
    for (const condition of filter.conditions) {
      const line = this.condition(condition, table, zoneOf(filter));
      if (line) lines.push(line);
    }
    if (filter.text) {
      const text = this.value(filter.text);
      const columns = [ITEM, "Name", "SoftwareName", "SvcDisplayName", "Publisher", "Computer"];
      if (table === "ConfigurationChange") columns.push("PreviousFileSystemPath", "InitiatingProcessCommandLine");
      lines.push(columns.map((column) => `${column} contains ${text}`).join(" or "));
    }
    return lines.map((line) => `| where ${line}\n`).join("");
  }

  question(text: string): Question {
    const head = this.declared.length ? `declare query_parameters(${this.declared.join(", ")});\n` : "";
    return { text: head + text, parameters: this.values };
  }

  private times(filter: Filter): string[] {
    if (!filter.from && !filter.to) return filter.window === "all" ? [] : [`TimeGenerated > ago(${filter.window})`];
    const lines: string[] = [];
    if (filter.from) lines.push(`TimeGenerated >= ${this.value(filter.from, "datetime")}`);
    if (filter.to) lines.push(`TimeGenerated < ${this.value(filter.to, "datetime")}`);
    return lines;
  }

  /** Return an expression over a table, with the time there in place of `LOCAL`. */
  local(expression: string, zone: string): string {
    return expression.replace("LOCAL", `datetime_utc_to_local(TimeGenerated, ${this.value(zone)})`);
  }

  /** Return the expression of a field over a table; empty: the table has nothing of the kind. */
  expression(name: FieldName, table: Table, zone: string): string {
    const named = field(name).in[table] ?? "";
    return isLocal(name) ? this.local(named, zone) : named;
  }

  private condition(condition: Condition, table: Table, zone: string): string {
    const column = this.expression(condition.field, table, zone);
    if (!column) return "";
    if (isList(condition.field)) {
      // Several of them in one value, or none, are the whole list.
      const lines = condition.values.map((value) =>
        /^$|,/.test(value)
          ? `${column} == ${this.value(value)}`
          : `strcat(',', ${column}, ',') contains_cs strcat(',', ${this.value(value)}, ',')`,
      );
      return condition.not ? `not(${lines.join(" or ")})` : lines.join(" or ");
    }
    const names = condition.values.map((value) => this.value(value));
    return `${column} ${condition.not ? "!in" : "in"} (${names.join(", ")})`;
  }
}

/** As `Asking`, with the values written into the text, where somebody reads them and goes on. */
export class Written extends Asking {
  override value(value: string, type: "string" | "datetime" = "string"): string {
    if (type === "datetime") return `datetime(${value})`;
    // The escapes of JSON are escapes of the language, too; what would not be seen is written as one.
    return JSON.stringify(value).replace(UNSEEN, (sign) => {
      const code = (sign.codePointAt(0) ?? 0).toString(16);
      return code.length > 4 ? `\\U${code.padStart(8, "0")}` : `\\u${code.padStart(4, "0")}`;
    });
  }
}
