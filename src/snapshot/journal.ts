// The engine's memory across its own death: one JSON line per intent and per result, on disk before the deed.

import { constants } from "node:fs";
import { mkdir, open, readdir, readFile, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, microTime } from "../runtime/clock.ts";
import { errorCode, fileFailure } from "./file-failure.ts";

const extension = ".jsonl";

/** Version of the journal's layout; an agent of another one leaves such a snapshot to a person. */
export const journalVersion = 1;

export type JournalEvent =
  /** The job, the boot of the host, the time; nothing was done yet. */
  | "begin"
  /** A step is about to run; with facts that a later agent needs to take it up. */
  | "intent"
  /** A step has run; with what it found out, and the report so far. */
  | "result"
  /** A file of our own making, before its name can be seen. */
  | "file"
  /** The bound of the hold was changed. */
  | "bound"
  /** The snapshot has failed; from here on it is rolled back. */
  | "fail"
  | "undo"
  | "undone"
  /** The outcome, before anybody was told. */
  | "end";

export interface JournalEntry {
  readonly at: string;
  readonly event: JournalEvent;
  readonly step?: string;
  readonly data?: unknown;
}

/** A snapshot's journal: `append` returns once the line is on disk. */
export class Journal {
  readonly path: string;
  readonly #clock: Clock;

  private constructor(path: string, clock: Clock) {
    this.path = path;
    this.#clock = clock;
  }

  /** Creates `<directory>/<uid>.jsonl` (directory 0700, file 0600); fails if this snapshot has a journal already. */
  static async create(options: { directory: string; uid: string; clock: Clock }): Promise<Journal> {
    const { directory, uid, clock } = options;
    const path = journalPath(directory, uid);
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await using _created = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
      await syncDirectory(directory);
      return new Journal(path, clock);
    } catch (error) {
      throw fileFailure(error, `cannot create the journal ${path}`);
    }
  }

  /** Opens a journal that another process left, behind its last whole line. */
  static async reopen(options: { path: string; clock: Clock }): Promise<Journal> {
    const { path, clock } = options;
    const text = await readFile(path, "utf8");
    await truncate(path, Buffer.byteLength(text.slice(0, text.lastIndexOf("\n") + 1)));
    return new Journal(path, clock);
  }

  async append(event: JournalEvent, step?: string, data?: unknown): Promise<void> {
    const entry: JournalEntry = {
      at: microTime(this.#clock.now()),
      event,
      ...(step !== undefined && { step }),
      ...(data !== undefined && { data }),
    };
    try {
      await using file = await open(this.path, constants.O_WRONLY | constants.O_APPEND);
      await file.appendFile(`${JSON.stringify(entry)}\n`);
      await file.datasync();
    } catch (error) {
      throw fileFailure(error, `cannot write the journal ${this.path}`);
    }
  }
}

/** Removes a snapshot's journal: it has ended, its outcome is known, and nothing is left to do. Safe to repeat. */
export async function closeJournal(options: { directory: string; uid: string }): Promise<void> {
  try {
    await rm(journalPath(options.directory, options.uid), { force: true });
    await syncDirectory(options.directory);
  } catch (error) {
    // No directory, no journal: the snapshot was refused before it began.
    if (errorCode(error) !== "ENOENT") throw fileFailure(error, "cannot remove the journal");
  }
}

/** The uids of the snapshots that have a journal in the directory. */
export async function journaledUids(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.filter((name) => name.endsWith(extension)).map((name) => name.slice(0, -extension.length));
}

export function journalPath(directory: string, uid: string): string {
  return join(directory, `${uid}${extension}`);
}

/** Reads a journal. A torn last line is what a crash leaves, not an error; a torn line elsewhere is. */
export async function readJournal(path: string): Promise<JournalEntry[]> {
  const lines = (await readFile(path, "utf8")).split("\n");
  const torn = lines.pop() !== "";
  return lines.map((line, index) => {
    try {
      const entry: JournalEntry = JSON.parse(line);
      return entry;
    } catch (error) {
      throw new Error(`${path}: line ${index + 1}${torn ? " (before the torn last one)" : ""} is damaged`, {
        cause: error,
      });
    }
  });
}

/** Makes a name in the directory durable. */
export async function syncDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  await handle.sync();
}
