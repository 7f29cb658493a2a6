// What a user sees of a DomainSnapshot, and what its agent reports, in the words of the operator's tests.

import type { DomainSnapshot } from "../../src/api/v1alpha1/domain-snapshot.ts";
import type { ContentStatus, DomainSnapshotContent } from "../../src/api/v1alpha1/domain-snapshot-content.ts";
import { type OperatorFixture, time } from "./operator-fixture.ts";

export const conditionOf = (snapshot: DomainSnapshot, type: string) =>
  snapshot.status?.conditions?.find((c) => c.type === type);
export const statusOf = (snapshot: DomainSnapshot, type: string) => conditionOf(snapshot, type)?.status ?? "absent";

/** A guest of its own for each test, since a domain takes one snapshot at a time. */
export async function aRequest(
  cluster: OperatorFixture,
  name: string,
  ...spec: Parameters<OperatorFixture["request"]>[2][]
): Promise<DomainSnapshot> {
  await cluster.publishDomain(`db-${name}`);
  return await cluster.request(name, `db-${name}`, ...spec);
}

/** Plays the agent up to the hold; returns what it reported. */
export async function hold(cluster: OperatorFixture, content: DomainSnapshotContent): Promise<ContentStatus> {
  const status: ContentStatus = {
    phase: "ManualStoragePending",
    step: "hold",
    domainStateBefore: "Running",
    startedAt: time(),
    pausedAt: time(),
    memorySavedAt: time(),
    disksSwitchedAt: time(),
    manualStoragePendingAt: time(),
    holdDeadline: time(),
    memory: { file: "m.mem", format: "file", sizeBytes: 4096, progressPercent: 100 },
  };
  await cluster.report(content, status);
  return status;
}

export const completed = (held: ContentStatus): ContentStatus => ({
  ...held,
  phase: "Completed",
  step: "finish",
  resumedAt: time(),
  completedAt: time(),
  pause: { totalMilliseconds: 20, beforeHoldMilliseconds: 8, holdMilliseconds: 10, resumeMilliseconds: 2 },
});

export const rolledBack = (held: ContentStatus, reason = "Aborted"): ContentStatus => {
  const { memory: _memory, ...rest } = held;
  return {
    ...rest,
    phase: "Failed",
    resumedAt: time(),
    completedAt: time(),
    error: { reason, message: "rolled back", step: "hold" },
  };
};
