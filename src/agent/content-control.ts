// What the API wants of a running snapshot, as the engine sees it: fed by the watch, read during the hold.

import type { ContentSpec } from "../api/v1alpha1/domain-snapshot-content.ts";

export type Desired = ContentSpec["desired"];
export type HoldBound = ContentSpec["hold"];

/**
 * The engine's HoldControl. Every change wakes the engine within the watch event's own turn of the event loop: a
 * release reaches `cont` before anything is written. What was decided once stays decided.
 */
export class ContentControl {
  #desired: Desired;
  #hold: HoldBound;
  #changed = Promise.withResolvers<void>();

  constructor(spec: Pick<ContentSpec, "desired" | "hold">) {
    this.#desired = spec.desired;
    this.#hold = spec.hold;
  }

  desired(): Desired {
    return this.#desired;
  }

  hold(): HoldBound {
    return this.#hold;
  }

  /** Resolves at the next change of what is desired or of the hold's bound; rejects when the signal is aborted. */
  wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const changed = this.#changed.promise;
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      void changed.then(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      });
    });
  }

  /** Takes the object as the watch shows it. */
  update(spec: Pick<ContentSpec, "desired" | "hold">): void {
    const sameHold =
      spec.hold.timeoutSeconds === this.#hold.timeoutSeconds && spec.hold.onTimeout === this.#hold.onTimeout;
    const decided = this.#desired !== "Held";
    if (sameHold && (decided || spec.desired === "Held")) return;
    this.#hold = spec.hold;
    if (!decided) this.#desired = spec.desired;
    this.#wake();
  }

  /** The object was deleted, or is absent from a complete list. Comes too late after a release. */
  abort(): void {
    if (this.#desired !== "Held") return;
    this.#desired = "Aborted";
    this.#wake();
  }

  #wake(): void {
    const changed = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    changed.resolve();
  }
}
