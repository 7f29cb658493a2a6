// Durations in and ages out.

import { expect, test } from "vitest";
import { formatAge, parseDuration } from "./duration.ts";

test.each([
  ["10m", 600_000],
  ["1h30m", 5_400_000],
  ["1.5s", 1500],
  ["250ms", 250],
])("%s is %d milliseconds", (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds);
});

test.each(["", "10", "m", "0s", "-1s", "10 m", "1d", "1000h"])("%j is refused with the form to write", (text) => {
  expect(() => parseDuration(text)).toThrow(/write one such as 10m/);
});

test.each([
  [-5, "0s"],
  [119_999, "119s"],
  [200_000, "3m20s"],
  [25 * 60_000, "25m"],
  [312 * 60_000, "5h12m"],
  [76 * 3_600_000, "3d4h"],
])("an age of %d milliseconds reads %s", (milliseconds, text) => {
  expect(formatAge(milliseconds)).toBe(text);
});
