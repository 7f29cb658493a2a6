// Contents whose DomainSnapshot is gone: retained ones stay until somebody deletes them, all others are ended and removed.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import type { DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import type { ReconcileContext, ReconcileResult } from "../kube/controller.ts";
import { parseKey } from "../kube/kube-object.ts";
import type { AgentPresence } from "./agent-presence.ts";
import type { ClusterView } from "./cluster-view.ts";
import type { ContentLifecycle } from "./content-lifecycle.ts";
import { agentLeaseName, snapshotKeyOf } from "./names.ts";
import { isTerminal } from "./phases.ts";
import { forgoAgentAfterMilliseconds } from "./snapshot-deletion.ts";

/** How often an orphan is looked at while its agent still has to end it. */
const checkMilliseconds = 30_000;

export class OrphanContents {
  readonly #view: ClusterView;
  readonly #contents: ContentLifecycle;
  readonly #presence: AgentPresence;

  constructor(options: { view: ClusterView; contents: ContentLifecycle; presence: AgentPresence }) {
    this.#view = options.view;
    this.#contents = options.contents;
    this.#presence = options.presence;
  }

  /** Looks after the Contents made for `key` that do not belong to `current`. */
  async reconcile(
    key: string,
    current: DomainSnapshot | undefined,
    context: ReconcileContext,
  ): Promise<ReconcileResult> {
    const orphans = this.#view.contents.store
      .list()
      .filter((content) => snapshotKeyOf(content) === key && content.spec.snapshotRef.uid !== current?.metadata.uid)
      .filter((content) => !isRetained(content));
    if (orphans.length === 0) return {};

    // Stores fill independently of each other: only the server knows that the owner is gone.
    const { name, namespace } = parseKey(key);
    const live = await this.#view.snapshots.client.get(name, namespace, { signal: context.signal });
    const gone = orphans.filter((content) => content.spec.snapshotRef.uid !== live?.metadata.uid);
    for (const content of gone) await this.#end(content, context);
    return { requeueAfterMilliseconds: checkMilliseconds };
  }

  async #end(content: DomainSnapshotContent, context: ReconcileContext): Promise<void> {
    const agent = this.#presence.of(agentLeaseName(content.spec.nodeName));
    const forgone = agent.state === "Lost" && agent.lostForMilliseconds >= forgoAgentAfterMilliseconds;
    if (content.spec.desired === "Held" && !isTerminal(content.status?.phase)) {
      context.log.warn({ content: content.metadata.name }, "its DomainSnapshot is gone: aborted");
      await this.#contents.update(content, { desired: "Aborted" }, context.signal);
    }
    if (!isTerminal(content.status?.phase) && !forgone) return;
    await this.#contents.remove(content, context.signal);
    await this.#contents.release(content, context.signal);
    context.log.info({ content: content.metadata.name }, "content without a DomainSnapshot removed");
  }
}

function isRetained(content: DomainSnapshotContent): boolean {
  return content.status?.phase === "Completed" && content.metadata.deletionTimestamp === undefined;
}
