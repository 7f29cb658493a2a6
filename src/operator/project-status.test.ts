import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DomainSnapshotStatus } from "../api/v1alpha1/domain-snapshot.ts";
import type { ContentStatus } from "../api/v1alpha1/domain-snapshot-content.ts";
import { phase as phaseSchema } from "../api/v1alpha1/fields.ts";
import { projectStatus, type Verdict } from "./project-status.ts";
import { aContent, aSnapshot, domainUuid, nodeName, snapshotUid } from "./testing/objects.ts";

const now = Date.UTC(2026, 0, 1, 0, 0, 10, 123);
const at = "2026-01-01T00:00:05.000001Z";

const conditionOf = (status: DomainSnapshotStatus, type: string) => status.conditions?.find((c) => c.type === type);
const statusOf = (status: DomainSnapshotStatus, type: string) => conditionOf(status, type)?.status ?? "absent";

/** What kstatus computes (pkg/kstatus/status/generic.go), as reference 2.1 gives it. */
function kstatus(status: DomainSnapshotStatus, generation: number): string {
  if (status.observedGeneration !== generation) return "InProgress";
  if (statusOf(status, "Reconciling") === "True") return "InProgress";
  if (statusOf(status, "Stalled") === "True") return "Failed";
  return statusOf(status, "Ready") === "True" ? "Current" : "InProgress";
}

describe("health as GitOps tools compute it", () => {
  const table: [ContentStatus | undefined, string, string, string, string][] = [
    [undefined, "Unknown", "True", "absent", "InProgress"],
    [{ phase: "Pending" }, "Unknown", "True", "absent", "InProgress"],
    [{ phase: "Preparing" }, "False", "True", "absent", "InProgress"],
    [{ phase: "SavingMemory" }, "False", "True", "absent", "InProgress"],
    [{ phase: "SwitchingDisks" }, "False", "True", "absent", "InProgress"],
    [{ phase: "ManualStoragePending" }, "False", "absent", "absent", "InProgress"],
    [{ phase: "ManualStoragePending", holdExpired: true }, "False", "absent", "True", "Failed"],
    [{ phase: "Resuming" }, "False", "True", "absent", "InProgress"],
    [{ phase: "Completed" }, "True", "absent", "absent", "Current"],
    [{ phase: "Failed", error: { reason: "HoldExpired", message: "m" } }, "False", "absent", "True", "Failed"],
    [{ phase: "Failed", error: { reason: "HoldLost", message: "m" } }, "False", "absent", "True", "Failed"],
  ];
  test.each(table)(
    "Content %j reads Ready=%s Reconciling=%s Stalled=%s: %s",
    (content, ready, reconciling, stalled, health) => {
      const status = projectStatus({ snapshot: aSnapshot(), content: aContent(content), now });
      expect(statusOf(status, "Ready")).toBe(ready);
      expect(statusOf(status, "Reconciling")).toBe(reconciling);
      expect(statusOf(status, "Stalled")).toBe(stalled);
      expect(kstatus(status, 1)).toBe(health);
    },
  );

  test("the first status says at once that work is going on", () => {
    const status = projectStatus({ snapshot: aSnapshot({ metadata: { generation: 3 } }), now });
    expect(status).toMatchObject({ phase: "Pending", observedGeneration: 3 });
    expect(conditionOf(status, "Ready")).toMatchObject({
      status: "Unknown",
      observedGeneration: 3,
      lastTransitionTime: "2026-01-01T00:00:10Z",
    });
  });

  test("a failure's reason is the reason of Ready and Stalled and of status.error", () => {
    const verdict: Verdict = { kind: "Refused", reason: "InvalidDisk", message: "no disk vdz" };
    const status = projectStatus({ snapshot: aSnapshot(), verdict, now });
    expect(status.phase).toBe("Failed");
    expect(status.error).toEqual({ reason: "InvalidDisk", message: "no disk vdz" });
    expect(conditionOf(status, "Ready")?.reason).toBe("InvalidDisk");
    expect(conditionOf(status, "Stalled")?.reason).toBe("InvalidDisk");
  });

  test("one that waits for its domain says so", () => {
    const verdict: Verdict = { kind: "Waiting", reason: "DomainBusy", message: "other has to end first" };
    const status = projectStatus({ snapshot: aSnapshot(), verdict, now });
    expect(status.phase).toBe("Pending");
    expect(conditionOf(status, "Ready")).toMatchObject({ status: "Unknown", reason: "DomainBusy" });
  });

  test("a lost agent is a condition, not a new phase", () => {
    const content = aContent({ phase: "ManualStoragePending", manualStoragePendingAt: at });
    const status = projectStatus({ snapshot: aSnapshot(), content, agentLost: true, now });
    expect(status.phase).toBe("ManualStoragePending");
    expect(conditionOf(status, "Ready")).toMatchObject({ status: "Unknown", reason: "AgentLost" });
  });
});

