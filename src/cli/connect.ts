// The cluster as a command sees it: flags in, a client of DomainSnapshots out.

import type { Command } from "commander";
import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { domainSnapshots } from "../api/v1alpha1/group.ts";
import type { ResourceClient } from "../kube/resource-client.ts";
import { systemClock as clock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import { createLogger, type Logger } from "../runtime/log.ts";
import { explainError } from "./explain-error.ts";
import type { Terminal } from "./terminal.ts";

/** The flags that every cluster command takes. */
export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
}

/** What a command works with. */
export interface Cluster {
  readonly snapshots: ResourceClient<DomainSnapshot>;
  readonly namespace: string;
  readonly log: Logger;
}

/** Adds the flags that name cluster and namespace. */
export function withClusterFlags(command: Command): Command {
  return command
    .option("--kubeconfig <path>", "kubeconfig (default: KUBECONFIG, then ~/.kube/config)")
    .option("--context <name>", "context of the kubeconfig")
    .option("-n, --namespace <name>", "namespace (default: the context's)");
}

/** Connects, runs the command's work, tells its exit code, and turns what it throws into one line. */
export async function runOnCluster(
  flags: ClusterFlags,
  terminal: Terminal,
  work: (cluster: Cluster) => Promise<number>,
): Promise<void> {
  try {
    // Loaded here, since --help needs none of it.
    const { kubeConfig } = await import("../kube/kube-config.ts");
    const { KubeClient } = await import("../kube/kube-client.ts");
    const config = await kubeConfig({
      ...(flags.kubeconfig !== undefined && { path: flags.kubeconfig }),
      ...(flags.context !== undefined && { context: flags.context }),
    });
    const log = createLogger({ level: process.env["DSNAP_LOG_LEVEL"] ?? "silent" });
    await using client = new KubeClient({ config, log, clock, userAgent: "kubectl-dsnap" });
    terminal.exitCode(
      await work({
        snapshots: client.resource<DomainSnapshot>(domainSnapshots),
        namespace: flags.namespace ?? config.namespace ?? "default",
        log,
      }),
    );
  } catch (error) {
    const { line, code } = explainError(error);
    terminal.error(`kubectl-dsnap: ${line}`);
    terminal.exitCode(code);
  }
}

/** The snapshot; throws a Failure `NotFound` that says how to find it. */
export async function requireSnapshot(cluster: Cluster, name: string): Promise<DomainSnapshot> {
  const snapshot = await cluster.snapshots.get(name, cluster.namespace);
  if (snapshot !== undefined) return snapshot;
  const hint = `kubectl dsnap list -n ${cluster.namespace} shows those there are`;
  throw new Failure("NotFound", `no DomainSnapshot ${name} in namespace ${cluster.namespace}; ${hint}`);
}
