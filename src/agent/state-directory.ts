// The agent's own directory: journals (0700), and the lock that keeps a second agent away from it.

import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Failure } from "../runtime/failure.ts";
import { SocketLock } from "../runtime/socket-lock.ts";

/** A state directory that this process owns until it is disposed of. */
export interface StateDirectory extends AsyncDisposable {
  readonly path: string;
  readonly journalDirectory: string;
}

/** Creates the directory if need be and takes its lock. Fails with AgentRunning if another agent has it. */
export async function claimStateDirectory(path: string): Promise<StateDirectory> {
  const journalDirectory = join(path, "journal");
  await mkdir(journalDirectory, { recursive: true, mode: 0o700 });
  await chmod(journalDirectory, 0o700);
  const lock = await SocketLock.acquire({
    path: join(path, "agent.lock"),
    purpose: `agent, process ${process.pid}`,
    busy: (holder) =>
      new Failure(
        "AgentRunning",
        `another agent (${holder}) uses ${path}; end it first, or give this one its own stateDirectory`,
      ),
  });
  return { path, journalDirectory, [Symbol.asyncDispose]: async () => await lock[Symbol.asyncDispose]() };
}
