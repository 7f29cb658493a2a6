// Goals of `wait --for`.

import { expect, test } from "vitest";
import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { parseWaitGoal } from "./wait-goal.ts";

function snapshot(status: DomainSnapshot["status"]): DomainSnapshot {
  return {
    apiVersion: "domainsnapshot.io/v1alpha1",
    kind: "DomainSnapshot",
    metadata: { name: "a" },
    spec: { domainRef: { name: "vm" }, capture: "paused", quiesce: "Never", deletionPolicy: "Retain" },
    status,
  };
}

test("a phase is a goal, whatever its case", () => {
  const goal = parseWaitGoal("completed");
  expect(goal.reached(snapshot({ phase: "Resuming" }))).toBe(false);
  expect(goal.reached(snapshot({ phase: "Completed" }))).toBe(true);
});

test("a condition is a goal: True unless told otherwise", () => {
  const ready = { type: "Ready", lastTransitionTime: "2026-01-01T00:00:00Z", reason: "Failed", message: "" };
  const failed = snapshot({ conditions: [{ ...ready, status: "False" }] });
  expect(parseWaitGoal("condition=Ready").reached(failed)).toBe(false);
  expect(parseWaitGoal("condition=Ready=False").reached(failed)).toBe(true);
});

test.each(["", "Done", "condition=", "condition=Ready=Maybe"])("%j is refused with what there is", (text) => {
  expect(() => parseWaitGoal(text)).toThrow(/--for: .*Completed, Failed, or condition=TYPE/);
});
