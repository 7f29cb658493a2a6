// A snapshot that comes too late is not taken: its window has passed, or it was created again long after.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";

/** When the snapshot may begin at the latest, in milliseconds since the epoch; undefined for no limit. */
export function latestStart(snapshot: DomainSnapshot): { readonly at: number; readonly field: string } | undefined {
  const { notAfter, startDeadlineSeconds } = snapshot.spec;
  const limits = [
    ...(notAfter === undefined ? [] : [{ at: Date.parse(notAfter), field: "spec.notAfter" }]),
    ...(startDeadlineSeconds === undefined
      ? []
      : [
          {
            at: Date.parse(snapshot.metadata.creationTimestamp ?? "") + startDeadlineSeconds * 1000,
            field: "spec.startDeadlineSeconds",
          },
        ]),
  ];
  return limits.toSorted((a, b) => a.at - b.at)[0];
}
