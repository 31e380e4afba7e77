/** A query in the address: as it is while it is short, else compressed. */

/** Characters of a query that stands in the address as it is. */
const SHORT = 1_000;
/** Characters that a query of an address has at most: what is compressed may be much longer than it looks. */
const LONGEST = 100_000;

/** Names of what stands in the address: the text, and the text compressed (deflate, base64url). */
export const PLAIN = "q";
export const PACKED = "qz";
/** What parameters of the query begin with. */
export const GIVEN = "p.";

async function through(bytes: Uint8Array<ArrayBuffer>, stream: CompressionStream | DecompressionStream, most: number) {
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts);
    size += value.length;
    if (size > most) throw new Error("the query in this address is too long");
    parts.push(new Uint8Array(value));
  }
}

/** Return name and value of what stands for a query in the address. */
export async function packed(text: string): Promise<[string, string]> {
  if (text.length <= SHORT) return [PLAIN, text];
  const stream = new CompressionStream("deflate-raw");
  const blob = await through(new TextEncoder().encode(text), stream, Number.POSITIVE_INFINITY);
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return [PACKED, btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")];
}

/** Return the query of an address; empty: there is none. Throws where it is damaged. */
export async function unpacked(query: URLSearchParams): Promise<string> {
  const value = query.get(PACKED);
  if (value === null) return query.get(PLAIN) ?? "";
  try {
    const letters = atob(value.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
    const blob = await through(bytes, new DecompressionStream("deflate-raw"), LONGEST);
    return await blob.text();
  } catch (error) {
    throw new Error("The query in this address is damaged; perhaps the link was cut.", { cause: error });
  }
}

/** Return an address with this query and these parameters instead of its own. */
export async function written(
  text: string,
  given: Record<string, string>,
  query: URLSearchParams,
): Promise<URLSearchParams> {
  const next = new URLSearchParams();
  for (const [name, value] of query) {
    if (name !== PLAIN && name !== PACKED && !name.startsWith(GIVEN)) next.append(name, value);
  }
  const [name, value] = await packed(text);
  next.set(name, value);
  for (const [parameter, written] of Object.entries(given)) next.set(GIVEN + parameter, written);
  return next;
}

export const givenIn = (query: URLSearchParams): Record<string, string> =>
  Object.fromEntries(
    [...query].filter(([name]) => name.startsWith(GIVEN)).map(([name, value]) => [name.slice(2), value]),
  );
