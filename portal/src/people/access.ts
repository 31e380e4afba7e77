/** What the server says of people, and what it is asked to change. */
import { request, type Schemas } from "../api/client";

export type Account = Schemas["Account"];
export type Token = Schemas["Token"];
export type EnrollmentToken = Schemas["EnrollmentToken"];
export type Sender = Schemas["KnownSender"];
export type Group = Schemas["MachineGroup"];
export type OwnSession = Schemas["OwnSession"];

const list =
  <T>(path: string) =>
  async ({ signal }: { signal: AbortSignal }): Promise<T[]> =>
    (await request<{ value: T[] }>("GET", path, { signal })).value;

/** Queries of lists; the first part of the key is what a change makes stale. */
export const LISTS = {
  accounts: { queryKey: ["accounts"], queryFn: list<Account>("/api/v1/accounts") },
  tokens: { queryKey: ["tokens"], queryFn: list<Token>("/api/v1/tokens") },
  enrollment: { queryKey: ["enrollment-tokens"], queryFn: list<EnrollmentToken>("/api/v1/enrollment-tokens") },
  senders: { queryKey: ["senders"], queryFn: list<Sender>("/api/v1/senders") },
  groups: { queryKey: ["groups"], queryFn: list<Group>("/api/v1/machine-groups") },
  sessions: { queryKey: ["sessions"], queryFn: list<OwnSession>("/api/v1/sessions") },
};

export const ROLES = {
  Reader: "sees machines, changes and inventory, and asks queries",
  Contributor: "also asks machines to look, and gives them rules; without a limit to groups also writes rules",
  Owner: "also enrols machines and ends them, and decides about people, tokens and settings",
} as const;

export const groupsText = (groups: string[] | null) =>
  groups === null ? "All" : groups.length ? groups.join(", ") : "None";

/** As the server demands of passwords. */
export const SHORTEST = 12;

const SIGNS = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/** Return a password of 20 signs, none of which is taken for another one: 117 bits. */
export function newPassword(): string {
  const signs: string[] = [];
  while (signs.length < 20) {
    for (const byte of crypto.getRandomValues(new Uint8Array(32))) {
      // Bytes beyond the last whole round would make the first signs likelier.
      if (byte < SIGNS.length * 4 && signs.length < 20) signs.push(SIGNS.charAt(byte % SIGNS.length));
    }
  }
  return signs.join("");
}
