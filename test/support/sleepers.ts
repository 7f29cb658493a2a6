// Who sleeps on a clock of the tests, and until when.

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export class Sleepers {
  readonly #all = new Set<Sleeper>();

  get size(): number {
    return this.#all.size;
  }

  /** Resolves when it is woken; rejects with the signal's reason. */
  sleep(at: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        this.#all.delete(sleeper);
        reject(signal?.reason);
      };
      const sleeper: Sleeper = {
        at,
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      this.#all.add(sleeper);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Takes out who is to be woken first, at `end` at the latest. */
  takeEarliest(end = Number.POSITIVE_INFINITY): Sleeper | undefined {
    let earliest: Sleeper | undefined;
    for (const sleeper of this.#all) {
      if (sleeper.at <= end && (earliest === undefined || sleeper.at < earliest.at)) earliest = sleeper;
    }
    if (earliest !== undefined) this.#all.delete(earliest);
    return earliest;
  }
}
