// The status of a Domain, computed from what was seen of its guest: pure, so that equal sights give equal statuses.

import { isDeepStrictEqual } from "node:util";
import { type Observation, stampConditions } from "../api/v1alpha1/condition-set.ts";
import type { Domain, DomainStatus } from "../api/v1alpha1/domain.ts";
import type { DomainState, GuestObservation } from "./guest-observation.ts";
import type { ImageVerdict } from "./image-record.ts";

/** What the agent knows of a guest at a moment. */
export interface DomainSight {
  /** Why the monitor cannot be used; undefined when it can. */
  readonly unavailable: { readonly reason: string; readonly message: string } | undefined;
  /** The newest full observation, kept while the monitor is away. */
  readonly observation: GuestObservation | undefined;
  readonly state: DomainState;
  readonly activeSnapshot: string | undefined;
  readonly images: ImageVerdict;
}

/** The condition types that the agent owns; others on the object are other people's. */
const ownConditions: ReadonlySet<string> = new Set(["Ready", "DiskImageChanged"]);

/** The wanted status. `actual` gives each condition its lastTransitionTime as long as its status stays. */
export function domainStatus(sight: DomainSight, actual: Domain | undefined, now: number): DomainStatus {
  const previous = actual?.status;
  const wanted = [ready(sight), diskImageChanged(sight.images)].filter((condition) => condition !== undefined);
  const conditions = stampConditions(wanted, previous?.conditions, { generation: actual?.metadata.generation, now });
  const { observation } = sight;
  return {
    state: sight.state,
    ...(observation === undefined ? lastKnown(previous) : seen(observation)),
    ...(sight.activeSnapshot !== undefined && { activeSnapshot: sight.activeSnapshot }),
    conditions,
  };
}

function seen(observation: GuestObservation): DomainStatus {
  const { qemuVersion, memoryBytes, disks, captureModes } = observation;
  return { qemuVersion, memoryBytes, disks: [...disks], captureModes: [...captureModes] };
}

/** An agent that started while the guest was away leaves what its predecessor saw. */
function lastKnown(previous: DomainStatus | undefined): DomainStatus {
  if (previous === undefined) return {};
  const { qemuVersion, memoryBytes, disks, captureModes } = previous;
  return {
    ...(qemuVersion !== undefined && { qemuVersion }),
    ...(memoryBytes !== undefined && { memoryBytes }),
    ...(disks !== undefined && { disks }),
    ...(captureModes !== undefined && { captureModes }),
  };
}

/** Whether the server already shows what we want it to show, leaving out what others wrote. */
export function showsStatus(actual: Domain | undefined, wanted: DomainStatus): boolean {
  return isDeepStrictEqual(comparable(actual?.status), comparable(wanted));
}

function comparable(status: DomainStatus | undefined): unknown {
  if (status === undefined) return undefined;
  const { conditions = [], disks = [], captureModes = [], ...rest } = status;
  const own = conditions.filter((condition) => ownConditions.has(condition.type));
  return {
    ...rest,
    disks: disks.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    captureModes: captureModes.toSorted(),
    conditions: own
      // The server may print a time in another form; the status, the text and what it is about are what counts.
      .map(({ lastTransitionTime: _when, ...said }) => said)
      .toSorted((a, b) => (a.type < b.type ? -1 : 1)),
  };
}

function ready(sight: DomainSight): Observation {
  const { unavailable } = sight;
  if (unavailable !== undefined) return { type: "Ready", status: "False", ...unavailable };
  return {
    type: "Ready",
    status: "True",
    reason: "MonitorReachable",
    message: "the agent can use the guest's monitor",
  };
}

function diskImageChanged(verdict: ImageVerdict): Observation | undefined {
  switch (verdict.is) {
    case "settled":
      return undefined;
    case "unannounced":
      return {
        type: "DiskImageChanged",
        status: "True",
        reason: "NotAnnounced",
        message: `${list(verdict.images)}; whoever starts this guest next must open that image, or data is lost (no diskChangeCommand is configured)`,
      };
    case "stale":
      return {
        type: "DiskImageChanged",
        status: "True",
        reason: "StartedFromOldImage",
        message: `this guest was started from an old image: before, ${list(verdict.images)}; stop it at once and start it from that image`,
      };
  }
}

function list(images: ReadonlyMap<string, string>): string {
  return [...images].map(([disk, path]) => `${disk} went to ${path}`).join(", ");
}
