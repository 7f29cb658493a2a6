// Ending a process in order: the first signal asks, the second insists; each step of the way out has its time.

import { constants } from "node:os";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import { withDeadline } from "./deadline.ts";

export interface StopSignal extends Disposable {
  /** Aborts on the first SIGTERM or SIGINT. */
  readonly signal: AbortSignal;
}

/** Listens for SIGTERM and SIGINT. A second one ends the process at once, with 128 plus the signal's number. */
export function stopOnSignals(options: { log: Logger; exit?: (code: number) => void }): StopSignal {
  const { log, exit = (code) => process.exit(code) } = options;
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    if (stop.signal.aborted) {
      log.error({ signal: name }, "asked again: ending at once");
      exit(128 + constants.signals[name]);
      return;
    }
    log.info({ signal: name }, "stopping");
    stop.abort(new Error(`stopped by ${name}`));
  };
  const names = ["SIGTERM", "SIGINT"] as const;
  for (const name of names) process.on(name, onSignal);
  return {
    signal: stop.signal,
    [Symbol.dispose]() {
      for (const name of names) process.off(name, onSignal);
    },
  };
}

export interface StopStep {
  readonly name: string;
  readonly milliseconds: number;
  run(signal: AbortSignal): Promise<unknown>;
}

/**
 * Runs the steps one after another: stop the intake, wait for what runs, flush events, release the lease, close connections.
 * A step that fails or takes longer than its time is logged and left behind; the rest still runs. Never rejects.
 */
export async function stopInOrder(options: { log: Logger; clock: Clock; steps: readonly StopStep[] }): Promise<void> {
  const { log, clock, steps } = options;
  for (const step of steps) {
    const { name, milliseconds } = step;
    try {
      await withDeadline({ clock, milliseconds, what: name }, (signal) =>
        Promise.race([step.run(signal), rejected(signal)]),
      );
    } catch (error) {
      log.warn({ err: error, step: name }, "a step of the way out failed");
    }
  }
}

function rejected(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
