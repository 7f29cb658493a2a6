// One snapshot per guest on this node, whoever takes it: agent and lone command share one directory of locks.

import { constants } from "node:fs";
import { mkdir, open, readFile, rm } from "node:fs/promises";
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
    for (let attempt = 0; attempt < 3; attempt += 1) {
      try {
        const file = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o644);
        await file.writeFile(`${process.pid} ${await startTime(process.pid)} ${purpose}\n`);
        await file.close();
        return new DomainLock(path);
      } catch (error) {
        if (!isCode(error, "EEXIST")) throw error;
        const holder = await readFile(path, "utf8").catch(() => undefined);
        if (holder === undefined) continue;
        if (await isAlive(holder)) {
          throw new Failure("DomainBusy", `another snapshot of this guest is running on this node: ${holder.trim()}`, {
            retryable: true,
          });
        }
        await rm(path, { force: true });
      }
    }
    throw new Failure("DomainBusy", `${path} cannot be taken`, { retryable: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#path, { force: true });
  }
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
