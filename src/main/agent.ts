// The agent's process: flags, configuration and wiring. client-node is loaded only for --kubeconfig.

import { hostname } from "node:os";
import { parseArgs } from "node:util";
import { runAgent } from "../agent/agent.ts";
import { readConfiguration } from "../agent/configuration.ts";
import type { ClusterConfig } from "../kube/cluster-config.ts";
import { stopOnSignals } from "../kube/graceful-stop.ts";
import { inClusterConfig, tokenConfig } from "../kube/in-cluster-config.ts";
import { KubeClient } from "../kube/kube-client.ts";
import { systemClock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import { createLogger } from "../runtime/log.ts";

const usage = `domain-snapshot agent: one on each node that runs guests

  --config PATH           configuration (default /etc/domain-snapshot/agent.yaml)
  --node-name NAME        this node (default: nodeName in the configuration, NODE_NAME, the host name)
  --namespace NAME        namespace of the system, for the Lease (default domain-snapshot-system)
  --lock-directory PATH   locks shared with kubectl-dsnap local (default /run/domain-snapshot/locks)
  --log-level LEVEL       debug, info, warn, error (default info)
 the API server; in a pod none of these is needed:
  --kubeconfig PATH
  --server URL --ca-file PATH --token-file PATH`;

const { values: flags } = parseArgs({
  options: {
    config: { type: "string", default: "/etc/domain-snapshot/agent.yaml" },
    "node-name": { type: "string" },
    namespace: { type: "string" },
    "lock-directory": { type: "string", default: "/run/domain-snapshot/locks" },
    "log-level": { type: "string", default: "info" },
    kubeconfig: { type: "string" },
    server: { type: "string" },
    "ca-file": { type: "string" },
    "token-file": { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (flags.help) {
  process.stdout.write(`${usage}\n`);
  process.exit(0);
}

async function clusterConfig(): Promise<ClusterConfig> {
  const { kubeconfig, server, "ca-file": caFile, "token-file": tokenFile } = flags;
  if (kubeconfig !== undefined) {
    const { kubeConfig } = await import("../kube/kube-config.ts");
    return await kubeConfig({ path: kubeconfig });
  }
  if (server === undefined) return inClusterConfig();
  if (tokenFile === undefined) throw new Failure("InvalidConfiguration", "--server needs --token-file");
  return tokenConfig({ server, tokenFile, ...(caFile !== undefined && { caFile }) });
}

const log = createLogger({ level: flags["log-level"] });
using stop = stopOnSignals({ log });
try {
  const configuration = await readConfiguration(flags.config);
  const config = await clusterConfig();
  await using client = new KubeClient({ config, log, clock: systemClock, userAgent: "domain-snapshot-agent" });
  await runAgent({
    configuration,
    nodeName: flags["node-name"] ?? configuration.nodeName ?? process.env["NODE_NAME"] ?? hostname(),
    systemNamespace: flags.namespace ?? configuration.systemNamespace ?? "domain-snapshot-system",
    lockDirectory: flags["lock-directory"],
    client,
    clock: systemClock,
    random: Math.random,
    log,
    signal: stop.signal,
  });
} catch (error) {
  log.fatal({ reason: Failure.from(error).reason }, Failure.from(error).message);
  process.exitCode = 1;
}
