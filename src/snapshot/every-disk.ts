// Clean-up disk by disk: one that fails keeps no other from its own.

import { Failure, type FailureReason } from "../runtime/failure.ts";

/** Works on every item; throws one Failure that says all that failed. */
export async function forEvery<T>(
  items: readonly T[],
  otherwise: FailureReason,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const failures: Failure[] = [];
  for (const item of items) {
    try {
      await work(item);
    } catch (error) {
      failures.push(Failure.from(error, otherwise));
    }
  }
  const [first, ...others] = failures;
  if (first === undefined) return;
  if (others.length === 0) throw first;
  throw new Failure(first.reason, failures.map(({ message }) => message).join("; "), { cause: first });
}
