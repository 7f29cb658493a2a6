// `abort --all`: no guest may stand still when operator and agents go away, as before an uninstall.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import type { Clock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import type { Cluster } from "./connect.ts";
import { exitCodes } from "./exit-codes.ts";
import { explainError, explainFailure } from "./explain-error.ts";
import { fieldManager } from "./field-manager.ts";
import { followSnapshot } from "./follow-snapshot.ts";
import { guestInDoubt } from "./guest-in-doubt.ts";
import type { Terminal } from "./terminal.ts";

export interface AbortAllOptions {
  readonly cluster: Cluster;
  readonly terminal: Terminal;
  readonly allNamespaces: boolean;
  /** Only snapshots of this domain. */
  readonly domain?: string | undefined;
  readonly dryRun: boolean;
  readonly timeoutMilliseconds: number;
  readonly clock: Clock;
}

/**
 * Aborts every DomainSnapshot under way, waits for its end, and tells each in one line. Resolves with exit code 0 only if
 * every one has ended and no guest is left of which nobody knows whether it runs.
 */
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
    for (const snapshot of underWay) {
      const plan = isDecided(snapshot) ? `${decision(snapshot)} already, would be waited for` : "would be aborted";
      terminal.out(`${nameOf(snapshot)}: ${phaseOf(snapshot)}, ${plan}`);
    }
    return exitCodes.completed;
  }
  // All at once: each of them may be a guest that stands still.
  const released = await Promise.all(underWay.map(async (snapshot) => await abortOne(snapshot, options)));
  return released.every(Boolean) ? exitCodes.completed : exitCodes.failed;
}

/** Resolves with whether it has ended and its guest is released. Never rejects: the others go on. */
async function abortOne(snapshot: DomainSnapshot, options: AbortAllOptions): Promise<boolean> {
  const { terminal, timeoutMilliseconds, clock } = options;
  const cluster = { ...options.cluster, namespace: snapshot.metadata.namespace ?? options.cluster.namespace };
  const name = nameOf(snapshot);
  let last = snapshot;
  try {
    await requestAbort(snapshot, cluster);
    await followSnapshot({
      cluster,
      first: snapshot,
      look: (seen) => {
        last = seen;
        return hasEnded(seen) ? seen : undefined;
      },
      timeoutMilliseconds,
      clock,
    });
  } catch (error) {
    if (Failure.from(error).reason !== "NotFound") {
      terminal.error(`${name}: ${explainError(error).line}`);
      return false;
    }
    // A deletion waits for the end, and shows it; without that, somebody forwent the agent's word.
    return tell(terminal, last, `${name}: deleted`);
  }
  const { phase, error } = last.status ?? {};
  const wanted = phase === "Completed" || error?.reason === "Aborted";
  return tell(terminal, last, `${name}: ${phase}${wanted ? "" : `; ${explainFailure(error)}`}`);
}

function tell(terminal: Terminal, last: DomainSnapshot, end: string): boolean {
  if (!guestInDoubt(last.status)) {
    terminal.out(end);
    return true;
  }
  const { domainRef } = last.spec;
  const where = last.status?.nodeName === undefined ? "" : ` on node ${last.status.nodeName}`;
  terminal.error(`${end}; nobody knows whether the guest ${domainRef.name}${where} runs again: look at it`);
  return false;
}

/** The first word counts: one that was released runs to its end. */
async function requestAbort(snapshot: DomainSnapshot, cluster: Cluster): Promise<void> {
  if (isDecided(snapshot)) return;
  const { name, uid } = snapshot.metadata;
  try {
    // With the uid, a namesake created meanwhile is not touched.
    const patch = { metadata: { uid }, spec: { abort: true } };
    await cluster.snapshots.mergePatch(name, cluster.namespace, patch, { fieldManager });
  } catch (error) {
    const newer = await cluster.snapshots.get(name, cluster.namespace);
    // Resumed, ended or deleted since it was listed: then there is nothing more to ask of it.
    if (newer === undefined || newer.metadata.uid !== uid || isDecided(newer) || hasEnded(newer)) return;
    throw error;
  }
}

function isDecided(snapshot: DomainSnapshot): boolean {
  return decision(snapshot) !== undefined;
}

function decision({ spec, status }: DomainSnapshot): "aborted" | "resumed" | undefined {
  if (spec.abort === true || status?.abortRequestedAt !== undefined) return "aborted";
  if (spec.resume === true || status?.resumeRequestedAt !== undefined) return "resumed";
  return undefined;
}

const hasEnded = ({ status }: DomainSnapshot) => status?.phase === "Completed" || status?.phase === "Failed";
const phaseOf = ({ status }: DomainSnapshot) => status?.phase ?? "Pending";
const nameOf = ({ metadata }: DomainSnapshot) => `${metadata.namespace}/${metadata.name}`;
