/** What the server is asked, and how it says no. */
import type { components } from "./schema";

export type Schemas = components["schemas"];
export type Session = Schemas["Session"];
export type Machine = Schemas["Machine"];
export type ChangeRow = Schemas["ConfigurationChange"];
export type InventoryRow = Schemas["ConfigurationData"];
export type HealthRow = Schemas["TrackingHealth"];

/** What is wrong with a query; `start` and `end` count characters, not halves of them. */
export interface Mistake {
  code: string;
  message: string;
  reason: string;
  suggestion: string;
  line: number;
  pos: number;
  start: number;
  end: number;
}

/** A refusal, with what the server says about it. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** Of a query that is none. */
    readonly mistake?: Mistake,
    /** Seconds after which the server wants to be asked again; 0: it does not say. */
    readonly after = 0,
  ) {
    super(message);
  }
}

const signedOut = new Set<() => void>();

/** Be told when the server does not know this browser any more. */
export function onSignedOut(listener: () => void): () => void {
  signedOut.add(listener);
  return () => signedOut.delete(listener);
}

let life = 0;

/** Note that somebody signed in: what was asked before, by another session, is not heard any more. */
export function beginSession(): void {
  life += 1;
}

/** How long after somebody touched the page it still asks on his behalf. */
const ATTENTION = 60_000;
let touched = Date.now();
for (const kind of ["pointerdown", "pointermove", "keydown", "wheel"]) {
  window.addEventListener(kind, () => (touched = Date.now()), { passive: true, capture: true });
}

interface Refusal {
  error?: { code?: string; message?: string; innererror?: Mistake };
}

async function refusal(response: Response): Promise<Refused> {
  const body = (await response.json().catch(() => ({}))) as Refusal;
  const mistake = body.error?.innererror;
  const message = mistake?.message ?? body.error?.message ?? `the server answered ${response.status}`;
  return new Refused(
    response.status,
    body.error?.code ?? "",
    message,
    mistake,
    Number(response.headers.get("retry-after")) || 0,
  );
}

interface Options {
  body?: unknown;
  /** A body that is JSON text already, and goes as it is. */
  text?: string;
  signal?: AbortSignal | undefined;
  quiet?: boolean;
  headers?: Record<string, string>;
  /** How the answer is read, if not as JSON. */
  read?: (response: Response) => Promise<unknown>;
}

export async function request<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const asked = life;
  const headers: Record<string, string> = { ...options.headers };
  const given: RequestInit = { method, credentials: "same-origin", signal: options.signal ?? null, headers };
  // A page that nobody looks at keeps no session alive.
  if (Date.now() - touched > ATTENTION) headers["x-whatchanged-unasked"] = "1";
  if (options.body !== undefined || options.text !== undefined) {
    given.body = options.text ?? JSON.stringify(options.body);
    headers["content-type"] = "application/json";
  }
  let response: Response;
  try {
    response = await fetch(path, given);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Refused(0, "NoAnswer", "The server does not answer. Is it running, and is this machine connected to it?");
  }
  if (!response.ok) {
    if (response.status === 401 && !options.quiet && asked === life) for (const listener of [...signedOut]) listener();
    throw await refusal(response);
  }
  const read = options.read ?? ((answer: Response) => answer.json());
  return (response.status === 204 ? undefined : await read(response)) as T;
}

export type Value = string | number | boolean | null;
export type Row = Record<string, Value>;

/** A query with its values beside it: they never become a part of its text. */
export interface Question {
  text: string;
  parameters: Record<string, string>;
}

export interface Answer {
  rows: Row[];
  /** Why these are not all rows; empty: they are. */
  cut: string;
}

interface Partial {
  details?: { message?: string }[];
}

export async function ask(question: Question, signal?: AbortSignal): Promise<Answer> {
  const body = { query: question.text, parameters: question.parameters };
  const answer = await request<Schemas["Tables"]>("POST", "/v1/workspaces/default/query", { body, signal });
  const [table] = answer.tables;
  if (!table) return { rows: [], cut: "" };
  const names = table.columns.map((column) => column.name);
  const rows = table.rows.map((cells) => Object.fromEntries(names.map((name, at) => [name, cells[at] as Value])));
  const partial = answer.error as Partial | undefined;
  return { rows, cut: partial?.details?.[0]?.message ?? (partial ? "the answer was cut" : "") };
}
