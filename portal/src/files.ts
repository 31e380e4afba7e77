/** Rows as files that the browser keeps. */
import type { Row, Value } from "./api/client";

/** A spreadsheet takes a cell that begins like this for a formula, and runs it (OWASP, CSV injection). */
const FORMULA = /^[=+\-@\t\r]/;

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
    type: "text/csv;charset=utf-8",
    begin: (columns) => `${columns.map(cell).join(",")}\r\n`,
    row: (row, columns) => `${columns.map((name) => cell(row[name] ?? null)).join(",")}\r\n`,
    end: "",
  },
  json: {
    type: "application/json;charset=utf-8",
    begin: () => "[",
    row: (row, _, first) => `${first ? "\n" : ",\n"}${JSON.stringify(row)}`,
    end: "\n]\n",
  },
} as const satisfies Record<string, Form>;

export type FormName = keyof typeof FORMS;

/** Return a file of rows. */
export function fileOf(rows: Row[], columns: string[], name: FormName): Blob {
  const form: Form = FORMS[name];
  const lines = rows.map((row, at) => form.row(row, columns, at === 0));
  return new Blob([form.begin(columns), ...lines, form.end], { type: form.type });
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
