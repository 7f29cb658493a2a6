// What the lone node wants of the hold: decided once, by the command that ran during it.

import type { HoldControl } from "../snapshot/job.ts";
import type { HoldBound } from "../snapshot/plan.ts";

export class LocalControl implements HoldControl {
  readonly #hold: HoldBound;
  readonly #decided = Promise.withResolvers<void>();
  #desired: "Held" | "Released" | "Aborted" = "Held";

  constructor(hold: HoldBound) {
    this.#hold = hold;
  }

  desired(): "Held" | "Released" | "Aborted" {
    return this.#desired;
  }

  hold(): HoldBound {
    return this.#hold;
  }

  /** What was decided once does not change again: after that, only the signal ends a wait. */
  wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const decided = this.#desired === "Held" ? this.#decided.promise : new Promise<void>(() => undefined);
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      void decided.then(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      });
    });
  }

  /** The first word counts. */
  decide(desired: "Released" | "Aborted"): void {
    if (this.#desired !== "Held") return;
    this.#desired = desired;
    this.#decided.resolve();
  }
}
