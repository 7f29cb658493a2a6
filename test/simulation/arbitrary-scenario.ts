// Any scenario: every mode, input and fault, in any number of lives of the program.

import fc from "fast-check";
import type { Scenario } from "./scenario.ts";
import { type Fault, faultKinds } from "./simulated-process.ts";

const fault: fc.Arbitrary<Fault> = fc.record({ at: fc.nat(75), kind: fc.constantFrom(...faultKinds) });

export const anyScenario: fc.Arbitrary<Scenario> = fc.record({
  major: fc.constantFrom(7 as const, 10 as const),
  capture: fc.constantFrom("paused" as const, "live" as const),
  memory: fc.boolean(),
  ranBefore: fc.boolean(),
  drive: fc.boolean(),
  manual: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  announce: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  lent: fc.boolean(),
  decision: fc.record({
    word: fc.constantFrom("Released" as const, "Aborted" as const),
    afterSeconds: fc.constantFrom(0, 0.5, 5, 599, 700),
  }),
  lives: fc.array(fc.array(fault, { maxLength: 3 }), { minLength: 1, maxLength: 4 }),
});

/** A scenario in which nothing goes wrong. */
export const calm: Scenario = {
  ...{ major: 7, capture: "paused", memory: true, ranBefore: true, drive: false, manual: true },
  ...{ announce: false, lent: false },
  decision: { word: "Released", afterSeconds: 5 },
  lives: [[]],
};

/** Plays any scenarios; throws with the smallest one that breaks a promise. */
export async function keepsPromises(
  runs: number,
  play: (scenario: Scenario) => Promise<{ broken: readonly string[]; story: readonly string[] }>,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(anyScenario, async (scenario) => {
      const { broken, story } = await play(scenario);
      if (broken.length > 0) throw new Error(`${broken.join("\n")}\n${story.join("\n")}`);
    }),
    { numRuns: runs },
  );
}
