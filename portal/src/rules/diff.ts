/** What differs between two texts, line by line. */

export interface DiffLine {
  sign: " " | "+" | "-" | "…";
  text: string;
}

const AROUND = 3;
/** Lines on both sides that may be compared: the table has as many cells as their product. */
const MOST = 2_000;

/** Return the lines of both texts, those that are in one only with their sign; long equal stretches are cut out. */
export function difference(before: string, after: string): DiffLine[] {
  const old = before.split("\n");
  const now = after.split("\n");
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head += 1;
  let tail = 0;
  while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail)) tail += 1;
  const same = (lines: string[]): DiffLine[] => lines.map((text) => ({ sign: " ", text }));
  return cut([
    ...same(old.slice(0, head)),
    ...middle(old.slice(head, old.length - tail), now.slice(head, now.length - tail)),
    ...same(old.slice(old.length - tail)),
  ]);
}

/** The longest common subsequence; beyond what can be compared, all of the one and all of the other. */
function middle(old: string[], now: string[]): DiffLine[] {
  const lines: DiffLine[] = [];
  const width = now.length + 1;
  const fits = old.length <= MOST && now.length <= MOST;
  const common = new Uint16Array(fits ? (old.length + 1) * width : 0);
  if (fits) {
    for (let i = old.length - 1; i >= 0; i -= 1) {
      for (let j = now.length - 1; j >= 0; j -= 1) {
        const here = i * width + j;
        common[here] =
          old[i] === now[j]
            ? (common[here + width + 1] ?? 0) + 1
            : Math.max(common[here + width] ?? 0, common[here + 1] ?? 0);
      }
    }
  }
  let i = 0;
  let j = 0;
  while (i < old.length || j < now.length) {
    if (fits && i < old.length && j < now.length && old[i] === now[j]) {
      lines.push({ sign: " ", text: old[i] ?? "" });
      i += 1;
      j += 1;
    } else if (
      i < old.length &&
      (!fits || j >= now.length || (common[(i + 1) * width + j] ?? 0) >= (common[i * width + j + 1] ?? 0))
    ) {
      lines.push({ sign: "-", text: old[i] ?? "" });
      i += 1;
    } else {
      lines.push({ sign: "+", text: now[j] ?? "" });
      j += 1;
    }
  }
  return lines;
}

function cut(lines: DiffLine[]): DiffLine[] {
  const near = new Uint8Array(lines.length);
  lines.forEach((line, at) => {
    if (line.sign !== " ") near.fill(1, Math.max(0, at - AROUND), at + AROUND + 1);
  });
  const shown: DiffLine[] = [];
  lines.forEach((line, at) => {
    if (near[at]) shown.push(line);
    else if (shown.at(-1)?.sign !== "…") shown.push({ sign: "…", text: "" });
  });
  return shown;
}
