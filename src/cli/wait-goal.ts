// What `wait --for` waits for: a phase or a condition.

import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { phase } from "../api/v1alpha1/fields.ts";
import { Failure } from "../runtime/failure.ts";

/** A goal; `reached` judges one state of the snapshot. */
export interface WaitGoal {
  readonly text: string;
  reached(snapshot: DomainSnapshot): boolean;
}

/** Parses "Completed", "condition=Ready" or "condition=Ready=False"; throws a Failure `InvalidSpec`. */
export function parseWaitGoal(text: string): WaitGoal {
  const condition = /^condition=([^=]+)(?:=(True|False|Unknown))?$/i.exec(text);
  if (condition !== null) {
    const [, type = "", status = "True"] = condition;
    return {
      text,
      reached: (snapshot) =>
        snapshot.status?.conditions?.some(
          (found) =>
            found.type.toLowerCase() === type.toLowerCase() && found.status.toLowerCase() === status.toLowerCase(),
        ) === true,
    };
  }
  const wanted = phase.options.find((known) => known.toLowerCase() === text.toLowerCase());
  if (wanted === undefined) {
    const known = `${phase.options.join(", ")}, or condition=TYPE`;
    throw new Failure("InvalidSpec", `--for: ${JSON.stringify(text)} is not one of ${known}`);
  }
  return { text: wanted, reached: (snapshot) => snapshot.status?.phase === wanted };
}
