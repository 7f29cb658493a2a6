// The hold's deadline in time since boot, suspend included: neither a clock jump nor a suspend lengthens it.

import { readFile } from "node:fs/promises";
import type { HoldBound } from "./plan.ts";

/** Seconds since boot, including suspend. */
export type Uptime = () => Promise<number>;

export const systemUptime: Uptime = async () => Number((await readFile("/proc/uptime", "utf8")).split(" ")[0]);

/** Seconds that the hold may take; undefined for no limit. The agent's maximum wins over the request. */
export function holdSeconds(bound: HoldBound, maximumHoldSeconds: number | undefined): number | undefined {
  if (bound.timeoutSeconds === 0) return maximumHoldSeconds;
  return maximumHoldSeconds === undefined ? bound.timeoutSeconds : Math.min(bound.timeoutSeconds, maximumHoldSeconds);
}
