// The drawing of the pause.

import { expect, test } from "vitest";
import { timelineLines } from "./timeline.ts";

const status = {
  phase: "Completed" as const,
  startedAt: "2026-01-01T10:00:00.000000Z",
  pausedAt: "2026-01-01T10:00:01.000250Z",
  manualStoragePendingAt: "2026-01-01T10:00:01.100750Z",
  resumedAt: "2026-01-01T10:00:01.500250Z",
};

test("moments are told by their distance from the stop, finer than a millisecond", () => {
  expect(timelineLines(status)).toEqual([
    "  started            10:00:00.000000  -1000.3 ms",
    "  guest paused       10:00:01.000250  +0.0 ms",
    "  hold begins        10:00:01.100750  +100.5 ms",
    "  guest runs         10:00:01.500250  +500.0 ms",
  ]);
});

test("the pause is split into before hold, hold and resume, drawn to scale", () => {
  const pause = {
    totalMilliseconds: 400,
    beforeHoldMilliseconds: 100,
    holdMilliseconds: 200,
    resumeMilliseconds: 100,
  };
  expect(timelineLines({ pause })).toEqual([
    "  pause 400.0 ms = before hold 100.0 ms + hold 200.0 ms + resume 100.0 ms",
    `  [${"#".repeat(12)}${"=".repeat(24)}${">".repeat(12)}]  # before hold  = hold  > resume`,
  ]);
});

test("moments come in the order in which they happened", () => {
  const lines = timelineLines({ ...status, memorySavedAt: "2026-01-01T10:00:09Z" });
  expect(lines.at(-1)).toContain("memory saved");
});

test("a snapshot that has not begun has no timeline", () => {
  expect(timelineLines({ phase: "Pending" })).toEqual([]);
});
