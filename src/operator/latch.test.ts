import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DomainSnapshotStatus } from "../api/v1alpha1/domain-snapshot.ts";
import { decideLatch, type Latch, requesterOf } from "./latch.ts";
import { aContent, aSnapshot } from "./testing/objects.ts";

const now = Date.UTC(2026, 0, 1);
const held: DomainSnapshotStatus = { phase: "ManualStoragePending" };
const holding = aContent({ phase: "ManualStoragePending" });
const managedFields = [
  { manager: "kubectl-create", time: "2026-01-01T00:00:00Z", fieldsV1: { "f:spec": { "f:domainRef": {} } } },
  { manager: "somebody", time: "2026-01-01T00:00:04Z", fieldsV1: { "f:spec": { "f:resume": {} } } },
  { manager: "storage-hook", time: "2026-01-01T00:00:05Z", fieldsV1: { "f:spec": { "f:resume": {} } } },
];

describe("the latch", () => {
  test("keeps holding while nobody asks", () => {
    expect(decideLatch({ snapshot: aSnapshot({ status: held }), content: holding, now })).toEqual({ desired: "Held" });
  });

  test("releases at the first resume and records when", () => {
    const snapshot = aSnapshot({ status: held, spec: { resume: true } });
    expect(decideLatch({ snapshot, content: holding, now })).toEqual({
      desired: "Released",
      resumeRequestedAt: "2026-01-01T00:00:00.000000Z",
    });
  });

  test("names the field manager that wrote the field last", () => {
    const snapshot = aSnapshot({ metadata: { managedFields } });
    expect(requesterOf(snapshot, { desired: "Released", resumeRequestedAt: "t" })).toBe("storage-hook");
    expect(requesterOf(snapshot, { desired: "Aborted", abortRequestedAt: "t" })).toBeUndefined();
    expect(requesterOf(aSnapshot(), { desired: "Released" })).toBeUndefined();
  });

  test("does not act on a resume that got in before the hold was public", () => {
    for (const phase of ["Pending", "Preparing", "SavingMemory", "SwitchingDisks"] as const) {
      const snapshot = aSnapshot({ status: { phase }, spec: { resume: true } });
      expect(decideLatch({ snapshot, content: aContent({ phase }), now }).desired).toBe("Held");
      expect(decideLatch({ snapshot, content: holding, now }).desired).toBe("Held");
    }
  });

  test("aborts in every phase before the end", () => {
    for (const phase of ["Pending", "Preparing", "SavingMemory", "ManualStoragePending", "Resuming"] as const) {
      const snapshot = aSnapshot({ status: { phase }, spec: { abort: true } });
      expect(decideLatch({ snapshot, content: aContent({ phase }), now }).desired).toBe("Aborted");
    }
  });

  test("prefers the abort when both come in one write, since nothing is lost by it", () => {
    const snapshot = aSnapshot({ status: held, spec: { resume: true, abort: true } });
    expect(decideLatch({ snapshot, content: holding, now }).desired).toBe("Aborted");
  });

  test("ignores a later false, a removal and the other field", () => {
    const status: DomainSnapshotStatus = {
      ...held,
      resumeRequestedAt: "2026-01-01T00:00:00.000000Z",
      requestedBy: "hook",
    };
    for (const spec of [{}, { resume: false }, { abort: true }]) {
      const latch = decideLatch({ snapshot: aSnapshot({ status, spec }), content: holding, now: now + 1000 });
      expect(latch).toEqual({ desired: "Released", resumeRequestedAt: status.resumeRequestedAt, requestedBy: "hook" });
    }
  });

  test("takes up what the Content says when the operator died before it wrote the status", () => {
    const content = aContent(
      { phase: "Resuming", releaseSeenAt: "2026-01-01T00:00:07.000000Z" },
      { desired: "Released" },
    );
    expect(decideLatch({ snapshot: aSnapshot({ status: held }), content, now })).toMatchObject({
      desired: "Released",
      resumeRequestedAt: "2026-01-01T00:00:07.000000Z",
    });
  });

  test("a deletion aborts without being anybody's request", () => {
    const snapshot = aSnapshot({ status: held, metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } });
    expect(decideLatch({ snapshot, content: holding, now })).toEqual({ desired: "Aborted" });
  });

  test("once decided, no sequence of spec changes decides otherwise", () => {
    const flags = fc.record({ resume: fc.boolean(), abort: fc.boolean() }, { requiredKeys: [] });
    fc.assert(
      fc.property(fc.array(flags, { minLength: 1, maxLength: 10 }), fc.boolean(), (writes, statusLags) => {
        let remembered: Latch | undefined;
        let status: DomainSnapshotStatus = held;
        let decided: Latch | undefined;
        for (const [index, spec] of writes.entries()) {
          const latch = decideLatch({
            snapshot: aSnapshot({ spec, status }),
            content: holding,
            remembered,
            now: now + index,
          });
          if (decided !== undefined) expect(latch).toEqual(decided);
          if (latch.desired === "Held") continue;
          decided = latch;
          remembered = latch;
          const { desired: _desired, ...recorded } = latch;
          if (!statusLags) status = { ...held, ...recorded };
        }
      }),
    );
  });
});
