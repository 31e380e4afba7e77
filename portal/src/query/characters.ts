/** The server counts characters (code points), this language halves of some (UTF-16). */

/** Return how many units of UTF-16 so many characters take. */
export function unitsBefore(text: string, characters: number): number {
  let units = 0;
  for (let at = 0; at < characters && units < text.length; at += 1) {
    units += (text.codePointAt(units) ?? 0) > 0xffff ? 2 : 1;
  }
  return units;
}
