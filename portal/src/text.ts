/** Text of others, as it may be shown. */

/**
 * What nobody sees, or what makes others look like something else: controls, marks that turn the direction of writing,
 * invisible letters, signs of private use, and what stands where bytes were no text.
 */
export const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\p{Default_Ignorable_Code_Point}\ufffd]/gu;

/** Letters that look like those of another script: a word of both is hardly meant as it looks. */
const ALIKE = /\p{Script=Latin}/u;
const OTHERS = /[\p{Script=Cyrillic}\p{Script=Greek}\p{Script=Cherokee}\p{Script=Armenian}]/u;

const written = (sign: string) =>
  sign === "\ufffd" ? sign : `⟨U+${(sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`;

/** Return the text with everything in it that would not be seen made visible, as `⟨U+202E⟩`. */
export function visible(text: string): string {
  return text.replace(UNSEEN, written);
}

/** As `visible`, of a text of several lines. */
export const visibleLines = (text: string) => text.split("\n").map(visible).join("\n");

export interface Piece {
  text: string;
  /** It stands for what would not be seen. */
  marked: boolean;
}

/** Return the text in pieces: as it is, and what is written out. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let end = 0;
  for (const { 0: sign, index } of text.matchAll(UNSEEN)) {
    if (index > end) found.push({ text: text.slice(end, index), marked: false });
    found.push({ text: written(sign), marked: true });
    end = index + sign.length;
  }
  if (end < text.length) found.push({ text: text.slice(end), marked: false });
  return found;
}

/** Say why a name is not what it seems; empty: it is as it looks. */
export function unusual(text: string): string {
  if (text.search(UNSEEN) >= 0) return "It has characters that would not be seen.";
  if (text !== text.trim()) return "It begins or ends with a space.";
  const words = text.split(/[^\p{L}\p{N}]+/u);
  if (words.some((word) => ALIKE.test(word) && OTHERS.test(word))) {
    return "A word of it has letters of two scripts that look alike.";
  }
  return "";
}

/** Return bytes (in base64) as a shell takes them, `$'bad\\xff'`: what a file is called, to the byte. */
export function quoted(base64: string): string {
  const bytes = [...atob(base64)].map((sign) => {
    if (sign === "\\" || sign === "'") return `\\${sign}`;
    if (sign >= " " && sign <= "~") return sign;
    return `\\x${sign.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return `$'${bytes.join("")}'`;
}
