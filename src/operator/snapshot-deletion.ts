// Deleting a DomainSnapshot: before the end it is an abort and waits for the agent's word; after it the policy decides.
// Files of a completed snapshot are not touched: with Delete, the agent has to remove them, which is yet to be built.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import type { DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import { isApiError } from "../kube/api-error.ts";
import type { ReconcileContext, ReconcileResult } from "../kube/controller.ts";
import type { EventRecorder } from "../kube/event-recorder.ts";
import { removeFinalizer } from "../kube/finalizers.ts";
import type { ResourceClient } from "../kube/resource-client.ts";
import type { Presence } from "./agent-presence.ts";
import type { ContentLifecycle } from "./content-lifecycle.ts";
import { abandonAnnotation, finalizer } from "./names.ts";
import { isTerminal } from "./phases.ts";

/** A deletion does not wait longer for a lost agent. It aborts when it comes back and finds its Content gone. */
export const forgoAgentAfterMilliseconds = 10 * 60_000;

export class SnapshotDeletion {
  readonly #snapshots: ResourceClient<DomainSnapshot>;
  readonly #contents: ContentLifecycle;
  readonly #recorder: Pick<EventRecorder, "record">;

  constructor(options: {
    snapshots: ResourceClient<DomainSnapshot>;
    contents: ContentLifecycle;
    recorder: Pick<EventRecorder, "record">;
  }) {
    this.#snapshots = options.snapshots;
    this.#contents = options.contents;
    this.#recorder = options.recorder;
  }

  /** A step while the Content has not been accounted for; undefined if one has to wait for its agent or show the end first. */
  async advance(
    snapshot: DomainSnapshot,
    content: DomainSnapshotContent,
    agent: Presence,
    context: ReconcileContext,
  ): Promise<ReconcileResult | undefined> {
    if (isTerminal(content.status?.phase)) return undefined;
    const untouched = content.status?.phase === undefined;
    const abandoned = snapshot.metadata.annotations?.[abandonAnnotation] === "true";
    const forgone = agent.state === "Lost" && agent.lostForMilliseconds >= forgoAgentAfterMilliseconds;
    if (agent.state === "Lost" && (untouched || abandoned || forgone)) {
      this.#recorder.record({
        regarding: snapshot,
        related: content,
        type: "Warning",
        reason: "AgentLost",
        action: "Delete",
        note: `removed without the word of the agent of node ${content.spec.nodeName}; it rolls back when it returns`,
      });
      context.log.warn({ content: content.metadata.name }, "the agent is lost: removed without its word");
      await this.#letGo(content, context);
      return await this.#drop(snapshot, context);
    }
    // A release cannot be taken back, but a stream behind the running guest can still be cut off.
    if (content.spec.desired === "Released" && content.spec.capture === "background") {
      await this.#contents.remove(content, context.signal);
    }
    return undefined;
  }

  /** The end was shown, or there never was a Content: apply the policy and drop the finalizer. */
  async finish(snapshot: DomainSnapshot, context: ReconcileContext): Promise<ReconcileResult> {
    if (snapshot.metadata.finalizers?.includes(finalizer) !== true) return {};
    const content = await this.#contents.find(snapshot.metadata.uid ?? "", context.signal);
    if (content !== undefined) {
      const keep = content.status?.phase === "Completed" && snapshot.spec.deletionPolicy === "Retain";
      if (!keep) await this.#letGo(content, context);
    }
    return await this.#drop(snapshot, context);
  }

  async #letGo(content: DomainSnapshotContent, context: ReconcileContext): Promise<void> {
    await this.#contents.remove(content, context.signal);
    await this.#contents.release(content, context.signal);
  }

  async #drop(snapshot: DomainSnapshot, context: ReconcileContext): Promise<ReconcileResult> {
    try {
      await removeFinalizer(this.#snapshots, snapshot, finalizer, context);
      context.log.info("deleted");
    } catch (error) {
      if (!isApiError(error, "NotFound")) throw error;
    }
    return {};
  }
}
