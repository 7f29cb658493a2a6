// The hold's deadline in time since boot, suspend included: neither a clock jump nor a suspend lengthens it.

import { readFile } from "node:fs/promises";
import type { HoldBound } from "./plan.ts";

/** What the host says of its boot; the guest does not outlive it. */
export interface BootClock {
  /** Seconds since boot, including suspend. */
  uptimeSeconds(): Promise<number>;
  /** Another one after every boot. */
  bootId(): Promise<string>;
}

export const systemBoot: BootClock = {
  uptimeSeconds: async () => Number((await readFile("/proc/uptime", "utf8")).split(" ")[0]),
  bootId: async () => (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim(),
};

/** Seconds that the hold may take; undefined for no limit. The agent's maximum wins over the request. */
export function holdSeconds(bound: HoldBound, maximumHoldSeconds: number | undefined): number | undefined {
  if (bound.timeoutSeconds === 0) return maximumHoldSeconds;
  return maximumHoldSeconds === undefined ? bound.timeoutSeconds : Math.min(bound.timeoutSeconds, maximumHoldSeconds);
}
