// Promise 1 of the engine: whatever goes wrong, at whatever command, in however many lives of the program, the guest ends
// as it was, nothing of others is touched, nothing of ours is left over, and what is called Completed is of one instant.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { play, type Scenario } from "./scenario.ts";
import { type Fault, faultKinds } from "./simulated-process.ts";

const runs = Number(process.env["DSNAP_FAULT_RUNS"] ?? 1000);

const fault: fc.Arbitrary<Fault> = fc.record({ at: fc.nat(70), kind: fc.constantFrom(...faultKinds) });

const scenario: fc.Arbitrary<Scenario> = fc.record({
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
  lives: fc.array(fc.array(fault, { maxLength: 3 }), { minLength: 1, maxLength: 3 }),
});

const calm: Scenario = {
  ...{
    major: 7,
    capture: "paused",
    memory: true,
    ranBefore: true,
    drive: false,
    manual: true,
    announce: false,
    lent: false,
  },
  decision: { word: "Released", afterSeconds: 5 },
  lives: [[]],
};

describe("the engine on a simulated guest", () => {
  test.for([7, 10] as const)("completes when nothing goes wrong (QEMU %i)", async (major) => {
    for (const capture of ["paused", "live"] as const) {
      const { report, broken, story } = await play({ ...calm, major, capture });
      expect({ phase: report.phase, broken }, story.join("\n")).toEqual({ phase: "Completed", broken: [] });
    }
  });

  test("resumes by itself at the deadline, and keeps what it took", async () => {
    const { report, broken } = await play({ ...calm, decision: { word: "Released", afterSeconds: 700 } });
    expect(report.error?.reason).toBe("HoldExpired");
    expect(broken).toEqual([]);
  });

  test("is judged by checks that notice a lost write", async () => {
    const { broken } = await play({
      ...calm,
      memory: false,
      ranBefore: false,
      lives: [[{ at: 10, kind: "loseWrites" }]],
    });
    expect(broken).toContainEqual(expect.stringMatching(/reads \S+ where the guest wrote/));
  });

  test(`keeps its promises through any faults, restarts and inputs (${runs} runs)`, {
    timeout: 3_600_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async (one) => {
        const { broken, report, story } = await play(one);
        expect(
          broken,
          `${report.phase} ${report.error?.reason}: ${report.error?.message}\n${story.join("\n")}`,
        ).toEqual([]);
      }),
      { numRuns: runs, endOnFailure: false },
    );
  });
});
