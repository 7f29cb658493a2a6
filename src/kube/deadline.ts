// A deadline as an AbortSignal, on a Clock, linked to the caller's own signal and cleaned up afterwards.

import type { Clock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";

/**
 * Runs `work` with a signal that aborts when `signal` does or when the time is over (reason: Failure `Timeout`). Waits for
 * `work` in any case: whoever ignores the signal keeps its caller waiting, but is never left running unseen.
 */
export async function withDeadline<R>(
  options: { clock: Clock; milliseconds: number; what: string; signal?: AbortSignal | undefined },
  work: (signal: AbortSignal) => Promise<R>,
): Promise<R> {
  const { clock, milliseconds, what, signal } = options;
  const expiry = new AbortController();
  const stopTimer = new AbortController();
  const linked = signal === undefined ? expiry.signal : AbortSignal.any([signal, expiry.signal]);
  if (Number.isFinite(milliseconds)) {
    clock.sleep(milliseconds, stopTimer.signal).then(
      () => expiry.abort(new Failure("Timeout", `${what} took longer than ${milliseconds} ms`, { retryable: true })),
      () => undefined,
    );
  }
  try {
    return await work(linked);
  } finally {
    stopTimer.abort();
  }
}
