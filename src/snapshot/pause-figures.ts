// What the guest felt.

import type { SnapshotContext } from "./context.ts";
import type { SnapshotReport } from "./job.ts";

/** The pause and its three parts in milliseconds; empty for a guest that was paused before. */
export function pauseFigures(context: SnapshotContext): NonNullable<SnapshotReport["pause"]> {
  const parts = {
    totalMilliseconds: context.between("pausedAt", "resumedAt"),
    beforeHoldMilliseconds:
      context.between("pausedAt", "manualStoragePendingAt") ?? context.between("pausedAt", "releaseSeenAt"),
    holdMilliseconds: context.between("manualStoragePendingAt", "releaseSeenAt"),
    resumeMilliseconds: context.between("releaseSeenAt", "resumedAt"),
  };
  const figures: NonNullable<SnapshotReport["pause"]> = {};
  for (const [name, value] of Object.entries(parts)) if (value !== undefined) Object.assign(figures, { [name]: value });
  return figures;
}
