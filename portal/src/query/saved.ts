/** Saved queries: what the server keeps, and who may change it. */
import { request, type Session } from "../api/client";

export interface SavedQuery {
  name: string;
  query: string;
  description: string;
  category: string;
  tags: string[];
  builtIn: boolean;
  etag: string;
  updatedAt: string | null;
  updatedBy: string | null;
}

export type Content = Pick<SavedQuery, "query" | "description" | "category" | "tags">;

export const SAVED = ["saved queries"];

/** Whose queries these are: everybody's, so only whoever may change everything. */
export const maySave = (session: Session) => session.role !== "Reader" && !session.machineGroups;

const address = (name: string) => `/api/v1/queries/${encodeURIComponent(name)}`;

export const list = async (signal: AbortSignal) =>
  (await request<{ value: SavedQuery[] }>("GET", "/api/v1/queries", { signal })).value;

/** Save under a name. `known`: what is replaced, as it was seen; null: nothing, the name is to be new. */
export const save = (name: string, content: Content, known: string | null) =>
  request<SavedQuery>("PUT", address(name), {
    body: content,
    headers: known === null ? { "if-none-match": "*" } : { "if-match": `"${known}"` },
  });

export const remove = (saved: SavedQuery) =>
  request<void>("DELETE", address(saved.name), { headers: { "if-match": `"${saved.etag}"` } });
