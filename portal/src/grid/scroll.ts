/**
 * Where a list of any length is scrolled to. Browsers clamp how tall an element is (Chromium at 33,554,428 px): a taller
 * list stands in an element of `TALLEST`, and its scroll bar is mapped onto the list. Pure; pixels throughout.
 */

/** Below what every browser has room for (Firefox: 17,895,697 px). */
export const TALLEST = 8_000_000;

export interface Geometry {
  /** Of all lines together. */
  whole: number;
  /** Of what is seen of them. */
  view: number;
}

/** Where the list is (`top`), and where the scroll bar says that it is (`bar`). */
export interface Scrolled {
  top: number;
  bar: number;
}

const within = (value: number, most: number) => Math.max(0, Math.min(value, most));

export const tall = ({ whole }: Geometry) => Math.min(whole, TALLEST);

export const isMapped = ({ whole }: Geometry) => whole > TALLEST;

const most = (geometry: Geometry) => Math.max(0, geometry.whole - geometry.view);
const mostOfBar = (geometry: Geometry) => Math.max(0, tall(geometry) - geometry.view);

/** Return where a list is that goes to `top`. */
export function goTo(top: number, geometry: Geometry): Scrolled {
  const there = within(top, most(geometry));
  if (!isMapped(geometry)) return { top: there, bar: there };
  return { top: there, bar: Math.round((there / most(geometry)) * mostOfBar(geometry)) };
}

/**
 * Return where a list is whose scroll bar moved to `bar`. A step of less than a view is a step in the list, too (a finger,
 * an arrow of the bar): else it would leap over thousands of lines. A longer one is a jump to that part of the list.
 */
export function moved(before: Scrolled, bar: number, geometry: Geometry): Scrolled {
  if (!isMapped(geometry)) return { top: bar, bar };
  if (bar === before.bar) return before;
  const step = bar - before.bar;
  const isEnd = bar <= 0 || bar >= mostOfBar(geometry);
  if (Math.abs(step) < geometry.view && !isEnd) return { top: within(before.top + step, most(geometry)), bar };
  return { top: within((bar / mostOfBar(geometry)) * most(geometry), most(geometry)), bar };
}

/** Return where a list is that must show the line from `begin` to `end`: it moves no further than it has to. */
export function showing(before: Scrolled, begin: number, end: number, geometry: Geometry): Scrolled {
  if (begin < before.top) return goTo(begin, geometry);
  if (end > before.top + geometry.view) return goTo(end - geometry.view, geometry);
  return before;
}
