// The files that this snapshot made, told from all others by inode: nothing else is ever removed, even after a crash.

import { constants } from "node:fs";
import { link, lstat, open, rm, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Failure } from "../runtime/failure.ts";
import { errorCode, fileFailure } from "./file-failure.ts";
import { syncDirectory } from "./journal.ts";

export type OwnFileKind = "overlay" | "memory" | "manifest";

/** Numbers of inodes exceed what a double holds exactly: they are kept as text. */
export interface OwnFile {
  readonly kind: OwnFileKind;
  readonly path: string;
  readonly device: string;
  readonly inode: string;
}

export class OwnFiles {
  readonly #tag: string;
  readonly #files = new Map<string, OwnFile>();
  readonly #note: (file: OwnFile) => Promise<void>;

  /** `tag` makes hidden names ours; `note` puts a file's identity into the journal before its name can be seen. */
  constructor(options: { tag: string; note: (file: OwnFile) => Promise<void> }) {
    this.#tag = options.tag;
    this.#note = options.note;
  }

  /** Takes over what a journal says. */
  recall(file: OwnFile): void {
    this.#files.set(file.path, file);
  }

  paths(kind: OwnFileKind): string[] {
    return [...this.#files.values()].filter((file) => file.kind === kind).map((file) => file.path);
  }

  /** The name under which a file grows until `publish`; it holds the snapshot's uid, so it can be nobody else's. */
  hidden(path: string): string {
    return join(dirname(path), `.${basename(path)}.${this.#tag}.partial`);
  }

  /** Creates an empty file (0600) under the hidden name of `path`. Throws Failure NoSpace, PathNotAllowed or FileExists. */
  async create(kind: OwnFileKind, path: string): Promise<void> {
    const hidden = this.hidden(path);
    try {
      // Ours by its name: left by a try of this very snapshot that failed half-way.
      await rm(hidden, { force: true });
      const file = await open(hidden, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
      try {
        const { dev, ino } = await file.stat({ bigint: true });
        const own = { kind, path, device: String(dev), inode: String(ino) };
        await this.#note(own);
        this.#files.set(path, own);
      } finally {
        await file.close();
      }
    } catch (error) {
      if (!this.#files.has(path)) await rm(hidden, { force: true }).catch(() => {});
      throw fileFailure(error, `cannot create ${path}`);
    }
  }

  /**
   * Gives the file its name by `link`, which fails if the name has come into being meanwhile (`rename` would replace that
   * file), and makes the name durable. Safe to repeat. Throws Failure FileExists.
   */
  async publish(path: string): Promise<void> {
    try {
      if (!(await this.owns(path))) await link(this.hidden(path), path);
      await rm(this.hidden(path), { force: true });
      await syncDirectory(dirname(path));
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw fileFailure(error, `cannot create ${path}`);
      throw new Failure("FileExists", `${path} has come into being meanwhile; it is left alone: name another file`);
    }
  }

  /** Whether the file at `path` is the one made here. */
  async owns(path: string): Promise<boolean> {
    const own = this.#files.get(path);
    if (own === undefined) return false;
    try {
      const { dev, ino } = await lstat(path, { bigint: true });
      return own.device === String(dev) && own.inode === String(ino);
    } catch (error) {
      if (errorCode(error) === "ENOENT") return false;
      throw fileFailure(error, `cannot look at ${path}`);
    }
  }

  /** Removes the file under both its names, if it is ours; durable. Safe to repeat. */
  async remove(path: string): Promise<void> {
    try {
      await rm(this.hidden(path), { force: true });
      if (await this.owns(path)) await unlink(path);
      await syncDirectory(dirname(path));
    } catch (error) {
      throw fileFailure(error, `cannot remove ${path}`);
    }
  }
}
