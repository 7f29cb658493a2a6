// `abort --all`: no guest may stand still when operator and agents go away, as before an uninstall.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { systemClock as clock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import type { Cluster } from "./connect.ts";
import { exitCodes } from "./exit-codes.ts";
import { explainFailure } from "./explain-error.ts";
import { fieldManager } from "./field-manager.ts";
import { followSnapshot } from "./follow-snapshot.ts";
import type { Terminal } from "./terminal.ts";

export interface AbortAllOptions {
  readonly cluster: Cluster;
  readonly terminal: Terminal;
  readonly allNamespaces: boolean;
  /** Only snapshots of this domain. */
  readonly domain?: string | undefined;
  readonly dryRun: boolean;
  readonly timeoutMilliseconds: number;
}

/** Aborts every DomainSnapshot under way and waits for its end; exit 0 only if every one has ended. */
export async function abortAll(options: AbortAllOptions): Promise<number> {
  const { cluster, terminal, allNamespaces, domain, dryRun } = options;
  const found = await cluster.snapshots.list(allNamespaces ? {} : { namespace: cluster.namespace });
  const underWay = found.filter(
    (snapshot) => !hasEnded(snapshot) && (domain === undefined || snapshot.spec.domainRef.name === domain),
  );
  if (underWay.length === 0) {
    terminal.error("no DomainSnapshot is under way");
    return exitCodes.completed;
  }
  if (dryRun) {
    for (const snapshot of underWay) terminal.out(`${nameOf(snapshot)}: ${phaseOf(snapshot)}, would be aborted`);
    return exitCodes.completed;
  }
  // All at once: each of them may be a guest that stands still.
  const ended = await Promise.all(underWay.map(async (snapshot) => await abortOne(snapshot, options)));
  return ended.every(Boolean) ? exitCodes.completed : exitCodes.failed;
}

async function abortOne(snapshot: DomainSnapshot, options: AbortAllOptions): Promise<boolean> {
  const { terminal, timeoutMilliseconds } = options;
  const { name, namespace = "default", uid } = snapshot.metadata;
  const cluster = { ...options.cluster, namespace };
  try {
    const { resume, abort } = snapshot.spec;
    // One that was released runs to its end; the first word counts.
    if (resume !== true && abort !== true && snapshot.status?.resumeRequestedAt === undefined) {
      await cluster.snapshots.mergePatch(
        name,
        namespace,
        { metadata: { uid }, spec: { abort: true } },
        { fieldManager },
      );
    }
    const last = await followSnapshot({
      cluster,
      first: snapshot,
      look: (seen) => (hasEnded(seen) ? seen : undefined),
      timeoutMilliseconds,
      clock,
    });
    const { phase, error } = last.status ?? {};
    const wanted = phase === "Completed" || error?.reason === "Aborted";
    terminal.out(`${nameOf(snapshot)}: ${phase}${wanted ? "" : `; ${explainFailure(error)}`}`);
    return true;
  } catch (error) {
    const { reason, message } = Failure.from(error);
    // Deleted meanwhile: its deletion waited for its end.
    if (reason === "NotFound") {
      terminal.out(`${nameOf(snapshot)}: deleted`);
      return true;
    }
    terminal.error(`${nameOf(snapshot)}: ${message}`);
    return false;
  }
}

const hasEnded = ({ status }: DomainSnapshot) => status?.phase === "Completed" || status?.phase === "Failed";
const phaseOf = ({ status }: DomainSnapshot) => status?.phase ?? "Pending";
const nameOf = ({ metadata }: DomainSnapshot) => `${metadata.namespace}/${metadata.name}`;
