// Guests of this node that `kubectl-dsnap local` held when it was killed: nobody else is left to let them run.

import { dirname } from "node:path";
import type { Clock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import type { Logger } from "../runtime/log.ts";
import { isDomainLocked } from "../snapshot/domain-lock.ts";
import { type Interrupted, interruptedElsewhere, settleJournal } from "../snapshot/interrupted.ts";
import { recoverSnapshot } from "../snapshot/recover.ts";
import { ContentControl } from "./content-control.ts";
import type { DomainPublisher } from "./domain-publisher.ts";

const lookEveryMilliseconds = 5000;

export interface LeftBehindOptions {
  readonly lockDirectory: string;
  /** Journals in here belong to Contents. */
  readonly ownDirectory: string;
  readonly domains: () => readonly DomainPublisher[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Looks every 5 s, until the signal aborts, and rolls back what a process that died left of guests that are ours. */
export async function releaseLeftBehind(options: LeftBehindOptions): Promise<void> {
  const { lockDirectory, ownDirectory, domains, clock, signal } = options;
  while (!signal.aborted) {
    for (const interrupted of await interruptedElsewhere(lockDirectory, ownDirectory)) {
      // By UUID: its process may have had a monitor socket of its own.
      const uuid = interrupted.known?.prepared?.uuid;
      const domain = domains().find((candidate) => candidate.uuid === uuid);
      if (uuid === undefined || domain === undefined || (await isDomainLocked(lockDirectory, uuid))) continue;
      await release(interrupted, domain, options);
    }
    await clock.sleep(lookEveryMilliseconds, signal).catch(() => undefined);
  }
}

async function release(
  { uid, journal, known }: Interrupted,
  domain: DomainPublisher,
  { lockDirectory, clock, log, signal }: LeftBehindOptions,
): Promise<void> {
  if (known === undefined) return;
  // Nobody is left to say that the storage was cut.
  const control = new ContentControl({ desired: "Aborted", hold: known.bound });
  const directory = dirname(journal);
  using lent = await domain.lend(`${known.job.namespace}/${known.job.name}`);
  try {
    const report = await recoverSnapshot(uid, {
      control,
      lockDirectory,
      clock,
      log,
      signal,
      journalDirectory: directory,
      onReport: (seen) => domain.snapshotReported(seen),
      ...(lent.guest !== undefined && { guest: lent.guest }),
    });
    log.warn({ journal, error: report?.error }, "a snapshot whose process had ended was taken back");
    await settleJournal({ directory, uid });
  } catch (error) {
    // Somebody else was quicker.
    if (Failure.from(error).reason !== "DomainBusy") log.error({ err: error, journal }, "cannot recover");
  }
}
