// The status of a Content: what of the engine's reports is worth a write, and how soon.

import { isDeepStrictEqual } from "node:util";
import type { ContentStatus } from "../api/v1alpha1/domain-snapshot-content.ts";
import type { FailureReason } from "../runtime/failure.ts";
import type { Urgency } from "./status-reporter.ts";

/** Completed and Failed are for ever. */
export function isTerminal(status: ContentStatus | undefined): boolean {
  return status?.phase === "Completed" || status?.phase === "Failed";
}

/**
 * The hold and the end are written at once: others wait for them. Other phases are written when they last, with their times
 * in the timeline in any case; progress within a phase now and then.
 */
export function contentUrgency(written: ContentStatus | undefined, next: ContentStatus): Urgency {
  if (isDeepStrictEqual(written, next)) return "never";
  if (written?.phase !== next.phase) return next.phase === "ManualStoragePending" || isTerminal(next) ? "now" : "soon";
  // The bound of the hold is what its owner steers by.
  if (written?.holdDeadline !== next.holdDeadline || written?.holdExpired !== next.holdExpired) return "now";
  return "eventually";
}

/** The end of a Content that the guest never heard of. */
export function refusedStatus(reason: FailureReason, message: string, now: string): ContentStatus {
  return { phase: "Failed", completedAt: now, error: { reason, message } };
}
