/** Rows as files. */
import type { Row, Value } from "../api/client";

/** A spreadsheet takes a cell that begins like this for a formula, and runs it (OWASP, CSV injection). */
const FORMULA = /^[=+\-@\t\r]/;

function cell(value: Value): string {
  if (value === null) return "";
  const text = typeof value === "string" && FORMULA.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const used = (rows: Row[]) =>
  Object.keys(rows[0] ?? {}).filter((name) => rows.some((row) => row[name] !== null && row[name] !== ""));

/** RFC 4180. `names`: its columns; if they are not said, those that are not empty throughout. */
export function csv(rows: Row[], names = used(rows)): string {
  const lines = rows.map((row) => names.map((name) => cell(row[name] ?? null)).join(","));
  return [names.map(cell).join(","), ...lines, ""].join("\r\n");
}

export function download(name: string, type: string, content: string): void {
  const address = URL.createObjectURL(new Blob([content], { type: `${type};charset=utf-8` }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}
