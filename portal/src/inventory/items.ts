/** What the inventory is asked. */
import { type Answer, ask, type Question } from "../api/client";
import { Asking, type Filter, ITEM } from "../filter/filter";

const PAGE = 300;

/** Items in an order that has no ties: a name, its machine, and what tells two of one name apart. */
const SORT = `strcat(${ITEM}, ' ', Computer, ' ', SourceComputerId, ' ', Architecture, ' ', Location, ' ', CurrentVersion)`;

function items(asking: Asking, kind: string, at: string, filter: Filter): string {
  const moment = at ? `| where TimeGenerated <= ${asking.value(at, "datetime")}\n` : "";
  const where = asking.where(filter, "ConfigurationData", false);
  return `ConfigurationData\n| where ConfigDataType == ${asking.value(kind)}\n${moment}${where}`;
}

export function page(kind: string, at: string, filter: Filter, after: string, signal: AbortSignal): Promise<Answer> {
  const asking = new Asking();
  const wanted = items(asking, kind, at, filter);
  const everywhere = items(asking, kind, at, { ...filter, text: "", conditions: [] });
  const beyond = after ? `| where strcmp(Sort, ${asking.value(after)}) > 0\n` : "";
  const text =
    `${wanted}| extend Item = ${ITEM}, Sort = ${SORT}\n${beyond}| order by Sort asc\n| take ${PAGE}\n` +
    `| join kind=leftouter (${everywhere}| summarize Machines = dcount(SourceComputerId) by Item = ${ITEM}) on Item\n` +
    "| project-away Item1\n| order by Sort asc";
  return ask(asking.question(text), signal);
}

export const nextAfter = (answer: Answer) =>
  answer.rows.length === PAGE ? String(answer.rows.at(-1)?.["Sort"]) : null;

export function count(kind: string, at: string, filter: Filter): Question {
  const asking = new Asking();
  return asking.question(
    `${items(asking, kind, at, filter)}| summarize Items = count(), Machines = dcount(SourceComputerId)`,
  );
}

export function everything(kind: string, at: string, filter: Filter): Question {
  const asking = new Asking();
  return asking.question(`${items(asking, kind, at, filter)}| order by Computer asc, Name asc`);
}
