// The stream of one fake watch: events in order, then an end or an error; given up after a silence.

import { ApiError } from "../../src/kube/api-error.ts";
import type { WatchEvent } from "../../src/kube/watch-event.ts";
import type { Clock } from "../../src/runtime/clock.ts";

export class WatchChannel {
  readonly #clock: Clock;
  readonly #idleMilliseconds: number;
  readonly #signal: AbortSignal | undefined;
  readonly #events: WatchEvent[] = [];
  #end: { readonly error: ApiError | undefined } | undefined;
  #wake: (() => void) | undefined;

  constructor(options: { clock: Clock; idleMilliseconds: number; signal: AbortSignal | undefined }) {
    this.#clock = options.clock;
    this.#idleMilliseconds = options.idleMilliseconds;
    this.#signal = options.signal;
  }

  push(event: WatchEvent): void {
    this.#events.push(event);
    this.#wake?.();
  }

  end(error: ApiError | undefined): void {
    this.#end = { error };
    this.#wake?.();
  }

  async *events(): AsyncGenerator<WatchEvent> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) yield event;
      else if (this.#end?.error !== undefined) throw this.#end.error;
      else if (this.#end !== undefined) return;
      else await this.#somethingNew();
    }
  }

  async #somethingNew(): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const signal = this.#signal === undefined ? woken.signal : AbortSignal.any([this.#signal, woken.signal]);
    const isIdle = await this.#clock.sleep(this.#idleMilliseconds, signal).then(
      () => true,
      () => false,
    );
    this.#signal?.throwIfAborted();
    if (isIdle) throw ApiError.fromNetwork(new Error("nothing heard for 90 s"), "watch");
  }
}
