// Where a snapshot may write. Names come from people: nothing outside the allowed directories, no symlinks, nothing that exists.

import { lstat, realpath, statfs } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { Failure } from "../runtime/failure.ts";

const spareBytes = 64 << 20;

/** Name of the memory file if the request gives none. */
export function defaultMemoryFile(job: {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}): string {
  return `${job.namespace}-${job.name}-${job.uid.slice(0, 8)}.mem`;
}

/** libvirt's virDomainSnapshotDefAssignExternalNames: the base path without its last suffix, "." and the snapshot's name. */
export function overlayPath(basePath: string, snapshotName: string): string {
  const name = basename(basePath);
  const dot = name.lastIndexOf(".");
  return join(dirname(basePath), `${dot > 0 ? name.slice(0, dot) : name}.${snapshotName}`);
}

/**
 * The absolute path of a new file. `roots` are the directories it may lie in; a relative name is taken from `from`.
 * Throws Failure PathNotAllowed or FileExists, naming `field`.
 */
export async function newFilePath(options: {
  field: string;
  file: string;
  from: string;
  roots: readonly string[];
}): Promise<string> {
  const { field, file, from, roots } = options;
  const refuse = (why: string) => new Failure("PathNotAllowed", `${field}: ${file} ${why}`);
  if (file.split("/").includes("..")) throw refuse("has a '..' in it; name the file without");
  if (file.includes("\0") || file.endsWith("/")) throw refuse("is not a file name");
  const path = isAbsolute(file) ? resolve(file) : resolve(from, file);
  const root = roots.find((candidate) => isInside(path, candidate));
  if (root === undefined) throw refuse(`lies outside the directories allowed for this guest (${roots.join(", ")})`);
  await requirePlainParent({ path, root, refuse });
  await requireMissing(field, path);
  return path;
}

/** Throws Failure FileExists if anything has that name, a dangling symlink included. */
export async function requireMissing(field: string, path: string): Promise<void> {
  const existing = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw new Failure("PathNotAllowed", `${field}: cannot look at ${path}: ${error.message}`, { cause: error });
  });
  if (existing !== undefined) {
    throw new Failure(
      "FileExists",
      `${field}: ${path} exists and is never overwritten; name another file or remove it`,
    );
  }
}

/** Throws Failure NoSpace unless the file system of `directory` takes `bytes` and a reserve. */
export async function requireSpace(directory: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const free = bavail * bsize;
  if (free >= bytes + spareBytes) return;
  const mebibytes = (value: number) => `${Math.ceil(value / (1 << 20))} MiB`;
  throw new Failure(
    "NoSpace",
    `memory: ${directory} has ${mebibytes(free)} free, the guest's memory needs ${mebibytes(bytes + spareBytes)}`,
  );
}

/** As status shows a path: relative to the snapshot directory where it lies inside it. */
export function shownPath(path: string, snapshotDirectory: string): string {
  return isInside(path, snapshotDirectory) ? relative(snapshotDirectory, path) : path;
}

function isInside(path: string, directory: string): boolean {
  const way = relative(directory, path);
  return way !== "" && !way.startsWith("..") && !isAbsolute(way);
}

/** Below an allowed directory no component may be a symlink: a tenant could point it anywhere. */
async function requirePlainParent(options: {
  path: string;
  root: string;
  refuse: (why: string) => Failure;
}): Promise<void> {
  const { path, root, refuse } = options;
  const parent = dirname(path);
  try {
    const expected = join(await realpath(root), relative(root, parent));
    if ((await realpath(parent)) !== expected) throw refuse("goes through a symbolic link");
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw refuse(`cannot be created: ${error instanceof Error ? error.message : String(error)}`);
  }
}
