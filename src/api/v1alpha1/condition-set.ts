// Sets one condition in a list as metav1 wants it: lastTransitionTime moves only when the status flips.

import type { Condition } from "./fields.ts";

/** A condition without its time, which the list decides. */
export type ConditionUpdate = Omit<Condition, "lastTransitionTime">;

/**
 * Returns the list with the condition added or replaced, and the others as they were, in their order.
 * `now` is wall-clock milliseconds; metav1.Time has no fractions.
 */
export function setCondition(conditions: readonly Condition[], update: ConditionUpdate, now: number): Condition[] {
  const before = conditions.find((condition) => condition.type === update.type);
  const lastTransitionTime = before?.status === update.status ? before.lastTransitionTime : wholeSeconds(now);
  const after = { ...update, message: update.message.slice(0, 32_768), lastTransitionTime };
  return before === undefined
    ? [...conditions, after]
    : conditions.map((condition) => (condition === before ? after : condition));
}

/** The condition of that type, if it is set. */
export function findCondition(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

function wholeSeconds(epochMilliseconds: number): string {
  return new Date(epochMilliseconds).toISOString().replace(/\.\d+Z$/, "Z");
}
