// qemu-guest-agent behind a unix socket: freezes and thaws the guest's file systems, sets its clock. Nobody answers while
// the guest stands still, or when no agent runs in it: every call is bounded.

import { createConnection, type Socket } from "node:net";
import { z } from "zod";
import { Failure } from "../runtime/failure.ts";

const answerMilliseconds = 10_000;
/** Begins a reply to guest-sync-delimited: whatever came before it belongs to somebody else. */
const sentinel = 0xff;
const longestReply = 1 << 20;

const reply = z.looseObject({
  return: z.unknown().optional(),
  error: z.looseObject({ class: z.string(), desc: z.string() }).optional(),
});

/** One session; commands one after another. Every call rejects with Failure QuiesceFailed. */
export class GuestAgent implements Disposable {
  readonly #path: string;
  readonly #socket: Socket;
  readonly #over = Promise.withResolvers<never>();
  #received: Buffer = Buffer.alloc(0);
  #arrived = Promise.withResolvers<void>();

  private constructor(path: string) {
    this.#path = path;
    this.#socket = createConnection({ path });
    this.#over.promise.catch(() => undefined);
    this.#socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      if (this.#received.length > longestReply) this.#socket.destroy();
      this.#arrived.resolve();
    });
    this.#socket.on("error", (error) => this.#over.reject(this.#failure(error.message)));
    this.#socket.on("close", () => this.#over.reject(this.#failure("the connection was closed")));
  }

  /** Connects and synchronises: replies that were left on the channel are passed over. */
  static async connect(path: string, signal?: AbortSignal): Promise<GuestAgent> {
    const agent = new GuestAgent(path);
    try {
      await agent.#synchronise(signal);
      return agent;
    } catch (error) {
      agent[Symbol.dispose]();
      throw error;
    }
  }

  /** Freezes every file system; resolves with their number. */
  async freeze(signal?: AbortSignal): Promise<number> {
    return z.number().parse(await this.#call("guest-fsfreeze-freeze", undefined, signal));
  }

  /** Thaws every file system; resolves with their number, 0 if none was frozen. */
  async thaw(signal?: AbortSignal): Promise<number> {
    return z.number().parse(await this.#call("guest-fsfreeze-thaw", undefined, signal));
  }

  /** Sets the guest's clock, in milliseconds since the epoch. */
  async setTime(epochMilliseconds: number, signal?: AbortSignal): Promise<void> {
    await this.#call("guest-set-time", { time: Math.round(epochMilliseconds) * 1_000_000 }, signal);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #synchronise(signal: AbortSignal | undefined): Promise<void> {
    const id = Math.floor(Math.random() * 0x7fffffff);
    // A sentinel of our own makes the agent drop what an earlier client left half-written.
    this.#socket.write(Buffer.from([sentinel]));
    this.#send("guest-sync-delimited", { id });
    const bounded = this.#bound("guest-sync-delimited", signal);
    for (;;) {
      const line = await this.#line(bounded);
      const begin = line.lastIndexOf(sentinel);
      if (begin >= 0 && this.#parse(line.subarray(begin + 1)).return === id) return;
    }
  }

  async #call(command: string, args: object | undefined, signal: AbortSignal | undefined): Promise<unknown> {
    this.#send(command, args);
    const { return: value, error } = this.#parse(await this.#line(this.#bound(command, signal)));
    if (error !== undefined) throw this.#failure(`${command}: ${error.desc}`);
    return value;
  }

  #send(command: string, args: object | undefined): void {
    this.#socket.write(`${JSON.stringify({ execute: command, ...(args !== undefined && { arguments: args }) })}\n`);
  }

  #bound(command: string, signal: AbortSignal | undefined): Promise<never> {
    const late = AbortSignal.timeout(answerMilliseconds);
    const either = signal === undefined ? late : AbortSignal.any([late, signal]);
    const bound = Promise.withResolvers<never>();
    bound.promise.catch(() => undefined);
    const give = () =>
      bound.reject(
        late.aborted
          ? this.#failure(`${command} was not answered within ${answerMilliseconds / 1000} s; does an agent run in it?`)
          : signal?.reason,
      );
    if (either.aborted) give();
    either.addEventListener("abort", give, { once: true });
    return Promise.race([bound.promise, this.#over.promise]);
  }

  /** The next line, without its end. */
  async #line(bounded: Promise<never>): Promise<Buffer> {
    for (;;) {
      const end = this.#received.indexOf("\n");
      if (end >= 0) {
        const line = this.#received.subarray(0, end);
        this.#received = this.#received.subarray(end + 1);
        return line;
      }
      this.#arrived = Promise.withResolvers();
      await Promise.race([this.#arrived.promise, bounded]);
    }
  }

  #parse(line: Buffer): z.output<typeof reply> {
    try {
      return reply.parse(JSON.parse(line.toString("utf8")));
    } catch {
      throw this.#failure("it answered with something else than JSON");
    }
  }

  #failure(what: string): Failure {
    return new Failure("QuiesceFailed", `guest agent ${this.#path}: ${what}`, { retryable: true });
  }
}
