// Durations as Go and kubectl write them, and ages as kubectl's tables show them.

import { Failure } from "../runtime/failure.ts";

const unitMilliseconds: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a duration such as "10m", "1h30m" or "1.5s"; throws a Failure `InvalidSpec` that shows the form. */
export function parseDuration(text: string): number {
  let milliseconds = 0;
  if (/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) {
    for (const [, amount = "0", unit = ""] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g))
      milliseconds += Number(amount) * (unitMilliseconds[unit] ?? 0);
  }
  // Longer timers fire at once.
  if (milliseconds > 0 && milliseconds < 2 ** 31) return milliseconds;
  throw new Failure(
    "InvalidSpec",
    `${JSON.stringify(text)} is not a duration up to 24 days; write one such as 10m or 90s`,
  );
}

/** An age in at most two units, coarser the older it is: 45s, 3m20s, 25m, 5h12m, 3d4h, 40d. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return pair(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return pair(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  return days < 8 ? pair(days, "d", hours % 24, "h") : `${days}d`;
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return `${large}${largeUnit}${small === 0 ? "" : `${small}${smallUnit}`}`;
}
