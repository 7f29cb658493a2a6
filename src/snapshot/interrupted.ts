// Snapshots whose process ended before they did: found by their guest, whoever began them on this node.

import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { closeJournal, journaledUids, journalPath, readJournal } from "./journal.ts";
import { type Recollection, recollect } from "./recollection.ts";

const noteExtension = ".journal";

/** Where the locks lie, each guest has a note of the journal that spoke of it last. */
function notePath(lockDirectory: string, uuid: string): string {
  return join(lockDirectory, `${uuid}${noteExtension}`);
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

/** A snapshot that another process began. */
export interface Interrupted {
  readonly uid: string;
  readonly journal: string;
  /** Missing if the journal cannot be read, or its first line is torn. */
  readonly known: Recollection | undefined;
}

/** Every snapshot with a journal in the directory, ended or not. */
export async function interruptedSnapshots(journalDirectory: string): Promise<Interrupted[]> {
  const uids = await journaledUids(journalDirectory);
  return await Promise.all(uids.map(async (uid) => await interrupted(journalPath(journalDirectory, uid))));
}

/** Unfinished snapshots of any directory, as those who began them noted beside their locks. */
export async function interruptedElsewhere(lockDirectory: string, ownDirectory: string): Promise<Interrupted[]> {
  const names = await readdir(lockDirectory).catch(() => []);
  const found: Interrupted[] = [];
  for (const name of names.filter((candidate) => candidate.endsWith(noteExtension))) {
    const journal = await interruptedJournal(lockDirectory, name.slice(0, -noteExtension.length));
    if (journal !== undefined && dirname(journal) !== ownDirectory) found.push(await interrupted(journal));
  }
  return found;
}

async function interrupted(journal: string): Promise<Interrupted> {
  const uid = basename(journal, extname(journal));
  return { uid, journal, known: await readJournal(journal).then(recollect, () => undefined) };
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
