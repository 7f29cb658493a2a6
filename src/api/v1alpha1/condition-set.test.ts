import { describe, expect, it } from "vitest";
import { stampConditions } from "./condition-set.ts";
import type { Condition } from "./fields.ts";

const noon = Date.parse("2026-11-23T12:00:00.456Z");
const ready = { type: "Ready", status: "False", reason: "Saving", message: "memory is being saved" } as const;
const paused = { type: "GuestPaused", status: "True", reason: "Paused", message: "it stands" } as const;
const stalled = { type: "Stalled", status: "True", reason: "Aborted", message: "aborted" } as const;
const first = { generation: 1, now: noon };
const later = { generation: 2, now: noon + 60_000 };

const types = (conditions: readonly Condition[]) => conditions.map(({ type }) => type);

describe("stampConditions", () => {
  it("gives a new condition its generation and time, in whole seconds", () => {
    expect(stampConditions([ready], undefined, first)).toEqual([
      { ...ready, observedGeneration: 1, lastTransitionTime: "2026-11-23T12:00:00Z" },
    ]);
  });

  it("keeps lastTransitionTime while the status stays, even when reason, message and generation change", () => {
    const before = stampConditions([ready], [], first);
    expect(stampConditions([{ ...ready, reason: "Held", message: "held" }], before, later)).toEqual([
      {
        ...ready,
        reason: "Held",
        message: "held",
        observedGeneration: 2,
        lastTransitionTime: "2026-11-23T12:00:00Z",
      },
    ]);
  });

  it("moves lastTransitionTime of what flips, and only of that", () => {
    const before = stampConditions([ready, paused], [], first);
    const after = stampConditions([{ ...ready, status: "True" }, paused], before, later);
    expect(after.map(({ lastTransitionTime }) => lastTransitionTime)).toEqual([
      "2026-11-23T12:01:00Z",
      "2026-11-23T12:00:00Z",
    ]);
  });

  it("drops what is not observed any more; when it comes back its time is new", () => {
    const before = stampConditions([ready, stalled], [], first);
    const without = stampConditions([ready], before, first);
    expect(types(without)).toEqual(["Ready"]);
    expect(stampConditions([ready, stalled], without, later)[1]?.lastTransitionTime).toBe("2026-11-23T12:01:00Z");
  });

  it("keeps every condition in its place, whatever the order of the observations; new ones come last", () => {
    const before = stampConditions([ready, paused], [], first);
    expect(types(stampConditions([stalled, paused, ready], before, later))).toEqual([
      "Ready",
      "GuestPaused",
      "Stalled",
    ]);
  });

  it("says no generation when none is known", () => {
    const [condition] = stampConditions([ready], [], { generation: undefined, now: noon });
    expect(condition).not.toHaveProperty("observedGeneration");
  });

  it("changes neither list that it was given", () => {
    const before = Object.freeze(stampConditions([ready, paused], [], first));
    const observations = Object.freeze([stalled, paused, ready]);
    stampConditions(observations, before, later);
    expect(types(before)).toEqual(["Ready", "GuestPaused"]);
    expect(observations[0]).toBe(stalled);
  });

  it("shortens a message to what the API server takes", () => {
    const [condition] = stampConditions([{ ...ready, message: "x".repeat(40_000) }], [], first);
    expect(condition?.message).toHaveLength(32_768);
  });
});
