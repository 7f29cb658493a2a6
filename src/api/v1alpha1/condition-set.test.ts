import { describe, expect, it } from "vitest";
import { findCondition, setCondition } from "./condition-set.ts";
import type { Condition } from "./fields.ts";

const noon = Date.parse("2026-11-23T12:00:00.456Z");
const ready = { type: "Ready", status: "False", reason: "Saving", message: "memory is being saved" } as const;
const other: Condition = { ...ready, type: "Stalled", lastTransitionTime: "2026-11-23T11:00:00Z" };

describe("setCondition", () => {
  it("adds a missing condition with whole seconds and leaves the others alone", () => {
    const result = setCondition([other], { ...ready, observedGeneration: 2 }, noon);
    expect(result).toEqual([other, { ...ready, observedGeneration: 2, lastTransitionTime: "2026-11-23T12:00:00Z" }]);
  });

  it("keeps lastTransitionTime while the status stays, even when reason and message change", () => {
    const before = setCondition([], ready, noon);
    const after = setCondition(before, { ...ready, reason: "Held", message: "held" }, noon + 60_000);
    expect(after).toEqual([{ ...ready, reason: "Held", message: "held", lastTransitionTime: "2026-11-23T12:00:00Z" }]);
  });

  it("moves lastTransitionTime when the status flips, and keeps the place in the list", () => {
    const before = setCondition([], ready, noon);
    const after = setCondition([...before, other], { ...ready, status: "True" }, noon + 60_000);
    expect(after[0]).toMatchObject({ status: "True", lastTransitionTime: "2026-11-23T12:01:00Z" });
    expect(after[1]).toBe(other);
  });

  it("does not change the list that it was given", () => {
    const before: readonly Condition[] = Object.freeze([other]);
    setCondition(before, { ...other, status: "True" }, noon);
    expect(findCondition(before, "Stalled")).toEqual(other);
  });

  it("shortens a message to what the API server takes", () => {
    const [condition] = setCondition([], { ...ready, message: "x".repeat(40_000) }, noon);
    expect(condition?.message).toHaveLength(32_768);
  });
});
