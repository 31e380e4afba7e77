/** Times and numbers as people read them. */
import type { Value } from "./api/client";

/** ISO 8601 in the place's own time: it sorts, it is short, and nobody takes a day for a month. */
const EXACT = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });
const NUMBER = new Intl.NumberFormat();
const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

export function whenText(value: Value | undefined): string {
  const time = Date.parse(String(value));
  return Number.isNaN(time) ? "" : EXACT.format(time);
}

export function agoText(value: Value | undefined, now = Date.now()): string {
  const time = Date.parse(String(value));
  if (Number.isNaN(time)) return "";
  const seconds = Math.round((time - now) / 1000);
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return RELATIVE.format(Math.trunc(seconds / size), unit);
  }
  return RELATIVE.format(0, "second");
}

export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${NUMBER.format(bytes)} B`;
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), 5);
  return `${(bytes / 1024 ** power).toFixed(1)} ${"KMGTP"[power - 1]}iB (${NUMBER.format(bytes)} B)`;
}

const TIMES = new Set(["TimeGenerated", "IngestedAt", "PreviousSeen", "InstalledAt"]);

/** Return a value of a table as a cell shows it; `column` says what it is. */
export function cellOf(column: string, value: Value | undefined): string {
  if (value === null || value === undefined || value === "") return "";
  if (column === "Size" || column === "PreviousSize") return sizeText(Number(value));
  if (TIMES.has(column) || /^(Previous)?Date/.test(column)) return whenText(value);
  return String(value);
}

export const numberText = (value: number) => NUMBER.format(value);
