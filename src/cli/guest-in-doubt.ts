// Whether the guest of a snapshot that is over may still stand still because of it: what an uninstall must not leave behind.

import type { DomainSnapshotStatus } from "../api/v1alpha1/domain-snapshot.ts";

/** Failures after which nobody knows whether the guest runs again; docs/failure-reasons.md says so too. */
const open: ReadonlySet<string> = new Set(["ResumeFailed", "GuestLost", "AgentLost", "MonitorUnavailable"]);

/**
 * Judges the last status that was seen. A guest that was paused before stays so, which is no doubt; one that the agent had
 * not begun with was not touched.
 */
export function guestInDoubt(status: DomainSnapshotStatus | undefined): boolean {
  const { phase, startedAt, pausedAt, resumedAt, domainStateBefore, error } = status ?? {};
  if (phase === "Completed" || resumedAt !== undefined) return false;
  // No word of the end, as when the object was deleted: from its begin on, the guest may have been stopped.
  if (phase !== "Failed") return startedAt !== undefined;
  if (pausedAt !== undefined) return domainStateBefore !== "Paused";
  return startedAt !== undefined && error !== undefined && open.has(error.reason);
}
