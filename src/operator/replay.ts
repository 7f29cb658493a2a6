// One-shot objects get restored and re-created without their status; such a copy must never pause a guest again.

import { z } from "zod";
import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import type { DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import { objectKey } from "../kube/kube-object.ts";
import { requestAnnotation, snapshotKeyOf } from "./names.ts";

const restoreLabel = "velero.io/restore-name";
const again = "create a new DomainSnapshot, of another name, to take a new snapshot";

const request = z.object({ uid: z.string() });

/** Why a DomainSnapshot without a Content of its own must not be run, or undefined. */
export function replayed(snapshot: DomainSnapshot, contents: readonly DomainSnapshotContent[]): string | undefined {
  return copied(snapshot) ?? namesake(snapshot, contents);
}

/** What the object itself says; once it was looked at, labels and fields may come and go. */
function copied(snapshot: DomainSnapshot): string | undefined {
  const origin = originOf(snapshot);
  if (origin !== undefined && origin !== snapshot.metadata.uid) {
    return `a copy of the DomainSnapshot with UID ${origin}, by its annotation ${requestAnnotation}; the guest was left alone: ${again} and without the annotation`;
  }
  if (snapshot.status?.phase !== undefined) return undefined;
  if (snapshot.metadata.labels?.[restoreLabel] !== undefined) {
    return `restored from a backup (label ${restoreLabel}); the guest was left alone: ${again}`;
  }
  if (snapshot.spec.resume === true) {
    return `created with spec.resume: true, so it is a copy of an earlier one; the guest was left alone: ${again}, without spec.resume`;
  }
  return undefined;
}

/** A pipeline that deleted and re-created its object: what was captured under that name is still there, or under way. */
function namesake(snapshot: DomainSnapshot, contents: readonly DomainSnapshotContent[]): string | undefined {
  const key = objectKey(snapshot);
  const earlier = contents.find(
    (content) =>
      snapshotKeyOf(content) === key &&
      content.spec.snapshotRef.uid !== snapshot.metadata.uid &&
      content.status?.phase !== "Failed",
  );
  if (earlier === undefined) return undefined;
  const { name } = earlier.metadata;
  return `an earlier snapshot of this name is kept as DomainSnapshotContent ${name}, so this is its re-creation; the guest was left alone: ${again}, or delete that Content first`;
}

function originOf(snapshot: DomainSnapshot): string | undefined {
  const text = snapshot.metadata.annotations?.[requestAnnotation];
  if (text === undefined) return undefined;
  try {
    return request.safeParse(JSON.parse(text)).data?.uid;
  } catch {
    return undefined; // not written by us
  }
}
