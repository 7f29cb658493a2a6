// The operator as one piece: caches that are always warm, and controllers that run while this process leads.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { runController } from "../kube/controller.ts";
import type { EventRecorder } from "../kube/event-recorder.ts";
import type { KubeApi } from "../kube/kube-client.ts";
import { type KubeObject, objectKey } from "../kube/kube-object.ts";
import { Reflector } from "../kube/reflector.ts";
import { WorkQueue } from "../kube/work-queue.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { AgentPresence } from "./agent-presence.ts";
import { type ClusterView, createClusterView, type Kind } from "./cluster-view.ts";
import { DomainReconciler } from "./domain-reconciler.ts";
import { agentLeaseName, snapshotKeyOf } from "./names.ts";
import { isTerminal } from "./phases.ts";
import { SnapshotReconciler } from "./snapshot-reconciler.ts";

export interface OperatorOptions {
  readonly api: KubeApi;
  /** Where the agents' Leases live. */
  readonly namespace: string;
  readonly recorder: Pick<EventRecorder, "record">;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** How long a missing agent Lease may still turn up. Default 15 s. */
  readonly agentGraceMilliseconds?: number | undefined;
}

const workers = 8;
const leasePrefix = agentLeaseName("");

export class Operator {
  readonly #options: OperatorOptions;
  readonly #view: ClusterView;
  readonly #presence: AgentPresence;
  /** Told when an agent comes or goes. */
  #onPresence: () => void = () => undefined;

  constructor(options: OperatorOptions) {
    this.#options = options;
    this.#view = createClusterView(options.api);
    this.#presence = new AgentPresence({ clock: options.clock, graceMilliseconds: options.agentGraceMilliseconds });
    this.#view.leases.store.subscribe(({ type, object }) => {
      const { name } = object.metadata;
      if (!name.startsWith(leasePrefix)) return;
      const before = this.#presence.of(name).state;
      if (type === "Deleted") this.#presence.forget(name);
      else this.#presence.observe(object);
      if (this.#presence.of(name).state !== before) this.#onPresence();
    });
  }

  /** Keeps the caches true until the signal aborts: also while another process leads, so that taking over is quick. */
  async follow(signal: AbortSignal): Promise<void> {
    const { snapshots, contents, domains, leases } = this.#view;
    await Promise.all([
      this.#reflect(snapshots, signal),
      this.#reflect(contents, signal),
      this.#reflect(domains, signal),
      this.#reflect(leases, signal, this.#options.namespace),
    ]);
  }

  /** Reconciles until the signal aborts, then waits for what is under way. Waits for the caches first. */
  async lead(signal: AbortSignal): Promise<void> {
    const { clock, random, log, recorder } = this.#options;
    const { snapshots, contents, domains, leases } = this.#view;
    const view = this.#view;
    const presence = this.#presence;
    await untilAborted(Promise.all([snapshots, contents, domains, leases].map(({ store }) => store.synced)), signal);
    if (signal.aborted) return;

    const snapshotReconciler = new SnapshotReconciler({ view, presence, recorder, clock });
    const domainReconciler = new DomainReconciler({ kind: domains, presence, clock });
    const snapshotQueue = new WorkQueue({ clock, random });
    const domainQueue = new WorkQueue({ clock, random });
    const wakeDomainMates = (ended: DomainSnapshot) => {
      for (const other of snapshots.store.list()) if (sharesDomain(other, ended)) snapshotQueue.add(objectKey(other));
    };
    const subscriptions = [
      snapshots.store.subscribe(({ type, key, object }) => {
        snapshotQueue.add(key);
        if (type === "Deleted") snapshotReconciler.forget(object);
        if (type === "Deleted" || isTerminal(object.status?.phase)) wakeDomainMates(object);
      }),
      contents.store.subscribe(({ type, object }) => {
        snapshotQueue.add(snapshotKeyOf(object));
        if (type !== "Deleted" && !isTerminal(object.status?.phase)) return;
        const owner = snapshots.store.get(snapshotKeyOf(object));
        if (owner !== undefined) wakeDomainMates(owner);
        else this.#wakePending(snapshotQueue);
      }),
      domains.store.subscribe(({ key }) => domainQueue.add(key)),
    ];
    this.#onPresence = () => {
      this.#wakePending(snapshotQueue);
      for (const domain of domains.store.list()) domainQueue.add(objectKey(domain));
    };
    log.info({ snapshots: snapshots.store.size, domains: domains.store.size }, "reconciling");
    try {
      const shared = { log, clock, signal, reconcileTimeoutMilliseconds: 30_000 };
      await Promise.all([
        runController({
          ...shared,
          name: "snapshots",
          queue: snapshotQueue,
          workers,
          reconcile: (key, context) => snapshotReconciler.reconcile(key, context),
        }),
        runController({
          ...shared,
          name: "domains",
          queue: domainQueue,
          workers: 1,
          reconcile: (key, context) => domainReconciler.reconcile(key, context),
        }),
      ]);
    } finally {
      for (const unsubscribe of subscriptions) unsubscribe();
      this.#onPresence = () => undefined;
    }
  }

  #wakePending(queue: WorkQueue): void {
    for (const snapshot of this.#view.snapshots.store.list()) {
      if (!isTerminal(snapshot.status?.phase)) queue.add(objectKey(snapshot));
    }
  }

  async #reflect<T extends KubeObject>(kind: Kind<T>, signal: AbortSignal, namespace?: string): Promise<void> {
    const { clock, random, log } = this.#options;
    await new Reflector<T>({ ...kind, namespace, clock, random, log }).run(signal);
  }
}

/** Another unfinished one of the same domain, which may have waited for this one. */
function sharesDomain(other: DomainSnapshot, ended: DomainSnapshot): boolean {
  return (
    other.metadata.uid !== ended.metadata.uid &&
    other.metadata.namespace === ended.metadata.namespace &&
    other.spec.domainRef.name === ended.spec.domainRef.name &&
    !isTerminal(other.status?.phase)
  );
}

async function untilAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const onAbort = () => resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) resolve();
  await Promise.race([work, promise]);
  signal.removeEventListener("abort", onAbort);
}
