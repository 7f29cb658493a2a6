// Domains of nodes whose agent is lost: nobody else can say that what their status shows is no longer known to be true.

import { stampConditions } from "../api/v1alpha1/condition-set.ts";
import type { Domain } from "../api/v1alpha1/domain.ts";
import type { ReconcileContext, ReconcileResult } from "../kube/controller.ts";
import { StatusWriter } from "../kube/status-writer.ts";
import type { Clock } from "../runtime/clock.ts";
import type { AgentPresence } from "./agent-presence.ts";
import type { Kind } from "./cluster-view.ts";
import { agentLeaseName, fieldManager } from "./names.ts";

export class DomainReconciler {
  readonly #kind: Kind<Domain>;
  readonly #presence: AgentPresence;
  readonly #clock: Clock;
  readonly #writer: StatusWriter<Domain>;
  /** Keys marked in this absence of their agent. One that writes without renewing its Lease is not fought with. */
  readonly #marked = new Set<string>();

  constructor(options: { kind: Kind<Domain>; presence: AgentPresence; clock: Clock }) {
    this.#kind = options.kind;
    this.#presence = options.presence;
    this.#clock = options.clock;
    this.#writer = new StatusWriter({ ...options.kind, fieldManager });
  }

  /** Sets Ready=Unknown/AgentLost; a returning agent takes the condition back by publishing its Domains. */
  async reconcile(key: string, context: ReconcileContext): Promise<ReconcileResult> {
    const domain = this.#kind.store.get(key);
    if (domain === undefined || domain.metadata.deletionTimestamp !== undefined) {
      this.#marked.delete(key);
      return {};
    }
    const agent = this.#presence.of(agentLeaseName(domain.spec.nodeName));
    if (agent.state !== "Lost") {
      this.#marked.delete(key);
      return { requeueAfterMilliseconds: agent.checkAfterMilliseconds };
    }
    if (this.#marked.has(key)) return {};
    const ready = domain.status?.conditions?.find((condition) => condition.type === "Ready");
    if (ready?.status === "Unknown" && ready.reason === "AgentLost") {
      this.#marked.add(key);
      return {};
    }
    const message = `the agent of node ${domain.spec.nodeName} does not renew its Lease; what is shown here may be out of date`;
    const conditions = stampConditions(
      [{ type: "Ready", status: "Unknown", reason: "AgentLost", message }],
      domain.status?.conditions,
      {
        generation: domain.metadata.generation ?? 1,
        now: this.#clock.now(),
      },
    );
    await this.#writer.write(domain, { conditions }, context);
    this.#marked.add(key);
    context.log.warn({ node: domain.spec.nodeName }, "the agent is lost");
    return {};
  }
}
