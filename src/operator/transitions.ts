// Which events a change of status is worth: one per transition, none per retry. Pure.

import type { DomainSnapshotStatus } from "../api/v1alpha1/domain-snapshot.ts";

export interface Transition {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly action: string;
  readonly note: string;
}

/** The transitions between two statuses, oldest first. Phases that were coalesced away show by their times. */
export function transitions(previous: DomainSnapshotStatus | undefined, next: DomainSnapshotStatus): Transition[] {
  const appeared = (field: keyof DomainSnapshotStatus) => previous?.[field] === undefined && next[field] !== undefined;
  const entered = (phase: DomainSnapshotStatus["phase"]) => previous?.phase !== phase && next.phase === phase;
  const readyReason = reasonOf(next, "Ready");
  const becameReason = (reason: string) => readyReason === reason && reasonOf(previous, "Ready") !== reason;
  const list: Transition[] = [];
  const add = (type: Transition["type"], reason: string, action: string, note: string) =>
    list.push({ type, reason, action, note });

  if (next.phase === "Pending" && becameReason("DomainBusy")) {
    add("Normal", "DomainBusy", "Wait", messageOf(next, "Ready"));
  }
  if (appeared("startedAt")) add("Normal", "SnapshotStarted", "Snapshot", `node ${next.nodeName ?? "unknown"} began`);
  if (appeared("manualStoragePendingAt") || entered("ManualStoragePending")) {
    add("Normal", "ManualStoragePending", "Hold", "the guest is held; snapshot its manual disks, then set spec.resume");
  }
  if (appeared("resumeRequestedAt")) add("Normal", "ResumeRequested", "Resume", `by ${next.requestedBy ?? "unknown"}`);
  if (appeared("abortRequestedAt")) add("Warning", "AbortRequested", "Abort", `by ${next.requestedBy ?? "unknown"}`);
  if (becameReason("HoldExpired")) add("Warning", "HoldExpired", "Hold", messageOf(next, "Ready"));
  if (next.phase !== "Failed" && becameReason("AgentLost"))
    add("Warning", "AgentLost", "Watch", messageOf(next, "Ready"));
  if (entered("Completed")) add("Normal", "Completed", "Snapshot", completedNote(next));
  if (entered("Failed"))
    add("Warning", "Failed", "Snapshot", `${next.error?.reason ?? "Failed"}: ${next.error?.message ?? ""}`);
  return list.map((transition) => ({ ...transition, note: transition.note.slice(0, 1000) }));
}

function completedNote(status: DomainSnapshotStatus): string {
  const total = status.pause?.totalMilliseconds;
  return total === undefined ? "complete" : `complete; the guest stood still for ${Math.round(total)} ms`;
}

function reasonOf(status: DomainSnapshotStatus | undefined, type: string): string | undefined {
  return status?.conditions?.find((condition) => condition.type === type)?.reason;
}

function messageOf(status: DomainSnapshotStatus, type: string): string {
  return status.conditions?.find((condition) => condition.type === type)?.message ?? "";
}