describe("observations", () => {
  test("a held guest is reported as such", () => {
    const content = aContent({
      phase: "ManualStoragePending",
      startedAt: at,
      pausedAt: at,
      memorySavedAt: at,
      disksSwitchedAt: at,
      manualStoragePendingAt: at,
      holdDeadline: at,
    });
    const status = projectStatus({ snapshot: aSnapshot(), content, now });
    for (const type of ["ManualStoragePending", "GuestPaused", "MemorySaved", "DisksSwitched"]) {
      expect(statusOf(status, type)).toBe("True");
    }
    expect(statusOf(status, "Resumed")).toBe("False");
    expect(status).toMatchObject({
      nodeName,
      contentName: `dsnap-${snapshotUid}`,
      domainUUID: domainUuid,
      holdDeadline: at,
    });
  });

  test("after a hold that was kept paused past its deadline both HoldExpired and ManualStoragePending are true", () => {
    const content = aContent({ phase: "ManualStoragePending", manualStoragePendingAt: at, holdExpired: true });
    const status = projectStatus({ snapshot: aSnapshot(), content, now });
    expect(status.phase).toBe("ManualStoragePending");
    expect(statusOf(status, "HoldExpired")).toBe("True");
    expect(statusOf(status, "ManualStoragePending")).toBe("True");
  });

  test("a background capture streams on while the guest runs", () => {
    const content = aContent({ phase: "Resuming", pausedAt: at, resumedAt: at, manualStoragePendingAt: at });
    const status = projectStatus({ snapshot: aSnapshot(), content, now });
    expect(status.phase).toBe("Resuming");
    expect(["Resumed", "GuestPaused", "MemorySaved"].map((type) => statusOf(status, type))).toEqual([
      "True",
      "False",
      "False",
    ]);
  });

  test("what was not asked for is not reported", () => {
    const spec = { memory: { snapshot: "none" as const }, disks: [{ name: "vda", snapshot: "manual" as const }] };
    const content = aContent({ phase: "Completed", completedAt: at }, spec);
    const status = projectStatus({ snapshot: aSnapshot(), content, now });
    expect(status.conditions?.map((c) => c.type)).toEqual(["Ready"]);
  });

  test("every disk of the domain is listed with its mode before the agent has said a word (36)", () => {
    const status = projectStatus({ snapshot: aSnapshot(), content: aContent(), now });
    expect(status.disks).toEqual([
      { name: "vda", snapshot: "manual" },
      { name: "vdb", snapshot: "external" },
      { name: "sda", snapshot: "none" },
    ]);
  });

  test("lastTransitionTime moves only when the status flips", () => {
    const first = projectStatus({ snapshot: aSnapshot(), content: aContent({ phase: "Preparing" }), now });
    const snapshot = aSnapshot({ status: first });
    const second = projectStatus({ snapshot, content: aContent({ phase: "SavingMemory" }), now: now + 60_000 });
    expect(conditionOf(second, "Ready")).toMatchObject({
      reason: "SavingMemory",
      lastTransitionTime: "2026-01-01T00:00:10Z",
    });
    const third = projectStatus({
      snapshot: aSnapshot({ status: second }),
      content: aContent({ phase: "Completed" }),
      now: now + 90_000,
    });
    expect(conditionOf(third, "Ready")?.lastTransitionTime).toBe("2026-01-01T00:01:40Z");
  });
});

describe("any sequence of reports", () => {
  const report: fc.Arbitrary<ContentStatus> = fc.record(
    {
      phase: fc.constantFrom(...phaseSchema.options),
      startedAt: fc.constant(at),
      pausedAt: fc.constant(at),
      memorySavedAt: fc.constant(at),
      disksSwitchedAt: fc.constant(at),
      manualStoragePendingAt: fc.constant(at),
      resumedAt: fc.constant(at),
      holdExpired: fc.boolean(),
    },
    { requiredKeys: [] },
  );

  test("never reads Ready before Completed, never healthy when failed, and a terminal phase is final", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ report, agentLost: fc.boolean() }), { maxLength: 12 }), (steps) => {
        let status: DomainSnapshotStatus | undefined;
        for (const step of steps) {
          const before = status;
          const snapshot = aSnapshot(before === undefined ? {} : { status: before });
          const next = projectStatus({ snapshot, content: aContent(step.report), agentLost: step.agentLost, now });
          if (before?.phase === "Completed" || before?.phase === "Failed") {
            expect(next.phase).toBe(before.phase);
            expect(next.conditions).toEqual(before.conditions);
          }
          expect(statusOf(next, "Ready") === "True").toBe(next.phase === "Completed");
          expect(kstatus(next, 1) === "Current").toBe(next.phase === "Completed");
          if (next.phase === "Failed") expect(kstatus(next, 1)).toBe("Failed");
          expect(new Set(next.conditions?.map((c) => c.type)).size).toBe(next.conditions?.length);
          expect(statusOf(next, "ManualStoragePending") === "True").toBe(next.phase === "ManualStoragePending");
          status = next;
        }
      }),
    );
  });
});
