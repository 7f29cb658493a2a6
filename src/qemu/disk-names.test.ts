import { describe, expect, it } from "vitest";
import { indexToDiskName, nameDisks } from "./disk-names.ts";
import { shellQuoted } from "./memory-writer.ts";

const disk = {
  driver: "virtio-blk-pci",
  readOnly: false,
  empty: false,
  bitmaps: [],
  lun: false,
  transient: false,
  shareRw: false,
};

describe("nameDisks", () => {
  it("names by bus and order, as libvirt does", () => {
    const buses = ["virtio", "sata", "virtio", "scsi", "ide"];
    const named = nameDisks(
      buses.map((bus) => ({ ...disk, bus })),
      [],
    );
    expect(named.map(({ name }) => name)).toEqual(["vda", "sda", "vdb", "sdb", "hda"]);
    expect([0, 25, 26, 701, 702].map((index) => indexToDiskName(index, "vd"))).toEqual([
      "vda",
      "vdz",
      "vdaa",
      "vdzz",
      "vdaaa",
    ]);
  });

  it("lets the configuration name a disk by device, node or serial, and keeps other disks off that name", () => {
    const disks = [
      { ...disk, bus: "virtio", qdev: "/machine/peripheral/disk0" },
      { ...disk, bus: "virtio", formatNode: "data" },
      { ...disk, bus: "virtio", serial: "S1" },
      { ...disk, bus: "virtio" },
    ];
    const named = nameDisks(disks, [
      { name: "vdd", qdev: "disk0", defaultSnapshot: "manual" },
      { name: "vda", node: "data" },
      { name: "vdc", serial: "S1" },
    ]);
    expect(named.map(({ name }) => name)).toEqual(["vdd", "vda", "vdc", "vdb"]);
    expect(named[0]).toMatchObject({ defaultSnapshot: "manual" });
  });

  it("takes a naming with nothing to find by for the disk that gets the name by order", () => {
    const [first] = nameDisks([{ ...disk, bus: "virtio" }], [{ name: "vda", persistentVolumeClaimName: "root" }]);
    expect(first).toMatchObject({ name: "vda", persistentVolumeClaimName: "root" });
  });
});

describe("shellQuoted", () => {
  it("makes one word of anything", () => {
    expect(shellQuoted("a'b $(c)")).toBe("'a'\\''b $(c)'");
  });
});
