import { describe, expect, it } from "vitest";
import { type PlanDomain, type PlanRequest, planSnapshot } from "./plan.ts";

const disk = { readOnly: false, empty: false, sourceType: "File" };
const domain: PlanDomain = {
  state: "Running",
  disks: [
    { ...disk, name: "vda", defaultSnapshot: "manual" },
    { ...disk, name: "vdb" },
    { ...disk, name: "vdc", sourceType: "VhostUser", externalRefusal: "QEMU does not open its image" },
    { ...disk, name: "sda", readOnly: true, externalRefusal: "it is read-only" },
    { ...disk, name: "sdb", readOnly: true, empty: true },
  ],
  captureModes: ["paused", "live"],
};
const request: PlanRequest = { namespace: "ns", name: "s", uid: "u", capture: "paused", quiesce: "Never" };
const external = { snapshot: "external" } as const;

function modes(change: Partial<PlanRequest>): string[] {
  return planSnapshot({ ...request, ...change }, domain).disks.map(({ name, snapshot }) => `${name}=${snapshot}`);
}

describe("planSnapshot", () => {
  it("checklist 19: gives unlisted disks none, the domain's default, else external", () => {
    const all = ["vda=manual", "vdb=external", "vdc=none", "sda=none", "sdb=none"];
    expect(modes({ memory: external })).toEqual(all);
    expect(modes({})).toEqual(all);
  });

  it('takes "no" for none, and source or driver for external', () => {
    const disks = [{ name: "vda", snapshot: "no" } as const, { name: "vdb", source: { file: "x" } }];
    expect(modes({ memory: external, disks })).toEqual([
      "vda=none",
      "vdb=external",
      "vdc=none",
      "sda=none",
      "sdb=none",
    ]);
  });

  it("lets a manual disk be read-only, empty or vhost-user, as libvirt does", () => {
    const disks = ["vdc", "sda", "sdb"].map((name) => ({ name, snapshot: "manual" }) as const);
    expect(modes({ disks }).slice(2)).toEqual(["vdc=manual", "sda=manual", "sdb=manual"]);
  });

  it("checklist 31: accepts manual disks alone as a coordinated pause", () => {
    const disks = [{ name: "vda", snapshot: "manual" } as const, { name: "vdb", snapshot: "none" } as const];
    expect(planSnapshot({ ...request, disks }, domain).memory).toEqual({ snapshot: "none" });
  });

  it("fills the hold's default in", () => {
    const { hold } = planSnapshot({ ...request, memory: external }, domain);
    expect(hold).toEqual({ timeoutSeconds: 600, onTimeout: "Resume" });
  });

  const none = ["vda", "vdb"].map((name) => ({ name, snapshot: "none" }) as const);
  const refusals: readonly [string, Partial<PlanRequest>, Partial<PlanDomain>, string][] = [
    ["checklist 18: an unknown disk", { disks: [{ name: "vdz", snapshot: "manual" }] }, {}, "InvalidDisk"],
    ["checklist 18: a disk listed twice", { disks: [none[0], none[0]].flatMap((d) => d ?? []) }, {}, "InvalidDisk"],
    [
      "checklist 17: a source on a manual disk",
      { disks: [{ name: "vda", snapshot: "manual", source: { file: "x" } }] },
      {},
      "InvalidDisk",
    ],
    ["external on a vhost-user disk", { disks: [{ name: "vdc", snapshot: "external" }] }, {}, "InvalidDisk"],
    ["external on an empty drive", { disks: [{ name: "sdb", snapshot: "external" }] }, {}, "InvalidDisk"],
    ["checklist 32: nothing selected", { disks: none }, {}, "NothingSelected"],
    ["checklist 14: a file without external memory", { memory: { snapshot: "none", file: "x" } }, {}, "InvalidSpec"],
    ["checklist 33: live without memory", { capture: "live" }, {}, "InvalidSpec"],
    [
      "checklist 33: live on a paused guest",
      { capture: "live", memory: external },
      { state: "Paused" },
      "DomainNotRunning",
    ],
    ["a capture the guest cannot do", { capture: "background", memory: external }, {}, "CaptureUnavailable"],
    ["quiesce with memory", { quiesce: "Required", memory: external }, {}, "InvalidSpec"],
    ["checklist 35: a suspended guest", { memory: external }, { state: "Suspended" }, "DomainNotRunning"],
    ["a guest in migration", { memory: external }, { state: "Migrating" }, "DomainBusy"],
  ];
  it.each(refusals)("refuses %s", (_what, change, known, reason) => {
    expect(() => planSnapshot({ ...request, ...change }, { ...domain, ...known })).toThrow(
      expect.objectContaining({ reason }),
    );
  });
});
