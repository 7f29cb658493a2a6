// What the phases mean to the operator: which are the end, and which the user must see at once.

import type { Phase } from "../api/v1alpha1/fields.ts";

/** Whether a phase is the last one. */
export function isTerminal(phase: Phase | undefined): phase is "Completed" | "Failed" {
  return phase === "Completed" || phase === "Failed";
}

/** Phases that somebody waits for: their status is never delayed in the hope of a later one. */
export function isAwaited(phase: Phase | undefined): boolean {
  return phase === "ManualStoragePending" || isTerminal(phase);
}
