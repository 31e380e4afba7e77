/**
 * A rule's document is edited in place: what the form does not know stays as it is. Keys are found as the server finds
 * them, whatever their case and by every spelling that real rules have (docs/formats/rules.md).
 */

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}
export type Path = (string | number)[];

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export function get(document: Json, path: Path): Json | undefined {
  let here: Json | undefined = document;
  for (const step of path) {
    if (Array.isArray(here) && typeof step === "number") here = here[step];
    else if (isObject(here) && typeof step === "string" && Object.hasOwn(here, step)) here = here[step];
    else return undefined;
  }
  return here;
}

/** Return the document with another value at a place; objects on the way there are made. */
export function set(document: Json | undefined, path: Path, value: Json): Json {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  if (typeof step === "number") {
    const list = Array.isArray(document) ? [...document] : [];
    list[step] = set(list[step], rest, value);
    return list;
  }
  const object = isObject(document) ? document : {};
  return { ...object, [step]: set(Object.hasOwn(object, step) ? object[step] : undefined, rest, value) };
}

/** Return the document without what stands at a place. */
export function remove(document: Json, path: Path): Json {
  const last = path.at(-1);
  const holder = get(document, path.slice(0, -1));
  if (Array.isArray(holder)) {
    const list = holder.filter((_, at) => at !== last);
    return set(document, path.slice(0, -1), list);
  }
  if (!isObject(holder)) return document;
  const left = Object.fromEntries(Object.entries(holder).filter(([key]) => key !== last));
  return set(document, path.slice(0, -1), left);
}

/** The keys of an object that are one of `names` and filled, the one that counts first. */
export function keysOf(object: Json | undefined, names: string[]): string[] {
  if (!isObject(object)) return [];
  const rank = (key: string) => names.findIndex((name) => name.toLowerCase() === key.toLowerCase());
  return Object.keys(object)
    .filter((key) => rank(key) >= 0 && object[key] !== null)
    .sort((a, b) => Number(!names.includes(a)) - Number(!names.includes(b)) || rank(a) - rank(b));
}

/** Where the value of a field stands, or would stand: under the spelling that the document has. */
export function placeOf(document: Json, holder: Path, names: string[]): Path {
  return [...holder, keysOf(get(document, holder), names)[0] ?? names[0] ?? ""];
}

/** Where the items of a list stand; several spellings of the list are joined, and one object stands for a list. */
export function itemsOf(document: Json, holder: Path, names: string[]): Path[] {
  const here = get(document, holder);
  if (Array.isArray(here)) return here.map((_, at) => [...holder, at]);
  return keysOf(here, names).flatMap((key) => {
    const list = isObject(here) ? here[key] : undefined;
    if (Array.isArray(list)) return list.map((_, at) => [...holder, key, at]);
    return isObject(list) ? [[...holder, key]] : [];
  });
}

/** Return the document with more items in a list. */
export function added(document: Json, holder: Path, names: string[], items: Json[]): Json {
  const here = get(document, holder);
  const list = Array.isArray(here) ? holder : placeOf(document, holder, names);
  const known = get(document, list);
  const before = Array.isArray(known) ? known : isObject(known) ? [known] : [];
  return set(document, list, [...before, ...items]);
}

/** Find the place that the server names, such as `properties.dataSources.extensions[0].extensionSettings`. */
export function resolve(document: Json, place: string): Path {
  const path: Path = [];
  let rest = place;
  let here: Json | undefined = document;
  while (rest) {
    const index = /^\[(\d+)\]\.?/.exec(rest);
    if (index) {
      path.push(Number(index[1]));
      rest = rest.slice(index[0].length);
    } else {
      const text = rest;
      // A key may hold a dot itself: the longest that is there is meant.
      const known = Object.keys(isObject(here) ? here : {})
        .filter((key) => text.startsWith(key) && ["", ".", "["].includes(text.charAt(key.length)))
        .sort((a, b) => b.length - a.length)[0];
      const key = known ?? /^[^.[]*/.exec(text)?.[0] ?? "";
      path.push(key);
      rest = text.slice(key.length).replace(/^\./, "");
      if (!key) break;
    }
    here = get(document, path);
  }
  return path;
}

export const within = (inner: Path, outer: Path) =>
  inner.length >= outer.length && outer.every((step, at) => step === inner[at]);

/** What a browser cannot hold exactly, and would therefore change: the first such number. */
export function inexact(value: Json): number | undefined {
  if (typeof value === "number") return Number.isInteger(value) && !Number.isSafeInteger(value) ? value : undefined;
  if (value === null || typeof value !== "object") return undefined;
  for (const inner of Object.values(value)) {
    const found = inexact(inner as Json);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Refuse a document that would go out as another one than it came. */
export function exact(document: Json): void {
  const number = inexact(document);
  if (number === undefined) return;
  throw new Error(
    `The document holds the number ${number}, which a browser cannot hold exactly: use \`whatchanged rules\` for it.`,
  );
}

export const pretty = (value: Json) => JSON.stringify(value, null, 2);

export interface Misplaced {
  message: string;
  line: number;
  column: number;
  at: number;
}

/** Read JSON; what is wrong with it has its place. */
export function parse(text: string): { value: Json } | { wrong: Misplaced } {
  try {
    return { value: JSON.parse(text) as Json };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    const at = Math.min(Number(/position (\d+)/.exec(said)?.[1] ?? text.length), text.length);
    const before = text.slice(0, at).split("\n");
    const message = said.replace(/ in JSON at position.*| at position.*| \(line .*/s, "");
    return { wrong: { message, at, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 } };
  }
}
