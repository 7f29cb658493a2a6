// Keeps credentials for up to a minute: tokens on disk rotate, and asking an exec plugin for each request would be slow.

import type { Clock } from "../runtime/clock.ts";
import type { Credentials } from "./cluster-config.ts";

/** Tokens bound to a pod are replaced at 80 % of their life, at least ten minutes early: a minute's lag is safe. */
const maxAgeMilliseconds = 60_000;
/** When many requests meet a 401 at once, only one of them reads anew. */
const forceAtMostEveryMilliseconds = 1_000;

/** Wraps `load` so that it runs at most once at a time, and again after a minute or when forced. A failure is not kept. */
export function cacheCredentials(
  load: (force: boolean) => Promise<Credentials>,
  clock: Clock,
): (force?: boolean) => Promise<Credentials> {
  let kept: { readonly value: Promise<Credentials>; readonly at: number } | undefined;
  return (force = false) => {
    const limit = force ? forceAtMostEveryMilliseconds : maxAgeMilliseconds;
    if (kept !== undefined && clock.monotonic() - kept.at < limit) return kept.value;
    const entry = { value: load(force), at: clock.monotonic() };
    kept = entry;
    entry.value.catch(() => {
      if (kept === entry) kept = undefined;
    });
    return entry.value;
  };
}
