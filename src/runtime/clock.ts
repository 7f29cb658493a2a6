// Time as a dependency: whoever waits or stamps takes a Clock, so that tests own time. Raw timers are used only here.

import { performance } from "node:perf_hooks";

/** A source of time. All values are milliseconds. */
export interface Clock {
  /** Wall-clock time since the Unix epoch, with fractions: for timestamps that people and the API see. */
  now(): number;
  /** Time that never jumps, from an arbitrary origin: for durations and deadlines. */
  monotonic(): number;
  /** Resolves after `milliseconds`; rejects with the signal's reason when it is aborted first. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

/** The clock of this machine. */
export const systemClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  monotonic: () => performance.now(),
  sleep: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      }, milliseconds);
      signal?.addEventListener("abort", onAbort, { once: true });
    }),
};

/** Formats wall-clock milliseconds as Kubernetes' MicroTime (RFC 3339, six digits, UTC). */
export function microTime(epochMilliseconds: number): string {
  const whole = Math.floor(epochMilliseconds);
  const micros = Math.floor((epochMilliseconds - whole) * 1000);
  return new Date(whole).toISOString().replace("Z", `${String(micros).padStart(3, "0")}Z`);
}

/** Wall-clock milliseconds of a MicroTime, microseconds as fractions. */
export function epochMilliseconds(time: string): number {
  const micros = /\.\d{3}(\d{1,3})/.exec(time)?.[1] ?? "";
  return Date.parse(time) + Number(micros.padEnd(3, "0")) / 1000;
}
