import assert from "node:assert/strict";
import { test } from "node:test";
import { type Geometry, goTo, moved, showing, TALLEST, tall } from "./scroll.js";

const ROW = 34;
const list = (lines: number): Geometry => ({ whole: lines * ROW, view: 700 });
const MILLIONS = [958_001, 1_000_001, 5_000_000, 1_000_000_000];

test("a list that a browser has room for is scrolled as it is", () => {
  const short = list(1000);
  assert.equal(tall(short), 34_000);
  assert.deepEqual(goTo(1234.5, short), { top: 1234.5, bar: 1234.5 });
  assert.deepEqual(moved({ top: 0, bar: 0 }, 777, short), { top: 777, bar: 777 });
});

test("the end of more than a million lines is reached, by the bar, by the keyboard and by the wheel", () => {
  for (const lines of MILLIONS) {
    const long = list(lines);
    const end = lines * ROW - long.view;
    assert.equal(tall(long), TALLEST);
    assert.equal(moved({ top: 0, bar: 0 }, TALLEST - long.view, long).top, end);
    const shown = showing({ top: 0, bar: 0 }, (lines - 1) * ROW, lines * ROW, long);
    assert.deepEqual(shown, { top: end, bar: TALLEST - long.view });
    assert.equal(goTo(end + 1e9, long).top, end);
  }
});

test("every line of a long list is reached, and a step of the wheel is its own length", () => {
  const long = list(1_000_001);
  let at = goTo(0, long);
  for (let steps = 1; steps <= 20_000; steps += 1) {
    at = goTo(at.top + 120, long);
    assert.equal(at.top, 120 * steps);
  }
  for (const line of [0, 1, 499_999, 500_000, 777_777, 999_999, 1_000_000]) {
    const { top } = showing(at, line * ROW, (line + 1) * ROW, long);
    assert.ok(top <= line * ROW && (line + 1) * ROW <= top + long.view, `line ${line}`);
  }
});

test("a short step of the bar is as long in the list, a long one goes to that part of it", () => {
  const long = list(1_000_001);
  const middle = moved({ top: 0, bar: 0 }, (TALLEST - long.view) / 2, long);
  assert.ok(Math.abs(middle.top - (long.whole - long.view) / 2) < 1);
  assert.equal(moved(middle, middle.bar + 50, long).top, middle.top + 50);
  assert.deepEqual(moved(middle, 0, long), { top: 0, bar: 0 });
});
