// The first resume or abort is final: this decides, purely, what the Content's `desired` must be and what status records.

import { z } from "zod";
import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import type { ContentSpec, DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import { microTime } from "../runtime/clock.ts";
import { isTerminal } from "./phases.ts";

export type Desired = ContentSpec["desired"];

/** What was decided about the hold, by whom, and when; nothing is recorded for a deletion, which is nobody's request. */
export interface Latch {
  readonly desired: Desired;
  readonly resumeRequestedAt?: string;
  readonly abortRequestedAt?: string;
  readonly requestedBy?: string;
}

const held: Latch = { desired: "Held" };

/**
 * Decides about the hold. `remembered` is what this process decided before but has not yet written to status.
 *
 * Order of authority: what status records, what the Content already says (it is decided once), what this process
 * remembers, and only then the spec. A later `false`, or the other field, changes nothing. `resume` counts only once
 * the user could see ManualStoragePending in the status: earlier it would end the hold before anybody could cut.
 */
export function decideLatch(input: {
  readonly snapshot: DomainSnapshot;
  readonly content: DomainSnapshotContent | undefined;
  readonly remembered?: Latch | undefined;
  readonly now: number;
}): Latch {
  const { snapshot, content, remembered } = input;
  const status = snapshot.status ?? {};
  const by = status.requestedBy === undefined ? {} : { requestedBy: status.requestedBy };
  if (status.abortRequestedAt !== undefined) {
    return { desired: "Aborted", abortRequestedAt: status.abortRequestedAt, ...by };
  }
  if (status.resumeRequestedAt !== undefined) {
    return { desired: "Released", resumeRequestedAt: status.resumeRequestedAt, ...by };
  }
  if (remembered !== undefined && remembered.desired !== "Held") return remembered;

  const decided = content?.spec.desired ?? "Held";
  const at = microTime(input.now);
  if (decided === "Released") return { desired: "Released", resumeRequestedAt: content?.status?.releaseSeenAt ?? at };
  if (decided === "Aborted") return snapshot.spec.abort === true ? aborted(at) : { desired: "Aborted" };

  const phase = content?.status?.phase;
  if (isTerminal(status.phase) || isTerminal(phase)) return held;
  if (snapshot.spec.abort === true) return aborted(at);
  if (snapshot.metadata.deletionTimestamp !== undefined) return { desired: "Aborted" };
  const holdIsPublic = status.phase === "ManualStoragePending" && phase === "ManualStoragePending";
  if (snapshot.spec.resume === true && holdIsPublic) return { desired: "Released", resumeRequestedAt: at };
  return held;
}

function aborted(at: string): Latch {
  return { desired: "Aborted", abortRequestedAt: at };
}

const managedFields = z.array(
  z.object({
    manager: z.string().optional(),
    time: z.string().optional(),
    fieldsV1: z.looseObject({ "f:spec": z.record(z.string(), z.unknown()).optional() }).optional(),
  }),
);

/** The field manager that wrote resume or abort last. Caches drop managedFields: this needs the object as the server has it. */
export function requesterOf(snapshot: DomainSnapshot, latch: Latch): string | undefined {
  const field = latch.abortRequestedAt === undefined ? "f:resume" : "f:abort";
  const parsed = managedFields.safeParse(snapshot.metadata["managedFields"]);
  if (!parsed.success) return undefined;
  const owners = parsed.data
    .filter((entry) => Object.hasOwn(entry.fieldsV1?.["f:spec"] ?? {}, field))
    .sort((a, b) => (b.time ?? "").localeCompare(a.time ?? ""));
  return owners[0]?.manager?.slice(0, 256);
}
