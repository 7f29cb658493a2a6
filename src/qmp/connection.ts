// One QMP session on a unix socket: greeting, capabilities, commands matched to replies by id, events, deadlines.

import { createConnection, type Socket } from "node:net";
import { Failure } from "../runtime/failure.ts";
import { LineFramer } from "./line-framer.ts";
import { parseMessage, type QemuVersion, type QmpEvent, type QmpMessage } from "./message.ts";
import { QmpError } from "./qmp-error.ts";

export interface ExecuteOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default 30 s. A command that times out leaves the session usable; its late reply is dropped. */
  readonly timeoutMilliseconds?: number | undefined;
}

export type EventListener = (event: QmpEvent) => void;

/** What the rest of the program needs of a monitor: a real session, or a simulated guest in tests. */
export interface QmpConnection extends AsyncDisposable {
  readonly version: QemuVersion;
  /** Sends a command. Rejects with QmpError (QEMU refused), Failure MonitorUnavailable (gone, too slow) or the signal's reason. */
  execute(command: string, args?: object, options?: ExecuteOptions): Promise<unknown>;
  /** Listens for one event, or for all with "*". Returns what ends it. */
  on(event: string, listener: EventListener): () => void;
  /** Resolves with the reason once the session is over. */
  readonly closed: Promise<Failure>;
  close(): Promise<void>;
}

interface Pending {
  readonly command: string;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/**
 * Opens a session. A monitor serves one client at a time: a second one connects but gets no greeting, so its absence
 * within `greetingTimeoutMilliseconds` is Failure MonitorBusy. A missing or dead socket is Failure MonitorUnavailable.
 */
export async function connectQmp(options: {
  path: string;
  signal?: AbortSignal;
  greetingTimeoutMilliseconds?: number;
}): Promise<QmpConnection> {
  const { path, signal, greetingTimeoutMilliseconds = 2000 } = options;
  signal?.throwIfAborted();
  const session = new Session(path, createConnection({ path }));
  const timeout = AbortSignal.timeout(greetingTimeoutMilliseconds);
  try {
    await session.greeted(signal === undefined ? timeout : AbortSignal.any([timeout, signal]));
    await session.execute("qmp_capabilities", undefined, { signal, timeoutMilliseconds: greetingTimeoutMilliseconds });
    return session;
  } catch (error) {
    await session.close();
    signal?.throwIfAborted();
    if (!timeout.aborted) throw error;
    throw new Failure(
      "MonitorBusy",
      `${path}: no greeting within ${greetingTimeoutMilliseconds} ms; another client holds this monitor. ` +
        "Close it, or give this program a QMP socket of its own (a second -qmp option)",
      { retryable: true },
    );
  }
}

class Session implements QmpConnection {
  readonly closed: Promise<Failure>;
  readonly #path: string;
  readonly #socket: Socket;
  readonly #framer = new LineFramer();
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Map<string, Set<EventListener>>();
  readonly #greeting = Promise.withResolvers<QemuVersion>();
  readonly #over = Promise.withResolvers<Failure>();
  #version: QemuVersion | undefined;
  #ended: Failure | undefined;
  #nextId = 0;

  constructor(path: string, socket: Socket) {
    this.#path = path;
    this.#socket = socket;
    this.closed = this.#over.promise;
    this.#greeting.promise.catch(() => undefined);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => this.#end(unreachable(path, error)));
    socket.on("close", () =>
      this.#end(new Failure("MonitorUnavailable", `${path}: QEMU closed the monitor`, { retryable: true })),
    );
  }

  get version(): QemuVersion {
    if (this.#version === undefined) throw new Failure("InternalError", "the monitor has not greeted yet");
    return this.#version;
  }

  async greeted(signal: AbortSignal): Promise<void> {
    this.#version = await unlessAborted(this.#greeting.promise, signal);
  }

  async execute(command: string, args?: object, options: ExecuteOptions = {}): Promise<unknown> {
    const { signal, timeoutMilliseconds = 30_000 } = options;
    signal?.throwIfAborted();
    if (this.#ended !== undefined) throw this.#ended;
    const id = ++this.#nextId;
    const reply = Promise.withResolvers<unknown>();
    this.#pending.set(id, { command, resolve: reply.resolve, reject: reply.reject });
    this.#socket.write(
      `${JSON.stringify({ execute: command, ...(args === undefined ? {} : { arguments: args }), id })}\n`,
    );
    const timeout = AbortSignal.timeout(timeoutMilliseconds);
    try {
      return await unlessAborted(reply.promise, signal === undefined ? timeout : AbortSignal.any([signal, timeout]));
    } catch (error) {
      signal?.throwIfAborted();
      if (!timeout.aborted) throw error;
      throw new Failure(
        "MonitorUnavailable",
        `${this.#path}: ${command} was not answered within ${timeoutMilliseconds} ms`,
        {
          retryable: true,
        },
      );
    } finally {
      this.#pending.delete(id);
    }
  }

  on(event: string, listener: EventListener): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#end(new Failure("MonitorUnavailable", `${this.#path}: the monitor session was closed`));
    await this.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #receive(chunk: Buffer): void {
    try {
      for (const line of this.#framer.push(chunk)) this.#dispatch(parseMessage(line));
    } catch (error) {
      this.#end(Failure.from(error));
    }
  }

  #dispatch(message: QmpMessage): void {
    switch (message.kind) {
      case "greeting":
        this.#greeting.resolve(message.version);
        return;
      case "success":
        this.#pending.get(message.id)?.resolve(message.value);
        return;
      case "refusal": {
        const pending = message.id === undefined ? undefined : this.#pending.get(message.id);
        pending?.reject(
          new QmpError({ command: pending.command, class: message.class, description: message.description }),
        );
        return;
      }
      case "event":
        for (const name of [message.event.event, "*"]) {
          for (const listener of this.#listeners.get(name) ?? []) listener(message.event);
        }
        return;
      default:
        message satisfies never;
    }
  }

  #end(reason: Failure): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    this.#socket.destroy();
    this.#greeting.reject(reason);
    for (const pending of this.#pending.values()) pending.reject(reason);
    this.#over.resolve(reason);
  }
}

function unreachable(path: string, error: NodeJS.ErrnoException): Failure {
  const remedies: Record<string, string> = {
    ENOENT: "there is no such socket; is the guest running, and is the path right?",
    ECONNREFUSED: "nobody listens there; QEMU has ended",
    EACCES: "this user may not connect to it",
    ENOTSOCK: "it is not a socket",
  };
  const remedy = remedies[error.code ?? ""] ?? error.message;
  return new Failure("MonitorUnavailable", `${path}: ${remedy}`, { cause: error, retryable: true });
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
