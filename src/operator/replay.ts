// One-shot objects get restored and re-created without their status; such a copy must never pause a guest again.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";

const restoreLabel = "velero.io/restore-name";

/** Why a DomainSnapshot that has no status yet must not be run, or undefined. */
export function replayed(snapshot: DomainSnapshot): string | undefined {
  if (snapshot.status?.phase !== undefined) return undefined;
  const again = "create a new DomainSnapshot to take a new snapshot";
  if (snapshot.metadata.labels?.[restoreLabel] !== undefined) {
    return `restored from a backup (label ${restoreLabel}); the guest was left alone: ${again}`;
  }
  if (snapshot.spec.resume === true) {
    return `created with spec.resume: true, so it is a copy of an earlier one; the guest was left alone: ${again} without spec.resume`;
  }
  return undefined;
}
