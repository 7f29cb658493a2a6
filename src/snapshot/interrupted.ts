// Snapshots whose process ended before they did: found by their guest, whoever began them on this node.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { closeJournal, journalPath, readJournal } from "./journal.ts";
import { recollect } from "./recollection.ts";

/** Where the locks lie, each guest has a note of the journal that spoke of it last. */
function notePath(lockDirectory: string, uuid: string): string {
  return join(lockDirectory, `${uuid}.journal`);
}

/** Leaves word of a journal for whoever comes next; call it with the guest's lock in hand. */
export async function noteJournal(lockDirectory: string, uuid: string, journal: string): Promise<void> {
  await writeFile(notePath(lockDirectory, uuid), journal, { mode: 0o600 });
}

/** Path of the guest's journal if its snapshot has not ended, or left something to take back; else undefined. */
export async function interruptedJournal(lockDirectory: string, uuid: string): Promise<string | undefined> {
  const path = await readFile(notePath(lockDirectory, uuid), "utf8").catch(() => undefined);
  return path !== undefined && (await isUnfinished(path)) ? path : undefined;
}

/**
 * Closes the journal of a snapshot whose outcome has reached whoever asked for it. One that left something to take back
 * stays: `recoverSnapshot` tries again. Resolves with true if it is closed.
 */
export async function settleJournal(options: { directory: string; uid: string }): Promise<boolean> {
  if (await isUnfinished(journalPath(options.directory, options.uid))) return false;
  await closeJournal(options);
  return true;
}

/** A journal that is damaged counts: a person has to look at it. */
async function isUnfinished(path: string): Promise<boolean> {
  try {
    const known = recollect(await readJournal(path));
    if (known?.prepared === undefined) return false;
    return known.ending === undefined || known.ending.left.length > 0;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ENOENT");
  }
}
