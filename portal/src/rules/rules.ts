/** What the server knows of rules, and what is asked of it. */
import { type Machine, Refused, request, type Schemas, type Session } from "../api/client";
import { type Json, pretty } from "./document";

export type Rule = Schemas["Rule"];
export type RuleProblem = Schemas["RuleProblem"];
export type RuleSource = Schemas["RuleSource"];
export type RuleVersion = Schemas["RuleVersion"];
export type Association = Schemas["Association"];
export type Check = Schemas["RuleCheck"];

export interface Known {
  rules: Rule[];
  associations: Association[];
  machines: Machine[];
}

const path = (name: string) => `/api/v1/rules/${encodeURIComponent(name)}`;

export async function known(signal: AbortSignal): Promise<Known> {
  const [rules, associations, machines] = await Promise.all([
    request<Schemas["Rules"]>("GET", "/api/v1/rules?documents=false", { signal }),
    request<Schemas["Associations"]>("GET", "/api/v1/associations", { signal }),
    request<Schemas["Machines"]>("GET", "/api/v1/machines", { signal }),
  ]);
  return { rules: rules.value, associations: associations.value, machines: machines.value };
}

/** Rules concern every machine that they are associated with: who is limited to groups may not change them. */
export const mayEdit = (session: Session) => session.role !== "Reader" && !session.machineGroups;
export const mayAssociate = (session: Session) => session.role !== "Reader";

export const rule = (name: string, signal?: AbortSignal) => request<Rule>("GET", path(name), { signal });
export const versions = async (name: string, signal: AbortSignal) =>
  (await request<Schemas["RuleVersions"]>("GET", `${path(name)}/versions`, { signal })).value;
export const version = (name: string, id: number, signal: AbortSignal) =>
  request<RuleVersion>("GET", `${path(name)}/versions/${id}`, { signal });

/** Save a rule, if it is still the one that is known by its etag; an empty one: if there is none yet. */
export const save = (name: string, etag: string, text: string) =>
  request<Rule>("PUT", path(name), {
    text,
    headers: etag ? { "if-match": `"${etag}"` } : { "if-none-match": "*" },
  });

export const drop = (known: Rule) =>
  request<void>("DELETE", path(known.name), { headers: { "if-match": `"${known.etag}"` } });

export const check = (text: string, signal?: AbortSignal) =>
  request<Check>("POST", "/api/v1/rule-checks", { text, signal });

/** Somebody else changed it in the meantime. */
export const isOvertaken = (error: Error | null): boolean => error instanceof Refused && error.status === 412;

export const isFor = (machine: Machine, association: Association) =>
  association.machine === machine.id || association.group === machine.machineGroup;

/** Give a rule to a machine or group, under a name that no other association has. */
export function associate(
  associations: Association[],
  target: { rule: string; machine?: string; group?: string },
  of: string,
) {
  const stem = `${target.rule}-${of}`
    .replaceAll(/[^A-Za-z0-9._-]/g, "-")
    .replace(/^[^A-Za-z0-9_]+/, "")
    .slice(0, 120);
  const taken = new Set(associations.map((one) => one.name.toLowerCase()));
  let name = stem;
  for (let number = 2; taken.has(name.toLowerCase()); number += 1) name = `${stem}-${number}`;
  return request<Association>("PUT", `/api/v1/associations/${encodeURIComponent(name)}`, { body: target });
}

export const dissociate = (name: string) => request<void>("DELETE", `/api/v1/associations/${encodeURIComponent(name)}`);

/** What a rule collects, in words: `Windows: 12 registry items, software · Linux: …`. */
export function collects(sources: RuleSource[]): string {
  const words = sources.map((source) => {
    const parts = [
      source.files && `${source.files} file item${source.files > 1 ? "s" : ""}`,
      source.registry && `${source.registry} registry item${source.registry > 1 ? "s" : ""}`,
      source.software && "software",
      source.services && "services",
    ].filter(Boolean);
    return `${systemOf(source)}: ${parts.join(", ") || "nothing"}`;
  });
  return words.join(" · ") || "nothing";
}

export const systemOf = (source: RuleSource) => source.extensionName.replace("ChangeTracking-", "");

export function findings(problems: RuleProblem[]): string {
  const count = (severity: string) => problems.filter((one) => one.severity === severity).length;
  const words = [
    [count("error"), "error"],
    [count("warning"), "warning"],
    [count("note"), "note"],
  ] as const;
  return words
    .filter(([number]) => number)
    .map(([number, word]) => `${number} ${word}${number > 1 ? "s" : ""}`)
    .join(", ");
}

export const documentOf = (found: { document?: unknown }): Json => (found.document ?? {}) as Json;
export const textOf = (found: { document?: unknown }) => pretty(documentOf(found));
