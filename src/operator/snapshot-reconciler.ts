// One DomainSnapshot, from whatever state it is in, one step further: start it, pass on what its user wants of the hold,
// show what its agent reports, let it go. Knows a key only; stores and the API server hold everything else.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import type { DomainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import { isApiError } from "../kube/api-error.ts";
import type { ReconcileContext, ReconcileResult } from "../kube/controller.ts";
import type { EventRecorder } from "../kube/event-recorder.ts";
import type { Clock } from "../runtime/clock.ts";
import type { AgentPresence, Presence } from "./agent-presence.ts";
import type { ClusterView } from "./cluster-view.ts";
import { ContentLifecycle } from "./content-lifecycle.ts";
import { decideLatch, type Latch, requesterOf } from "./latch.ts";
import { agentLeaseName, contentName } from "./names.ts";
import { OrphanContents } from "./orphan-contents.ts";
import { isTerminal } from "./phases.ts";
import { projectStatus, type Verdict } from "./project-status.ts";
import { SnapshotDeletion } from "./snapshot-deletion.ts";
import { decideStart } from "./snapshot-start.ts";
import { StatusPublisher } from "./status-publisher.ts";
import { takeCharge } from "./take-charge.ts";

/** How often one looks again at what only a returning agent can move. */
const lostAgentCheckMilliseconds = 30_000;

export class SnapshotReconciler {
  readonly #view: ClusterView;
  readonly #presence: AgentPresence;
  readonly #clock: Clock;
  readonly #contents: ContentLifecycle;
  readonly #publisher: StatusPublisher;
  readonly #deletion: SnapshotDeletion;
  readonly #orphans: OrphanContents;
  /** Decisions that the Content has and the status has not yet: UID to latch. */
  readonly #latched = new Map<string, Latch>();

  constructor(options: {
    view: ClusterView;
    presence: AgentPresence;
    recorder: Pick<EventRecorder, "record">;
    clock: Clock;
  }) {
    const { view, presence, recorder, clock } = options;
    this.#view = view;
    this.#presence = presence;
    this.#clock = clock;
    this.#contents = new ContentLifecycle(view.contents);
    this.#publisher = new StatusPublisher({ kind: view.snapshots, recorder, clock });
    this.#deletion = new SnapshotDeletion({ snapshots: view.snapshots.client, contents: this.#contents, recorder });
    this.#orphans = new OrphanContents({ view, contents: this.#contents, presence });
  }

  async reconcile(key: string, context: ReconcileContext): Promise<ReconcileResult> {
    const snapshot = this.#view.snapshots.store.get(key);
    const content = snapshot && this.#view.contents.store.get(contentName(snapshot.metadata.uid ?? ""));
    const mine = snapshot === undefined ? {} : await this.#reconcileSnapshot(snapshot, content, context);
    const orphans = await this.#orphans.reconcile(key, snapshot, context);
    return earliest(mine, orphans);
  }

  /** The DomainSnapshot is gone: forget what was remembered of it. */
  forget(snapshot: DomainSnapshot): void {
    this.#latched.delete(snapshot.metadata.uid ?? "");
    this.#publisher.forget(snapshot);
  }

