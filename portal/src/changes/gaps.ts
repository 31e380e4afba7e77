/** What is not known: records that were lost, and machines that are not heard. */
import { useQuery } from "@tanstack/react-query";
import { ask, type Row } from "../api/client";
import { Asking, type Filter, span } from "../filter/filter";
import { whenText } from "../moments";

/** A time in which changes of a machine may be missing, in milliseconds. */
export interface Gap {
  from: number;
  to: number;
  computer: string;
  /** Machines that say the same of the same time. */
  machines: number;
  reason: string;
}

/** The newest; more would hatch everything. */
const MOST = 100;

interface Lost {
  epoch: string;
  first: number;
  last: number;
  computer: string;
  reason: string;
  noted: number;
}

/** What the server says of records that never came, and of the time that it lost itself. */
async function told(filter: Filter, signal: AbortSignal): Promise<Row[]> {
  const asking = new Asking();
  const conditions = filter.conditions.filter((one) => one.field === "machine");
  const machines = asking.where({ ...filter, text: "", conditions }, "ConfigurationChange", false);
  const text =
    `TrackingHealth\n| where Component == 'Server'\n${machines}` +
    "| where Reason == 'Restored' or (Reason == 'Gap' and Stream startswith 'CONFIG_CHANGE')\n" +
    "| summarize arg_max(TimeGenerated, Status, Detail, Computer, WindowStart, WindowEnd)" +
    " by Reason, SourceComputerId, Epoch, FirstSequence, LastSequence\n" +
    `| where Reason == 'Restored' or Status == 'Error'\n| top ${MOST} by TimeGenerated desc`;
  return (await ask(asking.question(text), signal)).rows;
}

const key = (epoch: string, sequence: number) => `${epoch} ${sequence}`;

/** Lost records stand between those before and after them: when these were is told by their rows. */
async function timesAround(lost: Lost[], signal: AbortSignal): Promise<Map<string, number>> {
  if (!lost.length) return new Map();
  const asking = new Asking();
  const epochs = [...new Set(lost.map((one) => one.epoch))].map((epoch) => asking.value(epoch));
  const sequences = [...new Set(lost.flatMap((one) => [one.first - 1, one.last + 1]))].join(", ");
  const text =
    `ConfigurationChange\n| where Sequence in (${sequences})\n| where Epoch in (${epochs.join(", ")})\n` +
    "| project Epoch, Sequence, TimeGenerated";
  const { rows } = await ask(asking.question(text), signal);
  return new Map(
    rows.map((row) => [key(String(row["Epoch"]), Number(row["Sequence"])), Date.parse(String(row["TimeGenerated"]))]),
  );
}

const overlaps = (gap: Gap, times: [number, number] | null) => !times || (gap.to >= times[0] && gap.from <= times[1]);

async function known(filter: Filter, signal: AbortSignal): Promise<Gap[]> {
  const rows = await told(filter, signal);
  const lost = rows.filter((row) => row["Reason"] === "Gap").map(lostOf);
  const times = await timesAround(lost, signal);
  const gaps = lost.map(({ epoch, first, last, computer, reason, noted }): Gap => {
    const to = times.get(key(epoch, last + 1)) ?? noted;
    return { from: times.get(key(epoch, first - 1)) ?? to, to, computer, machines: 1, reason };
  });
  return [...gaps, ...setBack(rows)].filter((gap) => overlaps(gap, span(filter, Date.now())));
}

function lostOf(row: Row): Lost {
  return {
    epoch: String(row["Epoch"]),
    first: Number(row["FirstSequence"]),
    last: Number(row["LastSequence"]),
    computer: String(row["Computer"]),
    reason: String(row["Detail"]),
    noted: Date.parse(String(row["TimeGenerated"])),
  };
}

/** Where the server was set back to a backup, all machines say the same. */
function setBack(rows: Row[]): Gap[] {
  const found = new Map<string, Gap>();
  for (const row of rows) {
    if (row["Reason"] !== "Restored") continue;
    const [from, to] = [Date.parse(String(row["WindowStart"])), Date.parse(String(row["WindowEnd"]))];
    const there = found.get(`${from} ${to}`);
    if (there) there.machines += 1;
    else {
      const [computer, reason] = [String(row["Computer"]), String(row["Detail"])];
      found.set(`${from} ${to}`, { from, to, computer, machines: 1, reason });
    }
  }
  return [...found.values()];
}

export function useGaps(filter: Filter, ready: boolean) {
  const machines = filter.conditions.filter((one) => one.field === "machine");
  return useQuery({
    queryKey: ["gaps", filter.window, filter.from, filter.to, machines],
    queryFn: ({ signal }) => known(filter, signal),
    enabled: ready,
    staleTime: 60_000,
  });
}

export function gapText(gap: Gap): string {
  const who = gap.machines > 1 ? `${gap.machines} machines` : gap.computer;
  return `Nothing is known from ${whenText(new Date(gap.from).toISOString())} to ${whenText(new Date(gap.to).toISOString())} on ${who}: ${gap.reason}`;
}
