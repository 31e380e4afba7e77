import assert from "node:assert/strict";
import { test } from "node:test";
import { stackedUp } from "./stacked.js";

test("every series has every place, in order", () => {
  const stacked = stackedUp(
    new Map<string, [number, number][]>([
      [
        "Files",
        [
          [20, 2],
          [10, 1],
        ],
      ],
      ["Software", [[20, 3]]],
      ["Daemons", [[30, 4]]],
      ["Registry", []],
    ]),
  );
  assert.deepEqual(
    [...stacked],
    [
      [
        "Files",
        [
          [10, 1],
          [20, 2],
          [30, 0],
        ],
      ],
      [
        "Software",
        [
          [10, 0],
          [20, 3],
          [30, 0],
        ],
      ],
      [
        "Daemons",
        [
          [10, 0],
          [20, 0],
          [30, 4],
        ],
      ],
      [
        "Registry",
        [
          [10, 0],
          [20, 0],
          [30, 0],
        ],
      ],
    ],
  );
});
