// How much every block node was read and written. While a guest stands still the counters do not move.

import { call } from "../qmp/commands.ts";
import type { Guest } from "./guest.ts";

/** node-name -> reads and writes, as text to compare. */
export type IoCounters = Readonly<Record<string, string>>;

/** The counters of every named node (`query-blockstats`). */
export async function ioCounters(guest: Guest, signal?: AbortSignal): Promise<IoCounters> {
  const nodes = await call(guest.connection, "query-blockstats", { "query-nodes": true }, { signal });
  return Object.fromEntries(
    nodes.flatMap(({ "node-name": node, stats }) =>
      node === undefined ? [] : [[node, `${stats.rd_operations}/${stats.wr_operations}/${stats.wr_bytes}`]],
    ),
  );
}

/** Whether a node that both know was used in between. */
export function ioMoved(before: IoCounters, now: IoCounters): boolean {
  return Object.entries(before).some(([node, counters]) => now[node] !== undefined && now[node] !== counters);
}
