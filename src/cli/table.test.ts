// Columns as kubectl aligns them.

import { expect, test } from "vitest";
import { tableLines } from "./table.ts";

test("a column is as wide as its longest cell, with three spaces to the next", () => {
  const rows = [
    ["NAME", "PHASE"],
    ["before-upgrade", "Failed"],
    ["a", ""],
  ];
  expect(tableLines(rows)).toEqual(["NAME             PHASE", "before-upgrade   Failed", "a"]);
});

test("rows may be of different lengths; no rows are no lines", () => {
  expect(tableLines([["a"], ["b", "c"]])).toEqual(["a", "b   c"]);
  expect(tableLines([])).toEqual([]);
});
