// The way from a request to its Content: everything that may refuse it or make it wait, in order, before a guest is touched.

import type { Domain } from "../api/v1alpha1/domain.ts";
import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import type { ContentSpec } from "../api/v1alpha1/domain-snapshot-content.ts";
import type { AgentPresence } from "./agent-presence.ts";
import type { ClusterView } from "./cluster-view.ts";
import { blockedBy } from "./domain-turn.ts";
import { latestStart } from "./lateness.ts";
import { agentLeaseName } from "./names.ts";
import { planContent } from "./plan-content.ts";
import type { Verdict } from "./project-status.ts";
import { replayed } from "./replay.ts";

export type StartDecision =
  | { readonly kind: "Start"; readonly spec: ContentSpec }
  | (Verdict & { readonly checkAfterMilliseconds?: number });

/** Decides about a DomainSnapshot that has no Content. */
export async function decideStart(
  snapshot: DomainSnapshot,
  view: ClusterView,
  options: { readonly presence: AgentPresence; readonly now: number; readonly signal: AbortSignal },
): Promise<StartDecision> {
  const latest = latestStart(snapshot);
  const decision = await decide(snapshot, view, options);
  if (latest === undefined || decision.kind === "Refused") return decision;
  const left = latest.at - options.now;
  if (left <= 0) {
    const why = decision.kind === "Waiting" ? `: ${decision.message}` : "";
    return refused(
      "DeadlineExceeded",
      `${latest.field} had passed before the snapshot could begin${why}; the guest was left alone`,
    );
  }
  if (decision.kind === "Start") return decision;
  return { ...decision, checkAfterMilliseconds: Math.min(left, decision.checkAfterMilliseconds ?? left) };
}

async function decide(
  snapshot: DomainSnapshot,
  view: ClusterView,
  options: { readonly presence: AgentPresence; readonly signal: AbortSignal },
): Promise<StartDecision> {
  const copyOf = replayed(snapshot, view.contents.store.list());
  if (copyOf !== undefined) return refused("Replayed", copyOf);
  if (snapshot.spec.abort === true) return refused("Aborted", "aborted before it started; the guest was left alone");
  if (snapshot.status?.contentName !== undefined) {
    return refused("Aborted", `DomainSnapshotContent ${snapshot.status.contentName} was removed; its agent rolls back`);
  }
  const domain = await findDomain(snapshot, view, options.signal);
  if (domain === undefined) return refusal(planContent(snapshot, undefined));

  const blocker = blockedBy(snapshot, view.snapshots.store.list(), view.contents.store.list());
  if (blocker !== undefined) return { kind: "Waiting", reason: "DomainBusy", message: blocker };

  const node = domain.spec.nodeName;
  const agent = options.presence.of(agentLeaseName(node));
  if (agent.state === "Lost") {
    return refused(
      "AgentLost",
      `no agent renews the Lease of node ${node}; start it, then create a new DomainSnapshot`,
    );
  }
  if (agent.state === "Unproven") {
    const { checkAfterMilliseconds } = agent;
    return {
      kind: "Waiting",
      reason: "WaitingForAgent",
      message: `the agent of node ${node} has yet to show up`,
      checkAfterMilliseconds,
    };
  }
  const plan = planContent(snapshot, domain);
  if (plan.kind === "Planned") return { kind: "Start", spec: plan.spec };
  // The store may show a guest that was published or started a moment ago as it was before: refuse for good by the newest.
  const { name, namespace } = domain.metadata;
  return refusal(planContent(snapshot, await view.domains.client.get(name, namespace, { signal: options.signal })));
}

/** The store may lag behind a Domain that was published just now: ask before refusing for good. */
async function findDomain(
  snapshot: DomainSnapshot,
  view: ClusterView,
  signal: AbortSignal,
): Promise<Domain | undefined> {
  const { namespace = "" } = snapshot.metadata;
  const { name } = snapshot.spec.domainRef;
  return view.domains.store.get(`${namespace}/${name}`) ?? (await view.domains.client.get(name, namespace, { signal }));
}

function refused(reason: string, message: string): StartDecision {
  return { kind: "Refused", reason, message };
}

function refusal(plan: ReturnType<typeof planContent>): StartDecision {
  return plan.kind === "Planned" ? { kind: "Start", spec: plan.spec } : plan;
}
