// Writes a DomainSnapshot's status: what somebody waits for at once, the rest once it has lasted, and tells each transition.

import type { DomainSnapshot, DomainSnapshotStatus } from "../api/v1alpha1/domain-snapshot.ts";
import type { EventRecorder } from "../kube/event-recorder.ts";
import { jsonEqual } from "../kube/json-equal.ts";
import { StatusWriter } from "../kube/status-writer.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { Kind } from "./cluster-view.ts";
import { fieldManager } from "./names.ts";
import { isAwaited } from "./phases.ts";
import { transitions } from "./transitions.ts";

/** Phases that last less are never written; their times are in the timeline. */
const settleMilliseconds = 200;

export interface Published {
  /** The DomainSnapshot as it is now. */
  readonly snapshot: DomainSnapshot;
  /** Come again after this time: something is waiting to be written. */
  readonly waitMilliseconds?: number;
}

export class StatusPublisher {
  readonly #writer: StatusWriter<DomainSnapshot>;
  readonly #recorder: Pick<EventRecorder, "record">;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, { readonly phase: DomainSnapshotStatus["phase"]; readonly dueAt: number }>();

  constructor(options: { kind: Kind<DomainSnapshot>; recorder: Pick<EventRecorder, "record">; clock: Clock }) {
    this.#writer = new StatusWriter({ ...options.kind, fieldManager });
    this.#recorder = options.recorder;
    this.#clock = options.clock;
  }

  /** Makes `next` the status, now or when it has lasted 200 ms. Writes nothing if nothing would change. */
  async publish(
    snapshot: DomainSnapshot,
    next: DomainSnapshotStatus,
    context: { readonly signal: AbortSignal; readonly log: Logger },
  ): Promise<Published> {
    const uid = snapshot.metadata.uid ?? "";
    const previous = snapshot.status;
    if (jsonEqual(previous, next)) {
      this.#waiting.delete(uid);
      return { snapshot };
    }
    const waitMilliseconds = isUrgent(previous, next) ? 0 : this.#leftToSettle(uid, next);
    if (waitMilliseconds > 0) return { snapshot, waitMilliseconds };

    const written = await this.#writer.write(snapshot, next, { signal: context.signal });
    this.#waiting.delete(uid);
    if (written !== snapshot) this.#tell(snapshot, next, context.log);
    return { snapshot: written };
  }

  /** The object is gone. */
  forget(snapshot: DomainSnapshot): void {
    this.#waiting.delete(snapshot.metadata.uid ?? "");
    this.#writer.forget(snapshot);
  }

  /** A new phase starts the time anew; news within a phase does not. */
  #leftToSettle(uid: string, next: DomainSnapshotStatus): number {
    const now = this.#clock.monotonic();
    let waiting = this.#waiting.get(uid);
    if (waiting === undefined || waiting.phase !== next.phase) {
      waiting = { phase: next.phase, dueAt: now + settleMilliseconds };
      this.#waiting.set(uid, waiting);
    }
    return Math.max(0, Math.ceil(waiting.dueAt - now));
  }

  #tell(snapshot: DomainSnapshot, next: DomainSnapshotStatus, log: Logger): void {
    for (const transition of transitions(snapshot.status, next)) {
      this.#recorder.record({ regarding: snapshot, ...transition });
      const level = transition.type === "Warning" ? "warn" : "info";
      log[level]({ phase: next.phase, content: next.contentName, reason: transition.reason }, transition.note);
    }
  }
}

function isUrgent(previous: DomainSnapshotStatus | undefined, next: DomainSnapshotStatus): boolean {
  if (previous?.phase === undefined) return true;
  if (previous.phase !== next.phase && isAwaited(next.phase)) return true;
  return isStalled(previous) !== isStalled(next);
}

function isStalled(status: DomainSnapshotStatus): boolean {
  return status.conditions?.some((condition) => condition.type === "Stalled" && condition.status === "True") ?? false;
}
