/** The properties of a changed item, each with what it was before. */
import type { Value } from "../api/client";
import { sizeText, whenText } from "../moments";
import { modeText, sddlLines } from "./permissions";
import type { Change } from "./rows";

export interface Property {
  name: string;
  before: string;
  after: string;
  changed: boolean;
  /** In words, where the value is not for people. */
  beforeMeans: string;
  afterMeans: string;
}

/** What describes the record or its cause, and is shown elsewhere. */
const ASIDE =
  /^(_|TimeGenerated$|ChangeId|TransactionId|Stream$|Epoch$|Sequence$|IngestedAt|DetectedBy|PreviousSeen|RuleName|ConfigurationId|Initiating|ExplainedBy|PlanId|Computer$|SourceComputerId|VMUUID|TenantId|Type$|SourceSystem|ManagementGroupName|ConfigChangeType|ChangeCategory|FieldsChanged|SvcChangeType|LastSnapshotAge|PathBytes|PreviousPathBytes)/;

function previousOf(name: string): string {
  if (name === "Current") return "Previous";
  return name.startsWith("Svc") ? `SvcPrevious${name.slice(3)}` : `Previous${name}`;
}

const isPrevious = (name: string, row: Change) =>
  name === "Previous" || (/^(Svc)?Previous./.test(name) && name.replace("Previous", "") in row);

export function text(name: string, value: Value | undefined): string {
  if (value === null || value === undefined || value === "") return "";
  if (/Size$/.test(name)) return sizeText(Number(value));
  if (/Date(Created|Modified)$/.test(name)) return whenText(value);
  return String(value);
}

function meaning(name: string, value: Value | undefined): string {
  if (typeof value !== "string") return "";
  if (/Attributes$/.test(name)) return modeText(value);
  if (/Acls$/.test(name)) return sddlLines(value).join("\n");
  return "";
}

/** Return what has a value now or had one, what changed first. */
export function properties(row: Change): Property[] {
  const named = row as Record<string, Value>;
  const fields = fieldsChanged(row);
  const found: Property[] = [];
  for (const [name, value] of Object.entries(named)) {
    if (ASIDE.test(name) || isPrevious(name, row)) continue;
    const pair = previousOf(name);
    const earlier = named[pair];
    const [before, after] = [text(pair, earlier), text(name, value)];
    if (!before && !after) continue;
    const changed = row.ChangeCategory === "Modified" && pair in named && fields.has(name);
    // What did not change need not have a column for what it was; of what was removed either column says it.
    const was = row.ChangeCategory === "Added" ? "" : before || (changed ? "" : after);
    found.push({
      name,
      before: was,
      after: row.ChangeCategory === "Removed" ? "" : after,
      changed,
      beforeMeans: meaning(pair, earlier || value),
      afterMeans: meaning(name, value),
    });
  }
  return found.sort((one, other) => Number(other.changed) - Number(one.changed));
}

/** Characters of a value within which everybody sees at once what is other than before. */
const SHORT = 60;

/** Whether a change is one that is better seen side by side. */
export function isLong({ name, before, after, changed, beforeMeans, afterMeans }: Property): boolean {
  if (/Checksum$/.test(name)) return false; // another one is another one throughout
  const values = [before, after, beforeMeans, afterMeans];
  return changed && before !== "" && values.some((value) => value.length > SHORT || value.includes("\n"));
}

function fieldsChanged(row: Change): Set<string> {
  const named = (row.FieldsChanged ?? "").split(",").map((name) => name.trim());
  if (row.PreviousFileSystemPath) named.push("FileSystemPath");
  if (row.Previous !== row.Current) named.push("Current");
  return new Set(named);
}
