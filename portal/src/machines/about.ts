/** What one machine's page asks: how its two parts fare, what changed last, what is there, what is missing. */
import { ask, type Row, type Value } from "../api/client";
import { asChange, type Change } from "../changes/rows";
import { Asking } from "../filter/filter";
import { agoText, numberText, sizeText, whenText } from "../moments";

export interface Parts {
  tracker: string;
  waiting: string;
}

/** A tracker asks for its rules at least once a minute. */
const SILENCE = 150_000;

function trackerText(heard: Value | undefined, contact: Value | undefined): string {
  if (!contact) return "has not spoken since the forwarder started: is its service running?";
  if (Date.parse(String(heard)) - Date.parse(String(contact)) <= SILENCE) return "running";
  return `silent since ${whenText(contact)}: \`whatchanged status\` on the machine says why`;
}

/** What the machine's last heartbeat says of tracker and forwarder; nothing, where its agent is older than that. */
export async function parts(machine: string, signal: AbortSignal): Promise<Parts | null> {
  const asking = new Asking();
  const text =
    `Heartbeat\n| where SourceComputerId == ${asking.value(machine)} and TimeGenerated > ago(7d)\n` +
    "| order by TimeGenerated desc\n| take 1\n| project TimeGenerated, QueuedRecords, QueuedBytes, TrackerContact";
  const [row] = (await ask(asking.question(text), signal)).rows;
  if (!row || row["QueuedRecords"] === null) return null;
  const heard = row["TimeGenerated"];
  const [records, bytes] = [Number(row["QueuedRecords"]), Number(row["QueuedBytes"])];
  return {
    tracker: trackerText(heard, row["TrackerContact"]),
    waiting: `${records === 1 ? "1 record" : `${numberText(records)} records`}, ${sizeText(bytes)}; ${agoText(heard)}`,
  };
}

export async function newest(machine: string, signal: AbortSignal): Promise<Change[]> {
  const asking = new Asking();
  const text =
    `ConfigurationChange\n| where SourceComputerId == ${asking.value(machine)}\n` +
    `| order by TimeGenerated desc\n| take 5`;
  return (await ask(asking.question(text), signal)).rows.map(asChange);
}

/** How many items of each kind are there. */
export async function counts(machine: string, signal: AbortSignal): Promise<[string, number][]> {
  const asking = new Asking();
  const text =
    `ConfigurationData\n| where SourceComputerId == ${asking.value(machine)}\n` +
    "| summarize Items = count() by ConfigDataType\n| order by ConfigDataType asc";
  const { rows } = await ask(asking.question(text), signal);
  return rows.map((row) => [String(row["ConfigDataType"]), Number(row["Items"])]);
}

export async function gaps(machine: string, signal: AbortSignal): Promise<Row[]> {
  const asking = new Asking();
  const text =
    `TrackingHealth\n| where SourceComputerId == ${asking.value(machine)} and isnotnull(LostRecords) and LostRecords > 0\n` +
    "| order by TimeGenerated desc\n| take 100\n| project TimeGenerated, Reason, Stream, FirstSequence, LastSequence, LostRecords, Detail";
  return (await ask(asking.question(text), signal)).rows;
}
