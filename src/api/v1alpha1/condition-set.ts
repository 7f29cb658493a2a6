// The conditions of a status as metav1 wants them: lastTransitionTime moves only when a condition's status flips.

import type { Condition } from "./fields.ts";

/** A condition as its owner sees it now; the rest is stamped. */
export type Observation = Readonly<Omit<Condition, "lastTransitionTime" | "observedGeneration">>;

/**
 * The conditions that say just what was observed: those of `previous` that are observed again keep their place, new ones
 * come after them, and what is not observed any more is dropped. `generation` is the metadata.generation that was looked at,
 * `now` is wall-clock milliseconds; metav1.Time has no fractions.
 */
export function stampConditions(
  observations: readonly Observation[],
  previous: readonly Condition[] | undefined,
  stamp: { readonly generation: number | undefined; readonly now: number },
): Condition[] {
  const places = new Map(previous?.map((condition, place) => [condition.type, place]));
  const placeOf = (observation: Observation) => places.get(observation.type) ?? places.size;
  return observations
    .toSorted((a, b) => placeOf(a) - placeOf(b))
    .map(({ type, status, reason, message }) => {
      const before = previous?.find((condition) => condition.type === type);
      return {
        type,
        status,
        ...(stamp.generation !== undefined && { observedGeneration: stamp.generation }),
        lastTransitionTime: before?.status === status ? before.lastTransitionTime : wholeSeconds(stamp.now),
        reason,
        message: message.slice(0, 32_768),
      };
    });
}

function wholeSeconds(epochMilliseconds: number): string {
  return new Date(epochMilliseconds).toISOString().replace(/\.\d+Z$/, "Z");
}
