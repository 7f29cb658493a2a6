import { describe, expect, test } from "vitest";
import { contentSpec } from "../api/v1alpha1/domain-snapshot-content.ts";
import { planContent } from "./plan-content.ts";
import { aDomain, aSnapshot, domainUuid, nodeName, snapshotUid } from "./testing/objects.ts";

const ready = (status: "True" | "False" | "Unknown", reason: string) => [
  { type: "Ready", status, reason, message: "the socket is gone", lastTransitionTime: "2026-01-01T00:00:00Z" },
];

describe("the plan of a Content", () => {
  test("names the node, the guest, its request, and a mode for every disk (36)", () => {
    const plan = planContent(aSnapshot({ spec: { description: "before" } }), aDomain());
    if (plan.kind !== "Planned") throw new Error(plan.message);
    expect(plan.spec).toMatchObject({
      snapshotRef: { namespace: "shop", name: "before-upgrade", uid: snapshotUid },
      nodeName,
      domain: { namespace: "shop", name: "db-1", uuid: domainUuid },
      capture: "paused",
      memory: { snapshot: "external" },
      hold: { timeoutSeconds: 600, onTimeout: "Resume" },
      desired: "Held",
      deletionPolicy: "Retain",
      description: "before",
    });
    expect(plan.spec.disks.map((disk) => `${disk.name} ${disk.snapshot}`)).toEqual([
      "vda manual",
      "vdb external",
      "sda none",
    ]);
    expect(contentSpec.safeParse(plan.spec).error).toBeUndefined();
  });

  test("is refused when there is no such domain, with where to look", () => {
    expect(planContent(aSnapshot(), undefined)).toMatchObject({
      kind: "Refused",
      reason: "DomainNotFound",
      message: expect.stringContaining("kubectl get domains -n shop"),
    });
  });

  test("is refused for an unknown disk (18)", () => {
    const snapshot = aSnapshot({ spec: { disks: [{ name: "vdz", snapshot: "manual" }] } });
    expect(planContent(snapshot, aDomain())).toMatchObject({ kind: "Refused", reason: "InvalidDisk" });
  });

  test("is refused when nothing is selected (32)", () => {
    const snapshot = aSnapshot({
      spec: {
        memory: { snapshot: "none" },
        disks: ["vda", "vdb"].map((name) => ({ name, snapshot: "none" as const })),
      },
    });
    expect(planContent(snapshot, aDomain())).toMatchObject({ kind: "Refused", reason: "NothingSelected" });
  });

  test("is refused while the guest does not run", () => {
    expect(planContent(aSnapshot(), aDomain({ state: "ShutOff" }))).toMatchObject({
      kind: "Refused",
      reason: "DomainNotRunning",
    });
  });

  test("is refused while the agent cannot reach the guest, with the agent's reason", () => {
    for (const reason of ["MonitorUnavailable", "MonitorBusy", "IdentityMismatch"]) {
      expect(planContent(aSnapshot(), aDomain({ conditions: ready("False", reason) }))).toMatchObject({
        kind: "Refused",
        reason,
      });
    }
    expect(planContent(aSnapshot(), aDomain({ conditions: ready("True", "Connected") })).kind).toBe("Planned");
  });
});
