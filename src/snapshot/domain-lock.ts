// One snapshot per guest on this node, whoever takes it: agent and lone command share one directory of locks.

import { join } from "node:path";
import { Failure } from "../runtime/failure.ts";
import { SocketLock } from "../runtime/socket-lock.ts";
import { interruptedJournal, noteJournal } from "./interrupted.ts";

/**
 * Held until disposed of; a holder that died is taken over. Throws Failure DomainBusy that names the holder, or the
 * journal (other than ours) of a snapshot that was interrupted and has to be recovered first.
 */
export async function lockDomain(options: {
  directory: string;
  uuid: string;
  purpose: string;
  /** Path of our own journal, existing or not. */
  journal: string;
}): Promise<AsyncDisposable> {
  const { directory, uuid, purpose, journal } = options;
  const lock = await SocketLock.acquire({
    path: lockPath(directory, uuid),
    purpose,
    busy: (holder) =>
      new Failure("DomainBusy", `another snapshot of this guest is running on this node: ${holder}`, {
        retryable: true,
      }),
  });
  const other = await interruptedJournal(directory, uuid);
  if (other === undefined || other === journal) {
    await noteJournal(directory, uuid, journal);
    return lock;
  }
  await lock[Symbol.asyncDispose]();
  throw new Failure(
    "DomainBusy",
    `a snapshot of this guest was interrupted and has to be recovered first: restart the agent, or run kubectl-dsnap local --recover (journal ${other})`,
  );
}

/** Whether a snapshot of the guest is being taken by a process that lives. */
export async function isDomainLocked(directory: string, uuid: string): Promise<boolean> {
  return (await SocketLock.holder(lockPath(directory, uuid))) !== undefined;
}

function lockPath(directory: string, uuid: string): string {
  return join(directory, `${uuid}.lock`);
}