  async #reconcileSnapshot(
    snapshot: DomainSnapshot,
    content: DomainSnapshotContent | undefined,
    context: ReconcileContext,
  ): Promise<ReconcileResult> {
    const deleting = snapshot.metadata.deletionTimestamp !== undefined;
    if (deleting && content === undefined) return await this.#deletion.finish(snapshot, context);
    if (isTerminal(snapshot.status?.phase)) {
      if (deleting) return await this.#deletion.finish(snapshot, context);
      return await this.#settle(snapshot, content, context);
    }
    if (content === undefined) return await this.#start(snapshot, context);
    return await this.#carryOn(snapshot, content, context);
  }

  /** No Content yet: refuse, wait, or create it. The first status is written before anything else. */
  async #start(snapshot: DomainSnapshot, context: ReconcileContext): Promise<ReconcileResult> {
    const found = await this.#contents.find(snapshot.metadata.uid ?? "", context.signal);
    if (found !== undefined) return await this.#carryOn(snapshot, found, context);
    const decision = await decideStart(snapshot, this.#view, {
      presence: this.#presence,
      now: this.#clock.now(),
      signal: context.signal,
    });
    if (decision.kind !== "Start") {
      const latch = decideLatch({ snapshot, content: undefined, now: this.#clock.now() });
      const result = await this.#publish(snapshot, { verdict: decision, latch }, context);
      return earliest(result, { requeueAfterMilliseconds: decision.checkAfterMilliseconds });
    }
    const status = projectStatus({ snapshot, now: this.#clock.now() });
    const seen =
      snapshot.status === undefined ? await this.#publisher.publish(snapshot, status, context) : { snapshot };
    await this.#takeCharge(seen.snapshot, decision.spec.domain.uuid, context);
    try {
      const content = await this.#contents.create(decision.spec, context.signal);
      context.log.info({ content: content.metadata.name, node: content.spec.nodeName }, "handed to the agent");
      return {};
    } catch (error) {
      if (!isApiError(error, "Invalid")) throw error;
      const message = `the API server refused the plan, so operator and CRDs do not fit together: ${error.message}`;
      return await this.#publish(
        seen.snapshot,
        { verdict: { kind: "Refused", reason: "InternalError", message } },
        context,
      );
    }
  }

  /** A Content exists: pass the user's wish on first, since a guest may stand still for it; then show what is known. */
  async #carryOn(
    snapshot: DomainSnapshot,
    found: DomainSnapshotContent,
    context: ReconcileContext,
  ): Promise<ReconcileResult> {
    const uid = snapshot.metadata.uid ?? "";
    const decided = decideLatch({
      snapshot,
      content: found,
      remembered: this.#latched.get(uid),
      now: this.#clock.now(),
    });
    const content = await this.#passOn(snapshot, found, decided, context);
    const latch = await this.#remember(snapshot, decided, context);
    await this.#takeCharge(snapshot, content.spec.domain.uuid, context);

    const agent = this.#presence.of(agentLeaseName(content.spec.nodeName));
    if (snapshot.metadata.deletionTimestamp !== undefined) {
      const handled = await this.#deletion.advance(snapshot, content, agent, context);
      if (handled !== undefined) return handled;
    }
    const neverTaken = content.status?.phase === undefined && agent.state === "Lost";
    const verdict = neverTaken ? await this.#withdraw(content, latch, context) : undefined;
    const agentLost = agent.state === "Lost";
    const result = await this.#publish(snapshot, { content, latch, agentLost, verdict }, context);
    return isTerminal(content.status?.phase) ? result : earliest(result, { requeueAfterMilliseconds: nextLook(agent) });
  }

  /** What the user may still change, in one write. After the end there is nothing to pass on. */
  async #passOn(
    snapshot: DomainSnapshot,
    content: DomainSnapshotContent,
    latch: Latch,
    context: ReconcileContext,
  ): Promise<DomainSnapshotContent> {
    if (isTerminal(content.status?.phase)) return content;
    const { hold, deletionPolicy } = snapshot.spec;
    // A hold that the request does not name is the plan's.
    const wanted = { desired: latch.desired, deletionPolicy, ...(hold === undefined ? {} : { hold }) };
    return await this.#contents.update(content, wanted, context.signal);
  }

  /** Adds who asked, once the guest need not wait for it any more. It is for people: a failed read is no reason to stop. */
  async #remember(snapshot: DomainSnapshot, latch: Latch, context: ReconcileContext): Promise<Latch> {
    const uid = snapshot.metadata.uid ?? "";
    const { resumeRequestedAt, abortRequestedAt } = snapshot.status ?? {};
    const isWritten = resumeRequestedAt !== undefined || abortRequestedAt !== undefined;
    if (latch.desired === "Held" || isWritten || this.#latched.has(uid)) return latch;
    this.#latched.set(uid, latch);
    if (latch.resumeRequestedAt === undefined && latch.abortRequestedAt === undefined) return latch;
    const { name, namespace } = snapshot.metadata;
    const live = await this.#view.snapshots.client
      .get(name, namespace, { signal: context.signal })
      .catch(() => undefined);
    const requestedBy = live === undefined ? undefined : requesterOf(live, latch);
    const known = requestedBy === undefined ? latch : { ...latch, requestedBy };
    this.#latched.set(uid, known);
    context.log.info({ desired: known.desired, requestedBy }, "hold decided");
    return known;
  }

  /** No agent has taken the Content up, and none will: the guest was never touched. */
  async #withdraw(content: DomainSnapshotContent, latch: Latch, context: ReconcileContext): Promise<Verdict> {
    await this.#contents.withdraw(content, context.signal);
    if (latch.abortRequestedAt !== undefined) {
      return { kind: "Refused", reason: "Aborted", message: "aborted before it started; the guest was left alone" };
    }
    const message = `the agent of node ${content.spec.nodeName} went away before it began; the guest was left alone. Start it, then create a new DomainSnapshot`;
    return { kind: "Refused", reason: "AgentLost", message };
  }

  /** After the end: keep observedGeneration and the deletion policy true, and let a Content go that somebody deleted. */
  async #settle(
    snapshot: DomainSnapshot,
    content: DomainSnapshotContent | undefined,
    context: ReconcileContext,
  ): Promise<ReconcileResult> {
    this.#latched.delete(snapshot.metadata.uid ?? "");
    if (content !== undefined) {
      await this.#takeCharge(snapshot, content.spec.domain.uuid, context);
      if (content.metadata.deletionTimestamp === undefined) {
        const { deletionPolicy } = snapshot.spec;
        await this.#contents.update(content, { deletionPolicy }, context.signal);
      } else if (isTerminal(content.status?.phase)) {
        await this.#contents.release(content, context.signal);
      }
    }
    return await this.#publish(snapshot, {}, context);
  }

  /** A tool that replaces whole objects drops what we wrote on them: it is put back. */
  async #takeCharge(snapshot: DomainSnapshot, domainUuid: string, context: ReconcileContext): Promise<void> {
    if (snapshot.metadata.deletionTimestamp !== undefined) return;
    const { client, store } = this.#view.snapshots;
    const charged = await takeCharge(client, snapshot, { domainUuid, signal: context.signal });
    if (charged !== snapshot) store.put(charged);
  }

  async #publish(
    snapshot: DomainSnapshot,
    known: Omit<Parameters<typeof projectStatus>[0], "snapshot" | "now">,
    context: ReconcileContext,
  ): Promise<ReconcileResult> {
    const status = projectStatus({ snapshot, ...known, now: this.#clock.now() });
    const { waitMilliseconds } = await this.#publisher.publish(snapshot, status, context);
    return { requeueAfterMilliseconds: waitMilliseconds };
  }
}

function nextLook(agent: Presence): number {
  return agent.state === "Lost" ? lostAgentCheckMilliseconds : agent.checkAfterMilliseconds;
}

function earliest(...results: readonly ReconcileResult[]): ReconcileResult {
  const times = results.flatMap(({ requeueAfterMilliseconds: after }) => (after === undefined ? [] : [after]));
  return times.length === 0 ? {} : { requeueAfterMilliseconds: Math.min(...times) };
}
