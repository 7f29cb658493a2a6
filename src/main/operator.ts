#!/usr/bin/env node
// The operator's process: flags, credentials, leadership, a stop in order. Wiring only.

import { hostname } from "node:os";
import { parseArgs } from "node:util";
import type { ClusterConfig } from "../kube/cluster-config.ts";
import { EventRecorder } from "../kube/event-recorder.ts";
import { stopInOrder, stopOnSignals } from "../kube/graceful-stop.ts";
import { inClusterConfig, tokenConfig } from "../kube/in-cluster-config.ts";
import { KubeClient } from "../kube/kube-client.ts";
import { kubeConfig } from "../kube/kube-config.ts";
import { LeaderElector } from "../kube/leader-elector.ts";
import { defaultNamespace } from "../operator/names.ts";
import { Operator } from "../operator/operator.ts";
import { systemClock as clock } from "../runtime/clock.ts";
import { createLogger } from "../runtime/log.ts";

const { values: flags } = parseArgs({
  options: {
    kubeconfig: { type: "string" },
    server: { type: "string" },
    "ca-file": { type: "string" },
    "token-file": { type: "string" },
    namespace: { type: "string" },
    identity: { type: "string" },
    "leader-elect": { type: "boolean", default: true },
    "log-level": { type: "string", default: "info" },
  },
  allowNegative: true,
});

const log = createLogger({ level: flags["log-level"] });
const random = Math.random;
const identity = flags.identity ?? `${hostname()}_${process.pid}`;

async function clusterConfig(): Promise<ClusterConfig> {
  const { server, kubeconfig, "ca-file": caFile, "token-file": tokenFile } = flags;
  if (kubeconfig !== undefined) return await kubeConfig({ path: kubeconfig });
  if (server === undefined || tokenFile === undefined) return inClusterConfig();
  return tokenConfig({ server, tokenFile, ...(caFile !== undefined && { caFile }) });
}

async function main(): Promise<void> {
  const config = await clusterConfig();
  const namespace = flags.namespace ?? defaultNamespace;
  const client = new KubeClient({ config, log, clock, userAgent: "domain-snapshot-operator" });
  const recorder = new EventRecorder({
    client,
    component: "domainsnapshot.io/operator",
    instance: identity,
    clock,
    log,
  });
  const operator = new Operator({ api: client, namespace, recorder, clock, random, log });

  using stop = stopOnSignals({ log });
  const caches = new AbortController();
  const following = operator.follow(caches.signal);
  try {
    if (flags["leader-elect"]) {
      const elector = new LeaderElector({
        client,
        namespace,
        name: "domain-snapshot-operator",
        identity,
        clock,
        random,
        log,
      });
      await elector.run({ signal: stop.signal, onStarted: (signal) => operator.lead(signal) });
    } else {
      await operator.lead(stop.signal);
    }
  } finally {
    caches.abort();
    await stopInOrder({
      log,
      clock,
      steps: [
        { name: "caches", milliseconds: 2_000, run: () => following },
        { name: "events", milliseconds: 3_000, run: () => recorder.flush() },
        { name: "connections", milliseconds: 2_000, run: () => client.close() },
      ],
    });
  }
}

try {
  await main();
} catch (error) {
  log.fatal({ err: error }, "the operator ends");
  process.exitCode = 1;
}
