// Promise 1 of the engine: whatever goes wrong, at whatever command, in however many lives of the program, the guest ends
// as it was, nothing of others is touched, nothing of ours is left over, and what is called Completed is of one instant.

import { describe, expect, test } from "vitest";
import { calm, keepsPromises } from "./arbitrary-scenario.ts";
import { play, type Scenario } from "./scenario.ts";

const runs = Number(process.env["DSNAP_FAULT_RUNS"] ?? 1000);

describe("the engine on a simulated guest", () => {
  test.for([7, 10] as const)("completes when nothing goes wrong (QEMU %i)", async (major) => {
    for (const capture of ["paused", "live"] as const) {
      const { report, broken, story } = await play({ ...calm, major, capture });
      expect({ phase: report.phase, broken }, story.join("\n")).toEqual({ phase: "Completed", broken: [] });
    }
  });

  test("resumes by itself at the deadline, and keeps what it took", async () => {
    const { report, broken, heldSeconds } = await play({ ...calm, decision: { word: "Released", afterSeconds: 700 } });
    expect(report.error?.reason).toBe("HoldExpired");
    expect(broken).toEqual([]);
    expect(heldSeconds).toBeCloseTo(600, 0);
  });

  test.for([
    ["back an hour, again and again", [-3_600_000, -3_600_000, -3_600_000]],
    ["ahead a day, and back", [86_400_000, -86_400_000]],
  ] as const)("keeps the deadline when the clock jumps %s", async ([, clockJumps]) => {
    const expired: Scenario = { ...calm, clockJumps, decision: { word: "Released", afterSeconds: 700 } };
    const { report, broken, heldSeconds } = await play(expired);
    expect({ reason: report.error?.reason, broken }).toEqual({ reason: "HoldExpired", broken: [] });
    expect(heldSeconds).toBeCloseTo(600, 0);
    // And a hold that is released in time is not cut short.
    const released = await play({ ...calm, clockJumps, decision: { word: "Released", afterSeconds: 590 } });
    expect(released.report.phase).toBe("Completed");
    expect(released.heldSeconds).toBeCloseTo(590, 0);
  });

  test("keeps the deadline through a life that was killed in the hold", async () => {
    // Dies at the hold's first look; the next life takes the hold up.
    const look = (await play(calm)).commands.lastIndexOf("query-blockstats");
    const killed: Scenario = {
      ...calm,
      decision: { word: "Released", afterSeconds: 700 },
      lives: [[{ at: look, kind: "crashBefore" }], []],
    };
    const { report, heldSeconds, story } = await play(killed);
    expect(report.error?.reason, story.join("\n")).toBe("HoldExpired");
    expect(heldSeconds).toBeCloseTo(600, 0);
  });

  test("is judged by checks that notice a lost write", async () => {
    const spoilt: Scenario = { ...calm, memory: false, ranBefore: false, lives: [[{ at: 10, kind: "loseWrites" }]] };
    expect((await play(spoilt)).broken).toContainEqual(expect.stringMatching(/reads \S+ where the guest wrote/));
  });

  test(`keeps its promises through any faults, restarts and inputs (${runs} runs)`, {
    timeout: 3_600_000,
  }, async () => {
    await keepsPromises(runs, play);
  });
});
