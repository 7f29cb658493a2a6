// Writes one object's status so that nothing that matters is lost and little that does not is written.

import type { Clock } from "../runtime/clock.ts";

/** How soon a change must be written. `never`: it is equal for every reader. */
export type Urgency = "now" | "soon" | "eventually" | "never";

export interface StatusReporterOptions<S> {
  /** Writes the whole status. Rejecting means: try again, unless `isFinal` says that it never will work. */
  readonly write: (status: S, signal: AbortSignal) => Promise<void>;
  /** Compares what was last written (undefined: nothing) with what is to be written. */
  readonly urgency: (written: S | undefined, next: S) => Urgency;
  /** True for a rejection that no repetition mends: the object is gone. */
  readonly isFinal: (error: unknown) => boolean;
  readonly onError: (error: unknown) => void;
  readonly clock: Clock;
  readonly random: () => number;
  readonly signal: AbortSignal;
  /** A "soon" change waits this long for a better one: what lasts shorter is skipped. */
  readonly settleMilliseconds?: number;
  /** "Eventually" changes are at least this far apart. */
  readonly intervalMilliseconds?: number;
}

const firstRetryMilliseconds = 200;
const lastRetryMilliseconds = 10_000;

/**
 * Coalesces reports: one write at a time, always of the newest report, "now" at once, "soon" after 200 ms without a
 * newer "soon" one, "eventually" 5 s after the last write. Failed writes are repeated with backoff until accepted.
 */
export class StatusReporter<S> {
  readonly #options: StatusReporterOptions<S>;
  #written: S | undefined;
  #latest: S | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #lastWriteAt = Number.NEGATIVE_INFINITY;
  #wake = new AbortController();
  #failures = 0;
  #gone = false;
  #writing = false;
  #idle = Promise.withResolvers<void>();
  readonly #loop: Promise<void>;

  constructor(options: StatusReporterOptions<S>) {
    this.#options = options;
    this.#idle.resolve();
    this.#loop = this.#run();
  }

  /** Takes a newer report; returns at once. */
  report(status: S): void {
    if (this.#gone || this.#options.signal.aborted) return;
    const previous = this.#latest ?? this.#written;
    this.#latest = status;
    // What is being written is not yet what is written: weighed when that is known.
    if (this.#writing) return;
    const urgency = this.#options.urgency(this.#written, status);
    if (urgency === "never") {
      this.#rest();
      return;
    }
    if (this.#dueAt === Number.POSITIVE_INFINITY) this.#idle = Promise.withResolvers<void>();
    const now = this.#options.clock.monotonic();
    if (this.#failures === 0 || urgency === "now") {
      const due = this.#due(urgency, now);
      // Only a newer transition restarts the settling time; progress within a phase must not put it off for ever.
      const restarts = previous !== undefined && this.#options.urgency(previous, status) === "soon";
      this.#dueAt = restarts && urgency === "soon" ? due : Math.min(this.#dueAt, due);
    }
    this.#wake.abort();
  }

  /** Resolves when the newest report was accepted or never will be. */
  async settled(): Promise<void> {
    await this.#idle.promise;
  }

  /** Resolves when the reporter has ended, after its signal was aborted. */
  async ended(): Promise<void> {
    await this.#loop;
  }

  #due(urgency: Exclude<Urgency, "never">, now: number): number {
    switch (urgency) {
      case "now":
        return now;
      case "soon":
        return now + (this.#options.settleMilliseconds ?? 200);
      case "eventually":
        return Math.max(now, this.#lastWriteAt + (this.#options.intervalMilliseconds ?? 5000));
    }
  }

  async #run(): Promise<void> {
    const { clock, signal } = this.#options;
    while (!signal.aborted) {
      const wait = this.#dueAt - clock.monotonic();
      if (this.#latest !== undefined && wait <= 0) {
        await this.#writeLatest(this.#latest);
        continue;
      }
      this.#wake = new AbortController();
      // A timer cannot wait for ever; an hour comes close, and waking up costs nothing.
      const milliseconds = Math.min(wait, 3_600_000);
      await clock.sleep(milliseconds, AbortSignal.any([this.#wake.signal, signal])).catch(() => {});
    }
    this.#idle.resolve();
  }

  #rest(): void {
    this.#latest = undefined;
    this.#dueAt = Number.POSITIVE_INFINITY;
    this.#idle.resolve();
  }

  async #writeLatest(status: S): Promise<void> {
    const { clock, random, signal } = this.#options;
    this.#writing = true;
    try {
      await this.#options.write(status, signal);
      this.#written = status;
      this.#failures = 0;
      this.#lastWriteAt = clock.monotonic();
    } catch (error) {
      if (signal.aborted) return;
      this.#options.onError(error);
      if (this.#options.isFinal(error)) {
        this.#gone = true;
        this.#rest();
        return;
      }
      const backoff = Math.min(firstRetryMilliseconds * 2 ** this.#failures, lastRetryMilliseconds);
      this.#failures = Math.min(this.#failures + 1, 10);
      this.#dueAt = clock.monotonic() + backoff * (0.5 + random() / 2);
      return;
    } finally {
      this.#writing = false;
    }
    const latest = this.#latest;
    const urgency = latest === undefined || latest === status ? "never" : this.#options.urgency(this.#written, latest);
    if (urgency === "never") this.#rest();
    else this.#dueAt = this.#due(urgency, clock.monotonic());
  }
}
