// The agent's own directory: journals (0700), and the lock that keeps a second agent away from it.

import { chmod, link, mkdir, rename, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { Failure } from "../runtime/failure.ts";

/** A state directory that this process owns until it is disposed of. */
export interface StateDirectory extends AsyncDisposable {
  readonly path: string;
  readonly journalDirectory: string;
}

/**
 * Creates the directory if need be and takes its lock: a listening socket, which the kernel ends with the process and which
 * works across the PID namespaces of containers. Fails with AgentRunning if another agent listens.
 */
export async function claimStateDirectory(path: string): Promise<StateDirectory> {
  const journalDirectory = join(path, "journal");
  await mkdir(journalDirectory, { recursive: true, mode: 0o700 });
  await chmod(journalDirectory, 0o700);
  const lock = join(path, "agent.lock");
  const own = join(path, `agent.lock.${process.pid}`);
  await rm(own, { force: true });
  const server = await listen(own);
  try {
    await takeName(own, lock, path);
  } catch (error) {
    server.close();
    throw error;
  } finally {
    await rm(own, { force: true });
  }
  return {
    path,
    journalDirectory,
    async [Symbol.asyncDispose]() {
      await rm(lock, { force: true });
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** `link` fails if the name exists, so of several agents that start at once only one gets it. */
async function takeName(own: string, lock: string, path: string): Promise<void> {
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    try {
      await link(own, lock);
      return;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    if (await answers(lock)) throw alreadyRunning(path);
    // Left by an agent that died. It is moved away first: whoever moves a living one by mistake puts it back.
    const aside = `${own}.stale`;
    await rename(lock, aside).catch(() => {});
    if (await answers(aside)) {
      await link(aside, lock).catch(() => {});
      await rm(aside, { force: true });
      throw alreadyRunning(path);
    }
    await rm(aside, { force: true });
  }
  throw alreadyRunning(path);
}

function alreadyRunning(path: string): Failure {
  return new Failure(
    "AgentRunning",
    `another agent uses ${path}; end it first, or give this one its own stateDirectory`,
  );
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", reject);
    server.listen(path, () => resolve(server.unref()));
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
