/** The inventory as a file, written while it comes. */
import { ask } from "../api/client";
import { FORMS, type FormName } from "../files";
import type { Filter } from "../filter/filter";
import { everything, exported } from "./items";

/** Machines of one question: some hundred thousand rows are an answer that is not cut. */
const BATCH = 200;

export interface Wanted {
  kind: string;
  at: string;
  filter: Filter;
  columns: string[];
}

/**
 * Return a file of everything that is wanted. `told` hears of how many machines it is done with. What has come is handed to
 * the browser, which keeps it on disk when it is much.
 */
export async function written(
  { kind, at, filter, columns }: Wanted,
  name: FormName,
  told: (done: number, all: number) => void,
  signal: AbortSignal,
): Promise<Blob> {
  const form = FORMS[name];
  const machines = await exported(kind, at, filter, signal);
  const parts: Blob[] = [new Blob([form.begin(columns)])];
  let first = true;
  for (let start = 0; start < machines.length; start += BATCH) {
    told(start, machines.length);
    const some = machines.slice(start, start + BATCH);
    const ends: [string, string] = [some[0] ?? "", some.at(-1) ?? ""];
    const { rows, cut } = await ask(everything(kind, at, filter, columns, ends), signal);
    if (cut) throw new Error(`The file would not have all rows: ${cut}`);
    const lines = rows.map((row, number) => form.row(row, columns, first && number === 0));
    if (lines.length) first = false;
    parts.push(new Blob(lines));
  }
  told(machines.length, machines.length);
  parts.push(new Blob([form.end]));
  return new Blob(parts, { type: form.type });
}
