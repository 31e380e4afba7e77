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
  const found: Property[] = [];
  for (const [name, value] of Object.entries(named)) {
    if (ASIDE.test(name) || isPrevious(name, row)) continue;
    const pair = previousOf(name);
    const earlier = named[pair];
    const [before, after] = [text(pair, earlier), text(name, value)];
    if (!before && !after) continue;
    const compared = row.ChangeCategory === "Modified" && pair in named;
    found.push({
      name,
      before: row.ChangeCategory === "Added" ? "" : before,
      after: row.ChangeCategory === "Removed" && !before ? "" : after,
      changed: compared && value !== earlier && fieldsChanged(row).has(name),
      beforeMeans: meaning(pair, earlier),
      afterMeans: meaning(name, value),
    });
    const last = found.at(-1);
    if (last && row.ChangeCategory === "Removed" && !before) last.before = after;
  }
  return found.sort((one, other) => Number(other.changed) - Number(one.changed));
}

function fieldsChanged(row: Change): Set<string> {
  const named = (row.FieldsChanged ?? "").split(",").map((name) => name.trim());
  // Of a service the property of this row, by the name that upstream gives it.
  const service = row.SvcChangeType ? [`Svc${row.SvcChangeType}`, "SvcAccount"] : [];
  return new Set([...named, ...service, "Current"]);
}
