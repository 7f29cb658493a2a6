// Where a lone node keeps its journals and locks.

import { resolve } from "node:path";

export interface LocalState {
  readonly directory: string;
  readonly journalDirectory: string;
  readonly lockDirectory: string;
}

/** Root shares its locks with the agent of the node; another user has directories of its own. */
export function defaultStateDirectory(): string {
  if (process.getuid?.() === 0) return "/run/domain-snapshot";
  return resolve(process.env["XDG_RUNTIME_DIR"] ?? `/tmp/domain-snapshot-${process.getuid?.()}`, "domain-snapshot");
}

export function localState(directory: string): LocalState {
  return {
    directory,
    journalDirectory: resolve(directory, "journal"),
    lockDirectory: resolve(directory, "locks"),
  };
}
