import { expect, test } from "vitest";
import { latestStart } from "./lateness.ts";
import { aSnapshot } from "./testing/objects.ts";

test("the earlier of the absolute and the relative deadline counts", () => {
  expect(latestStart(aSnapshot())).toBeUndefined();
  expect(latestStart(aSnapshot({ spec: { startDeadlineSeconds: 90 } }))).toEqual({
    at: Date.parse("2026-01-01T00:01:30Z"),
    field: "spec.startDeadlineSeconds",
  });
  const both = { startDeadlineSeconds: 90, notAfter: "2026-01-01T02:01:00+02:00" };
  expect(latestStart(aSnapshot({ spec: both }))).toEqual({
    at: Date.parse("2026-01-01T00:01:00Z"),
    field: "spec.notAfter",
  });
});
