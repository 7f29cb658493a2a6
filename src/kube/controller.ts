// Workers that bring keys from a queue to a reconcile function. It only composes: queue, deadline, log.

import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { isApiError } from "./api-error.ts";
import { withDeadline } from "./deadline.ts";
import { isTerminal } from "./terminal-failure.ts";
import type { WorkQueue } from "./work-queue.ts";

export interface ReconcileContext {
  /** Aborts at the deadline and when the controller stops. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

export interface ReconcileResult {
  /** Come again after this time, or earlier on an event. Without it: on the next event. */
  readonly requeueAfterMilliseconds?: number | undefined;
}

/**
 * Brings the world closer to what the object asks for, from whatever state it is in: it learns the key only, never the event.
 * A throw is tried again with the key's backoff, unless it is terminal (see terminal-failure.ts).
 */
// biome-ignore lint/suspicious/noConfusingVoidType: a reconcile that has nothing to say need not say so
export type Reconcile = (key: string, context: ReconcileContext) => Promise<ReconcileResult | undefined | void>;

export interface ControllerOptions {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly workers: number;
  readonly reconcile: Reconcile;
  readonly log: Logger;
  readonly clock: Clock;
  /** Ends the intake; running reconciles see their signal abort. */
  readonly signal: AbortSignal;
  /** Default two minutes; Infinity for none. */
  readonly reconcileTimeoutMilliseconds?: number;
}

/** Runs until the signal aborts, then waits for the reconciles under way, closes the queue and resolves. Never rejects. */
export async function runController(options: ControllerOptions): Promise<void> {
  const { name, queue, signal } = options;
  const log = options.log.child({ controller: name });
  const work = async () => {
    while (!signal.aborted) {
      const key = await queue.take(signal).catch(() => undefined);
      if (key === undefined) return;
      try {
        await reconcileOnce(options, log.child({ key }), key);
      } finally {
        queue.done(key);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: options.workers }, work));
  } finally {
    queue.close();
  }
}

async function reconcileOnce(options: ControllerOptions, log: Logger, key: string): Promise<void> {
  const { queue, clock, signal, reconcile } = options;
  try {
    const result = await withDeadline(
      { clock, milliseconds: options.reconcileTimeoutMilliseconds ?? 120_000, what: `reconcile of ${key}`, signal },
      async (deadline) => await reconcile(key, { signal: deadline, log }),
    );
    queue.forget(key);
    const after = result?.requeueAfterMilliseconds;
    if (after !== undefined) queue.addAfter(key, after);
  } catch (error) {
    if (signal.aborted) {
      log.debug({ err: error }, "stopped");
    } else if (isTerminal(error)) {
      queue.forget(key);
      log.error({ err: error }, "cannot be reconciled; waiting for a change");
    } else {
      queue.addRateLimited(key);
      // Somebody else was faster, which is daily life: the next try sees the new state.
      const level = isApiError(error, "Conflict") && !error.isFieldManagerConflict ? "debug" : "warn";
      log[level]({ err: error, failures: queue.failures(key) }, "reconcile failed; it will be tried again");
    }
  }
}
