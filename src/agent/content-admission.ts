// What to do with a Content that this agent does not carry out yet. Pure: everything it needs to know is handed in.

import type { DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import type { FailureReason } from "../runtime/failure.ts";
import { isTerminal } from "./content-status.ts";

export type Admission =
  /** Ended, or not our business. */
  | { readonly verdict: "Ignore" }
  /** Ends as Failed without the guest hearing of it. */
  | { readonly verdict: "Refuse"; readonly reason: FailureReason; readonly message: string }
  /** The guest is taken by another snapshot; asked again when that ends. */
  | { readonly verdict: "Wait" }
  | { readonly verdict: "Start" };

/** Decides. What an agent before us began is not asked about: its journal was taken up already. */
export function admit(
  content: DomainSnapshotContent,
  known: { readonly hasDomain: boolean; readonly domainIsTaken: boolean },
): Admission {
  const { spec, status, metadata } = content;
  if (isTerminal(status)) return { verdict: "Ignore" };
  if (status?.phase !== undefined && status.phase !== "Pending") {
    return refuse(
      "AgentLost",
      `the agent that brought this snapshot to ${status.phase} is gone and left no journal on ${spec.nodeName}; look whether the guest runs`,
    );
  }
  if (metadata.deletionTimestamp !== undefined) return refuse("Aborted", "deleted before it began");
  switch (spec.desired) {
    case "Aborted":
      return refuse("Aborted", "aborted before it began");
    case "Released":
      return refuse(
        "Replayed",
        "released before it began: a restored or re-created object does not pause a guest again",
      );
    case "Held":
      break;
  }
  if (!known.hasDomain) {
    const { namespace, name } = spec.domain;
    return refuse(
      "DomainNotFound",
      `the agent of ${spec.nodeName} has no domain ${namespace}/${name} in its configuration`,
    );
  }
  return { verdict: known.domainIsTaken ? "Wait" : "Start" };
}

function refuse(reason: FailureReason, message: string): Admission {
  return { verdict: "Refuse", reason, message };
}
