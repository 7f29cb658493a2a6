// One snapshot per guest on this node, whoever takes it: agent and lone command share one directory of locks.

import { randomUUID } from "node:crypto";
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Failure } from "../runtime/failure.ts";

/** Held until disposed; a holder that died (its pid is gone or was given to another process) is taken over. */
export class DomainLock implements AsyncDisposable {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Throws Failure DomainBusy that names the holder. */
  static async acquire(options: { directory: string; uuid: string; purpose: string }): Promise<DomainLock> {
    const { directory, uuid, purpose } = options;
    await mkdir(directory, { recursive: true, mode: 0o755 });
    const path = join(directory, `${uuid}.lock`);
    // The file appears with its content in it, by `link`: nobody ever reads a lock that names no holder.
    const own = `${path}.${process.pid}.${randomUUID()}`;
    await writeFile(own, `${process.pid} ${await startTime(process.pid)} ${purpose}\n`, { mode: 0o644, flag: "wx" });
    try {
      for (let attempt = 0; attempt < 3; attempt += 1) {
        try {
          await link(own, path);
          return new DomainLock(path);
        } catch (error) {
          if (!isCode(error, "EEXIST")) throw error;
          const holder = await readFile(path, "utf8").catch(() => undefined);
          if (holder === undefined) continue;
          if (await isAlive(holder)) throw busy(holder);
          await removeDead(path);
        }
      }
    } finally {
      await rm(own, { force: true });
    }
    throw new Failure("DomainBusy", `${path} cannot be taken`, { retryable: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#path, { force: true });
  }
}

function busy(holder: string): Failure {
  return new Failure("DomainBusy", `another snapshot of this guest is running on this node: ${holder.trim()}`, {
    retryable: true,
  });
}

/** Moves a dead holder's lock away; one that came into being meanwhile is put back. */
async function removeDead(path: string): Promise<void> {
  const aside = `${path}.${process.pid}.${randomUUID()}`;
  await rename(path, aside).catch(() => undefined);
  const moved = await readFile(aside, "utf8").catch(() => undefined);
  if (moved !== undefined && (await isAlive(moved))) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
}

async function isAlive(holder: string): Promise<boolean> {
  const [pid = "", started = ""] = holder.split(" ");
  return started !== "" && (await startTime(Number(pid))) === started;
}

/** Field 22 of /proc/PID/stat: ticks since boot; tells a process from a later one with its pid. */
async function startTime(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
