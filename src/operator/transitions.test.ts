import { describe, expect, test } from "vitest";
import { projectStatus } from "./project-status.ts";
import { aContent, aSnapshot } from "./testing/objects.ts";
import { transitions } from "./transitions.ts";

const now = Date.UTC(2026, 0, 1);
const at = "2026-01-01T00:00:05.000001Z";

describe("events of a status change", () => {
  test("phases that were coalesced away still tell their beginning", () => {
    const before = projectStatus({ snapshot: aSnapshot(), now });
    const content = aContent({ phase: "ManualStoragePending", startedAt: at, manualStoragePendingAt: at });
    const after = projectStatus({ snapshot: aSnapshot({ status: before }), content, now });
    expect(transitions(before, after).map((t) => t.reason)).toEqual(["SnapshotStarted", "ManualStoragePending"]);
  });

  test("an unchanged status is worth no event", () => {
    const status = projectStatus({
      snapshot: aSnapshot(),
      content: aContent({ phase: "Preparing", startedAt: at }),
      now,
    });
    expect(transitions(status, status)).toEqual([]);
  });

  test("the end is told with the pause, a failure with its reason", () => {
    const done = projectStatus({
      snapshot: aSnapshot(),
      content: aContent({ phase: "Completed", pause: { totalMilliseconds: 12.4 } }),
      latch: { desired: "Released", resumeRequestedAt: at, requestedBy: "hook" },
      now,
    });
    const told = transitions({ phase: "ManualStoragePending" }, done);
    expect(told.map((t) => `${t.reason}: ${t.note}`)).toEqual([
      "ResumeRequested: by hook",
      "Completed: complete; the guest stood still for 12 ms",
    ]);
    const failed = projectStatus({
      snapshot: aSnapshot(),
      verdict: { kind: "Refused", reason: "InvalidDisk", message: "vdz" },
      now,
    });
    expect(transitions(undefined, failed)).toMatchObject([
      { type: "Warning", reason: "Failed", note: "InvalidDisk: vdz" },
    ]);
  });
});
