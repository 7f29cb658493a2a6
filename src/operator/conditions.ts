// The conditions of a DomainSnapshot: Ready, Reconciling and Stalled exactly as kstatus reads them, and observations.
// kstatus: Reconciling=True is in progress, Stalled=True is failed, then Ready decides; absent is not the same as False.

import type { Observation } from "../api/v1alpha1/condition-set.ts";
import type { ContentStatus, DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import type { Phase } from "../api/v1alpha1/fields.ts";

/** Why the object is where it is: the reason and message that Ready carries. */
export interface Cause {
  readonly reason: string;
  readonly message: string;
}

/** Ready, Reconciling and Stalled of a phase. `holdExpired`: the deadline passed and the guest is kept paused. */
export function healthConditions(
  phase: Phase,
  cause: Cause,
  situation: { readonly holdExpired: boolean; readonly agentLost: boolean },
): Observation[] {
  const ready = (status: Observation["status"]): Observation => ({ type: "Ready", status, ...cause });
  const also = (type: string): Observation => ({ type, status: "True", ...cause });
  switch (phase) {
    case "Pending":
      return [ready("Unknown"), also("Reconciling")];
    case "Preparing":
    case "SavingMemory":
    case "SwitchingDisks":
    case "Resuming":
      return [ready(situation.agentLost ? "Unknown" : "False"), also("Reconciling")];
    case "ManualStoragePending":
      return [
        ready(situation.agentLost ? "Unknown" : "False"),
        ...(situation.holdExpired ? [also("HoldExpired"), also("Stalled")] : []),
      ];
    case "Completed":
      return [ready("True")];
    case "Failed":
      return [ready("False"), also("Stalled")];
    default:
      return phase satisfies never;
  }
}

/** The observations that a Content's status allows; what is not known yet is left out. */
export function observedConditions(content: DomainSnapshotContent, phase: Phase): Observation[] {
  const status = content.status;
  if (status?.phase === undefined) return [];
  return [
    ...memorySaved(content, status, phase),
    ...disksSwitched(content, status, phase),
    ...quiesced(status),
    ...guestPaused(status),
    ...hold(content, status, phase),
  ];
}

function memorySaved(content: DomainSnapshotContent, status: ContentStatus, phase: Phase): Observation[] {
  if (content.spec.memory.snapshot === "none") return [];
  const type = "MemorySaved";
  if (status.memorySavedAt !== undefined && (phase !== "Failed" || status.memory?.file !== undefined)) {
    return [{ type, status: "True", reason: "Saved", message: `memory was saved at ${status.memorySavedAt}` }];
  }
  if (phase === "Failed") return [{ type, status: "False", reason: "Failed", message: "no memory was kept" }];
  return [{ type, status: "False", reason: "Saving", message: "memory is not saved yet" }];
}

function disksSwitched(content: DomainSnapshotContent, status: ContentStatus, phase: Phase): Observation[] {
  const names = content.spec.disks.filter((disk) => disk.snapshot === "external").map((disk) => disk.name);
  if (names.length === 0) return [];
  const type = "DisksSwitched";
  const kept = status.disks?.some((disk) => disk.overlay !== undefined) ?? false;
  if (status.disksSwitchedAt !== undefined && (phase !== "Failed" || kept)) {
    return [{ type, status: "True", reason: "Switched", message: `on overlays: ${names.join(", ")}` }];
  }
  if (phase === "Failed") return [{ type, status: "False", reason: "RolledBack", message: "no disk is on an overlay" }];
  return [{ type, status: "False", reason: "NotYet", message: `to be switched: ${names.join(", ")}` }];
}

function quiesced(status: ContentStatus): Observation[] {
  if (status.quiesced === undefined) return [];
  const type = "Quiesced";
  if (status.quiesced) {
    return [
      { type, status: "True", reason: "Frozen", message: "the guest's file systems were frozen before the pause" },
    ];
  }
  return [{ type, status: "False", reason: "QuiesceFailed", message: status.quiesceMessage ?? "not quiesced" }];
}

function guestPaused(status: ContentStatus): Observation[] {
  if (status.pausedAt === undefined) return [];
  if (status.resumedAt !== undefined) {
    const message = `the guest has run again since ${status.resumedAt}`;
    return [
      { type: "GuestPaused", status: "False", reason: "Resumed", message },
      { type: "Resumed", status: "True", reason: "Resumed", message },
    ];
  }
  const before = status.domainStateBefore === "Paused";
  const message = before ? "the guest was paused before and stays so" : `the guest stands since ${status.pausedAt}`;
  const reason = before ? "PausedBefore" : "Paused";
  return [
    { type: "GuestPaused", status: "True", reason, message },
    { type: "Resumed", status: "False", reason, message },
  ];
}

function hold(content: DomainSnapshotContent, status: ContentStatus, phase: Phase): Observation[] {
  if (status.manualStoragePendingAt === undefined && phase !== "ManualStoragePending") return [];
  const type = "ManualStoragePending";
  if (phase === "ManualStoragePending") {
    const disks = content.spec.disks.filter((disk) => disk.snapshot === "manual").map((disk) => disk.name);
    const message = `snapshot the storage of ${disks.join(", ")}, then set spec.resume: true`;
    return [{ type, status: "True", reason: "Held", message }];
  }
  const reason = phase === "Failed" ? (status.error?.reason ?? "Failed") : "Released";
  return [{ type, status: "False", reason, message: "the hold has ended" }];
}
