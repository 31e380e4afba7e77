/** Text of others, as it may be shown. */

/** Controls, and what turns the direction of writing: a name could be read as another one. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Return the text with everything in it that would not be seen made visible, as `⟨U+202E⟩`. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (sign) => `⟨U+${sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** As `visible`, of a text of several lines. */
export const visibleLines = (text: string) => text.split("\n").map(visible).join("\n");
