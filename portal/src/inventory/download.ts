/** Rows as files, written while they come. */
import { ask, type Row, type Value } from "../api/client";
import type { Filter } from "../filter/filter";
import { everything, exported } from "./items";

/** A spreadsheet takes a cell that begins like this for a formula, and runs it (OWASP, CSV injection). */
const FORMULA = /^[=+\-@\t\r]/;

/** Machines of one question: some hundred thousand rows are an answer that is not cut. */
const BATCH = 200;

function cell(value: Value): string {
  if (value === null) return "";
  const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

interface Form {
  type: string;
  begin: (columns: string[]) => string;
  row: (row: Row, columns: string[], first: boolean) => string;
  end: string;
}

export const FORMS = {
  /** RFC 4180. */
  csv: {
    type: "text/csv",
    begin: (columns) => `${columns.join(",")}\r\n`,
    row: (row, columns) => `${columns.map((name) => cell(row[name] ?? null)).join(",")}\r\n`,
    end: "",
  },
  json: {
    type: "application/json",
    begin: () => "[",
    row: (row, _, first) => `${first ? "\n" : ",\n"}${JSON.stringify(row)}`,
    end: "\n]\n",
  },
} as const satisfies Record<string, Form>;

export type FormName = keyof typeof FORMS;

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
  const form: Form = FORMS[name];
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
  return new Blob(parts, { type: `${form.type};charset=utf-8` });
}

export function download(name: string, content: Blob): void {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // It is read after this turn.
  window.setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
