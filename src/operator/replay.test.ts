import { describe, expect, test } from "vitest";
import { replayed } from "./replay.ts";
import { aSnapshot } from "./testing/objects.ts";

describe("replayed objects", () => {
  test("one that is first seen with resume already true is a copy", () => {
    expect(replayed(aSnapshot({ spec: { resume: true } }))).toContain("spec.resume: true");
  });

  test("one restored by Velero without its status is not run", () => {
    expect(replayed(aSnapshot({ metadata: { labels: { "velero.io/restore-name": "r" } } }))).toContain("restored");
  });

  test("a fresh request, and one with a status, are not replayed", () => {
    expect(replayed(aSnapshot())).toBeUndefined();
    expect(replayed(aSnapshot({ spec: { resume: true }, status: { phase: "ManualStoragePending" } }))).toBeUndefined();
  });
});
