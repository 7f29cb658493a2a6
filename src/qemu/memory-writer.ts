// How this QEMU writes its memory to a file, and how such a file is loaded again.

import type { Guest } from "./guest.ts";

export interface MemoryWriter {
  /** file or exec, as status shows it. */
  readonly format: "file" | "exec";
  /** Where the stream begins in the file. */
  readonly offsetBytes: number;
  /** Argument of `migrate`. */
  uri(path: string): string;
  /** Argument of `migrate-incoming`. */
  restoreUri(path: string): string;
}

/**
 * QEMU >= 8.2 writes the file itself. The offset keeps ext4 from writing everything back inside close(), which QEMU does
 * in its main thread while the guest stands still (150-300 ms measured). Since QEMU truncates to the offset, a hole of
 * one page is all it costs.
 */
const fileWriter: MemoryWriter = {
  format: "file",
  offsetBytes: 4096,
  uri: (path) => `file:${path},offset=4096`,
  restoreUri: (path) => `file:${path},offset=4096`,
};

/** Older ones need a child. The file exists already (0600): the shell only appends to it. */
const execWriter: MemoryWriter = {
  format: "exec",
  offsetBytes: 0,
  uri: (path) => `exec:exec cat >>${shellQuoted(path)}`,
  restoreUri: (path) => `exec:exec cat ${shellQuoted(path)}`,
};

export function memoryWriterFor(guest: Pick<Guest, "isAtLeast">): MemoryWriter {
  return guest.isAtLeast(8, 2) ? fileWriter : execWriter;
}

/** One word for /bin/sh, whatever it holds. */
export function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
