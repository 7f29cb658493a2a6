// What the engine is given, and what it reports. The report has the shape of a Content's status.

import type { DiskNaming } from "../qemu/disk.ts";
import type { HoldBound, Plan } from "./plan.ts";

/** A guest as this node knows it. */
export interface NodeDomain {
  readonly namespace: string;
  readonly name: string;
  readonly monitorPath: string;
  readonly monitor: "dedicated" | "shared";
  readonly uuid?: string | undefined;
  readonly disks?: readonly DiskNaming[] | undefined;
  /** Where memory files and manifests go. */
  readonly snapshotDirectory: string;
  /** Where absolute paths of a request may lie, besides the snapshot directory. */
  readonly allowedDirectories: readonly string[];
  /** Told of every new top image before the guest runs on it; argv. */
  readonly diskChangeCommand?: readonly string[] | undefined;
  /** Socket of the qemu-guest-agent inside; without one there is no quiesce, and no clock is set. */
  readonly guestAgentPath?: string | undefined;
  /** Bound of the stop before the hold, in seconds; default memory size / 50 MB/s + 60 s. */
  readonly pauseTimeoutSeconds?: number | undefined;
  readonly maximumHoldSeconds?: number | undefined;
}

export interface SnapshotJob {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly plan: Plan;
  readonly domain: NodeDomain;
  /** UUID that the guest must have. */
  readonly expectedUuid?: string | undefined;
}

/** What is wanted of the hold, as it changes. */
export interface HoldControl {
  desired(): "Held" | "Released" | "Aborted";
  hold(): HoldBound;
  /** Resolves at the next change of either; rejects when the signal is aborted. */
  wait(signal: AbortSignal): Promise<void>;
}

export type Phase =
  | "Preparing"
  | "SavingMemory"
  | "SwitchingDisks"
  | "ManualStoragePending"
  | "Resuming"
  | "Completed"
  | "Failed";

type Draft<T> = { -readonly [K in keyof T]: T[K] };

/** The moments of a snapshot, in their order. */
export const moments = [
  "startedAt",
  "pausedAt",
  "memorySavedAt",
  "disksSwitchedAt",
  "manualStoragePendingAt",
  "releaseSeenAt",
  "resumedAt",
  "completedAt",
] as const;

/** The times of a snapshot; MicroTime strings of this node's clock. */
export type Timeline = { readonly [M in (typeof moments)[number]]?: string };

export interface DiskReport {
  name: string;
  snapshot: "manual" | "external" | "none";
  overlay?: string;
  message?: string;
}

export interface SnapshotReport extends Draft<Timeline> {
  phase: Phase;
  step?: string;
  domainStateBefore?: string;
  holdDeadline?: string;
  holdExpired?: boolean;
  pause?: {
    totalMilliseconds?: number;
    beforeHoldMilliseconds?: number;
    holdMilliseconds?: number;
    resumeMilliseconds?: number;
  };
  memory?: { file?: string; format?: string; sizeBytes?: number; progressPercent?: number };
  disks?: DiskReport[];
  quiesced?: boolean;
  quiesceMessage?: string;
  manifest?: string;
  error?: { reason: string; message: string; step?: string };
}
