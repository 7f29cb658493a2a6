// A lock that ends with its process: a listening socket, which works across the PID namespaces of containers.

import { randomUUID } from "node:crypto";
import { link, mkdir, rename, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import type { Failure } from "./failure.ts";

export interface SocketLockOptions {
  /** Of the lock; at most about 90 bytes, since a socket's address is short. */
  readonly path: string;
  /** Told to whoever finds the lock taken. */
  readonly purpose: string;
  /** The error for a lock that `holder` has. */
  readonly busy: (holder: string) => Failure;
}

const answerMilliseconds = 1000;

/** Held until disposed of, or until its process ends; one that was left behind is taken over. */
export class SocketLock implements AsyncDisposable {
  readonly #path: string;
  readonly #server: Server;

  private constructor(path: string, server: Server) {
    this.#path = path;
    this.#server = server;
  }

  /** Creates the directory if need be. Throws what `busy` gives if somebody listens. */
  static async acquire(options: SocketLockOptions): Promise<SocketLock> {
    const { path, purpose } = options;
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    const own = join(dirname(path), `.${process.pid}-${randomUUID().slice(0, 4)}`);
    const server = await listen(own, purpose);
    try {
      await takeName(own, options);
    } catch (error) {
      server.close();
      throw error;
    } finally {
      await rm(own, { force: true });
    }
    return new SocketLock(path, server);
  }

  /** What the holder of the lock says of itself; undefined if nobody holds it. */
  static async holder(path: string): Promise<string | undefined> {
    return await answer(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A name that stays is taken over by the next: nobody listens behind it.
    await rm(this.#path, { force: true }).catch(() => undefined);
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** `link` fails if the name exists, so of several that start at once only one gets it. */
async function takeName(own: string, { path, busy }: SocketLockOptions): Promise<void> {
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    try {
      await link(own, path);
      return;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    const holder = await answer(path);
    if (holder !== undefined) throw busy(holder);
    // Left by a process that died. It is moved away first: whoever moves a living one by mistake puts it back.
    const aside = `${own}.old`;
    await rename(path, aside).catch(() => undefined);
    const moved = await answer(aside);
    if (moved !== undefined) await link(aside, path).catch(() => undefined);
    await rm(aside, { force: true });
    if (moved !== undefined) throw busy(moved);
  }
  throw busy("several processes that began at once");
}

function listen(path: string, purpose: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      // Read to its end, or the connection stays and `close` waits for it.
      socket.resume().end(purpose);
    });
    server.once("error", reject);
    server.listen(path, () => resolve(server.unref()));
  });
}

/** What the holder says; undefined if nobody listens. */
function answer(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let said = "";
    let connected = false;
    const socket = connect({ path, signal: AbortSignal.timeout(answerMilliseconds) });
    socket.setEncoding("utf8");
    socket.once("connect", () => {
      connected = true;
    });
    socket.on("data", (chunk: string) => {
      said += chunk;
    });
    socket.on("error", () => undefined);
    socket.once("close", () => resolve(connected ? said : undefined));
  });
}
