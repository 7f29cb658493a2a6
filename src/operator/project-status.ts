// DomainSnapshot + Content + what the operator knows -> the status users see. Pure; the only place that makes a status.

import { stampConditions } from "../api/v1alpha1/condition-set.ts";
import type { DomainSnapshot, DomainSnapshotStatus } from "../api/v1alpha1/domain-snapshot.ts";
import type { ContentStatus, DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import type { Phase } from "../api/v1alpha1/fields.ts";
import { type Cause, healthConditions, observedConditions } from "./conditions.ts";
import type { Latch } from "./latch.ts";
import { isTerminal } from "./phases.ts";

/** What the operator itself has to say: it refuses, for good, or it waits for something. */
export type Verdict =
  | { readonly kind: "Refused"; readonly reason: string; readonly message: string }
  | { readonly kind: "Waiting"; readonly reason: string; readonly message: string };

export interface ProjectionInput {
  readonly snapshot: DomainSnapshot;
  readonly content?: DomainSnapshotContent | undefined;
  readonly verdict?: Verdict | undefined;
  readonly latch?: Latch | undefined;
  /** The agent of the node has not renewed its Lease. It keeps the deadline of a hold all the same. */
  readonly agentLost?: boolean;
  readonly now: number;
}

/** The status that the DomainSnapshot should have. A terminal phase is final: whatever comes later, it stays. */
export function projectStatus(input: ProjectionInput): DomainSnapshotStatus {
  const { snapshot, content, verdict } = input;
  const previous = snapshot.status ?? {};
  const generation = snapshot.metadata.generation ?? 1;
  if (isTerminal(previous.phase)) return { ...previous, observedGeneration: generation };

  const phase: Phase = verdict?.kind === "Refused" ? "Failed" : (content?.status?.phase ?? "Pending");
  const error = errorOf(phase, verdict, content);
  const agentLost = input.agentLost === true && !isTerminal(phase);
  const holdExpired = phase === "ManualStoragePending" && content?.status?.holdExpired === true;
  const cause = agentLost ? agentLostCause(content) : causeOf(phase, { verdict, content, error, holdExpired });
  const observations = [
    ...healthConditions(phase, cause, { holdExpired, agentLost }),
    ...(content === undefined ? [] : observedConditions(content, phase)),
  ];
  return {
    observedGeneration: generation,
    phase,
    conditions: stampConditions(observations, previous.conditions, { generation, now: input.now }),
    ...(content === undefined ? {} : whereAndWhat(content)),
    ...(content?.status === undefined ? {} : whatHappened(content.status)),
    ...requests(input.latch),
    ...(error === undefined ? {} : { error }),
  };
}

type SnapshotError = NonNullable<DomainSnapshotStatus["error"]>;

function errorOf(
  phase: Phase,
  verdict: Verdict | undefined,
  content: DomainSnapshotContent | undefined,
): SnapshotError | undefined {
  if (phase !== "Failed") return undefined;
  if (verdict?.kind === "Refused") return { reason: verdict.reason, message: verdict.message.slice(0, 4096) };
  return (
    content?.status?.error ?? { reason: "InternalError", message: "the agent reported a failure without a reason" }
  );
}

function causeOf(
  phase: Phase,
  known: {
    readonly verdict: Verdict | undefined;
    readonly content: DomainSnapshotContent | undefined;
    readonly error: SnapshotError | undefined;
    readonly holdExpired: boolean;
  },
): Cause {
  switch (phase) {
    case "Pending":
      if (known.verdict !== undefined) return { reason: known.verdict.reason, message: known.verdict.message };
      if (known.content === undefined) return { reason: "Pending", message: "the request was seen" };
      return { reason: "Pending", message: `handed to the agent of node ${known.content.spec.nodeName}` };
    case "Preparing":
      return { reason: phase, message: "the guest and its files are being checked" };
    case "SavingMemory":
      return { reason: phase, message: "memory is being saved" };
    case "SwitchingDisks":
      return { reason: phase, message: "external disks are being put on overlays" };
    case "ManualStoragePending":
      if (known.holdExpired) {
        return {
          reason: "HoldExpired",
          message: "the deadline passed and the guest is kept paused: set spec.resume or spec.abort",
        };
      }
      return {
        reason: phase,
        message: "the guest is paused and waits for the storage's owner: set spec.resume when done",
      };
    case "Resuming":
      return { reason: phase, message: "the guest is being resumed" };
    case "Completed":
      return { reason: phase, message: "the snapshot is complete" };
    case "Failed":
      return { reason: known.error?.reason ?? "InternalError", message: known.error?.message ?? "failed" };
    default:
      return phase satisfies never;
  }
}

function agentLostCause(content: DomainSnapshotContent | undefined): Cause {
  const node = content === undefined ? "of the domain" : content.spec.nodeName;
  return {
    reason: "AgentLost",
    message: `the agent of node ${node} does not renew its Lease; it still keeps the deadline of a hold. Start it again, or look at the guest there`,
  };
}

/** Known from the plan, before the agent says a word: every disk with its mode. */
function whereAndWhat(content: DomainSnapshotContent): DomainSnapshotStatus {
  return {
    nodeName: content.spec.nodeName,
    contentName: content.metadata.name,
    domainUUID: content.spec.domain.uuid,
    disks: content.status?.disks ?? content.spec.disks.map(({ name, snapshot }) => ({ name, snapshot })),
  };
}

const mirrored = [
  "domainStateBefore",
  "startedAt",
  "pausedAt",
  "memorySavedAt",
  "disksSwitchedAt",
  "manualStoragePendingAt",
  "resumedAt",
  "completedAt",
  "pause",
  "holdDeadline",
  "memory",
] as const satisfies readonly (keyof ContentStatus & keyof DomainSnapshotStatus)[];

function whatHappened(status: ContentStatus): DomainSnapshotStatus {
  return Object.fromEntries(mirrored.flatMap((field) => (status[field] === undefined ? [] : [[field, status[field]]])));
}

function requests(latch: Latch | undefined): DomainSnapshotStatus {
  if (latch === undefined) return {};
  const { desired: _desired, ...recorded } = latch;
  return recorded;
}
