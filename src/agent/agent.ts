// The node agent: publishes the guests of its node, carries out their snapshots, and proves that it is there.

import { type Domain, domain as domainSchema } from "../api/v1alpha1/domain.ts";
import { type DomainSnapshotContent, domainSnapshotContent } from "../api/v1alpha1/domain-snapshot-content.ts";
import { domainSnapshotContents, domains as domainsResource } from "../api/v1alpha1/group.ts";
import { stopInOrder } from "../kube/graceful-stop.ts";
import type { KubeClient } from "../kube/kube-client.ts";
import { NodeLease } from "../kube/node-lease.ts";
import { Reflector } from "../kube/reflector.ts";
import { Store } from "../kube/store.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { AgentConfiguration, DomainConfiguration } from "./configuration.ts";
import { ContentReconciler } from "./content-reconciler.ts";
import { EngineContentWorker } from "./content-worker.ts";
import { discover } from "./discovery.ts";
import { DomainPublisher } from "./domain-publisher.ts";
import { interruptedContents } from "./interrupted-contents.ts";
import { releaseLeftBehind } from "./left-behind.ts";
import { claimStateDirectory } from "./state-directory.ts";

export interface AgentOptions {
  readonly configuration: AgentConfiguration;
  readonly nodeName: string;
  readonly systemNamespace: string;
  /** Where the per-guest locks lie, shared with `kubectl-dsnap local`. */
  readonly lockDirectory: string;
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
  /** Asks the agent to leave; it leaves holds to its successor (releaseOnShutdown: ends them first). */
  readonly signal: AbortSignal;
}

/** Long enough to hand holds over, or to take back what was not held yet, and to write the last status. */
const leaveMilliseconds = 25_000;

/** Runs until the signal aborts and everything is in order. Throws if another agent has the state directory. */
export async function runAgent(options: AgentOptions): Promise<void> {
  const { configuration, nodeName, systemNamespace, client, clock, random, log, signal } = options;
  await using state = await claimStateDirectory(configuration.stateDirectory);
  /** Ends the watches, the monitors and the writers; after the snapshots have ended. */
  const leaving = new AbortController();
  const fieldSelector = `spec.nodeName=${nodeName}`;
  const runtime = { clock, random, log, signal: leaving.signal };

  const contents = new Store<DomainSnapshotContent>();
  const contentClient = client.resource(domainSnapshotContents, (raw) => domainSnapshotContent.parse(raw));
  const domains = new Store<Domain>();
  const domainClient = client.resource(domainsResource, (raw) => domainSchema.parse(raw));
  const lease = new NodeLease({
    ...runtime,
    client,
    namespace: systemNamespace,
    name: leaseName(nodeName),
    identity: nodeName,
  });
  const running: Promise<void>[] = [
    new Reflector({ ...runtime, client: contentClient, store: contents, fieldSelector }).run(leaving.signal),
    new Reflector({ ...runtime, client: domainClient, store: domains, fieldSelector }).run(leaving.signal),
    lease.run(leaving.signal),
  ];

  const publishers = new Map<string, DomainPublisher>();
  const publish = (found: DomainConfiguration) => {
    const key = `${found.namespace}/${found.name}`;
    if (publishers.has(key))
      return log.warn({ domain: key, socket: found.socket }, "a second guest of this name is ignored");
    const { maximumHoldSeconds } = configuration;
    const publisher = new DomainPublisher({
      ...runtime,
      configuration: found,
      nodeName,
      stateDirectory: state.path,
      maximumHoldSeconds,
      client: domainClient,
      store: domains,
    });
    publishers.set(key, publisher);
    running.push(publisher.run());
  };
  for (const listed of configuration.domains) publish(listed);
  // A Content must not be refused as DomainNotFound because its guest was not looked for yet.
  const scanned = configuration.discover.map((discovery) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    running.push(discover({ discovery, onDomain: publish, onScanned: resolve, clock, log, signal: leaving.signal }));
    return promise;
  });
  await Promise.all(scanned);

  const worker = new EngineContentWorker({
    ...runtime,
    client: contentClient,
    store: contents,
    journalDirectory: state.journalDirectory,
    lockDirectory: options.lockDirectory,
    leaving: signal,
    onLeave: configuration.releaseOnShutdown ? "Abort" : "KeepHold",
  });
  const reconciler = new ContentReconciler({ store: contents, domain: (key) => publishers.get(key), worker, log });
  reconciler.start(await interruptedContents(state.journalDirectory));
  running.push(
    releaseLeftBehind({
      ...runtime,
      lockDirectory: options.lockDirectory,
      ownDirectory: state.journalDirectory,
      domains: () => [...publishers.values()],
    }),
  );
  log.info({ node: nodeName, domains: publishers.size, stateDirectory: state.path }, "agent started");

  await aborted(signal);
  await stopInOrder({
    log,
    clock,
    steps: [{ name: "end snapshots", milliseconds: leaveMilliseconds, run: () => reconciler.stop() }],
  });
  leaving.abort(new Error("the agent leaves"));
  await Promise.all(running);
  log.info({ node: nodeName }, "agent stopped");
}

/** The Lease by which the operator knows that the agent of a node is there. */
export function leaseName(nodeName: string): string {
  return `dsnap-agent-${nodeName}`;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
