// How much every disk was read and written. While a guest stands still the counters do not move.

import { call } from "../qmp/commands.ts";
import type { Guest } from "./guest.ts";

/** Device -> reads and writes, as text to compare. */
export type IoCounters = Readonly<Record<string, string>>;

/** The counters of every block device (`query-blockstats`; nodes asked for by themselves count nothing). */
export async function ioCounters(guest: Guest, signal?: AbortSignal): Promise<IoCounters> {
  const devices = await call(guest.connection, "query-blockstats", undefined, { signal });
  return Object.fromEntries(
    devices.map(({ qdev, device, stats }) => [
      qdev ?? device,
      `${stats.rd_operations}/${stats.wr_operations}/${stats.wr_bytes}`,
    ]),
  );
}

/** Whether a device that both know was used in between. */
export function ioMoved(before: IoCounters, now: IoCounters): boolean {
  return Object.entries(before).some(([device, counters]) => now[device] !== undefined && now[device] !== counters);
}
