// The engine's memory across its own death: one JSON line per intent and per result, on disk before the deed.

import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, microTime } from "../runtime/clock.ts";

type JournalEvent = "begin" | "intent" | "result" | "undo" | "undone";

export interface JournalEntry {
  readonly at: string;
  readonly event: JournalEvent;
  readonly step?: string;
  readonly data?: unknown;
}

/** An open journal: `append` returns once the line is on disk. */
export class Journal implements AsyncDisposable {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #directory: string;
  readonly #clock: Clock;

  private constructor(options: { path: string; file: FileHandle; directory: string; clock: Clock }) {
    this.path = options.path;
    this.#file = options.file;
    this.#directory = options.directory;
    this.#clock = options.clock;
  }

  /** Creates `<directory>/<uid>.jsonl` (directory 0700, file 0600); fails if this snapshot has a journal already. */
  static async create(options: { directory: string; uid: string; clock: Clock }): Promise<Journal> {
    const { directory, uid, clock } = options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const path = journalPath(directory, uid);
    const file = await open(
      path,
      constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_APPEND,
      0o600,
    );
    await syncDirectory(directory);
    return new Journal({ path, file, directory, clock });
  }

  async append(event: JournalEvent, step?: string, data?: unknown): Promise<void> {
    const entry: JournalEntry = {
      at: microTime(this.#clock.now()),
      event,
      ...(step !== undefined && { step }),
      ...(data !== undefined && { data }),
    };
    await this.#file.appendFile(`${JSON.stringify(entry)}\n`);
    await this.#file.datasync();
  }

  /** Removes the journal: its snapshot has ended and nothing is left to do. */
  async remove(): Promise<void> {
    await rm(this.path, { force: true });
    await syncDirectory(this.#directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

export function journalPath(directory: string, uid: string): string {
  return join(directory, `${uid}.jsonl`);
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
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
