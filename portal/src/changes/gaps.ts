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

const MOST = 200;

/**
 * Lost records stand between those before and after them, whose times say when; where the server was set back it says so
 */
function question(filter: Filter) {
  const asking = new Asking();
  const conditions = filter.conditions.filter((one) => one.field === "machine");
  const machines = asking.where({ ...filter, text: "", conditions }, "ConfigurationChange", false);
  return asking.question(
    `let told = TrackingHealth\n${machines}| where Component == 'Server';
let lost = told
| where Reason == 'Gap' and Status == 'Error' and Stream startswith 'CONFIG_CHANGE'
| summarize arg_max(TimeGenerated, Detail, Computer) by SourceComputerId, Epoch, FirstSequence, LastSequence
| top ${MOST} by TimeGenerated desc
| project SourceComputerId, Epoch, FirstSequence, LastSequence, Detail, Computer, Noted = TimeGenerated;
let around = ConfigurationChange
| where Epoch in (lost | distinct Epoch)
| project SourceComputerId, Epoch, Sequence, TimeGenerated;
let gaps = lost
| join kind=leftouter around on SourceComputerId, Epoch
| summarize From = maxif(TimeGenerated, Sequence < FirstSequence), To = minif(TimeGenerated, Sequence > LastSequence)
    by Computer, SourceComputerId, FirstSequence, LastSequence, Detail, Noted
| project Computer, From, To = iff(isnull(To), Noted, To), Detail, Machines = 1;
let back = told
| where Reason == 'Restored'
| summarize Machines = dcount(SourceComputerId), Computer = take_any(Computer) by From = WindowStart, To = WindowEnd, Detail
| project Computer, From, To, Detail, Machines;
union gaps, back | top ${MOST} by To desc`,
  );
}

function gapOf(row: Row): Gap {
  const to = Date.parse(String(row["To"]));
  const from = Date.parse(String(row["From"]));
  return {
    from: Number.isNaN(from) ? to : from,
    to,
    computer: String(row["Computer"] ?? ""),
    machines: Number(row["Machines"]),
    reason: String(row["Detail"] ?? ""),
  };
}

const overlaps = (gap: Gap, times: [number, number] | null) => !times || (gap.to >= times[0] && gap.from <= times[1]);

async function known(filter: Filter, signal: AbortSignal): Promise<Gap[]> {
  const { rows } = await ask(question(filter), signal);
  return rows.map(gapOf).filter((gap) => overlaps(gap, span(filter, Date.now())));
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
