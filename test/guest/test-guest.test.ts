// The judge of every restore test, judged: it must pass what is right and catch what is wrong.

import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { ensureGuestImage } from "./image.ts";
import { ensureQemu, type Qemu, qemuVersions } from "./qemu.ts";
import { RawMonitor } from "./raw-monitor.ts";
import { restoreGuest } from "./restore.ts";
import { createDisk, type GuestDisk, TestGuest } from "./test-guest.ts";

const image = ensureGuestImage();
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "dsnap-guest-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

function disks(qemu: Qemu): GuestDisk[] {
  return [
    { name: "vda", format: "raw", path: createDisk(qemu, join(directory, "vda.raw"), "raw") },
    { name: "vdb", format: "qcow2", path: createDisk(qemu, join(directory, "vdb.qcow2"), "qcow2") },
    { name: "vdc", format: "raw", path: createDisk(qemu, join(directory, "vdc.raw"), "raw") },
    { name: "sda", format: "raw", path: createDisk(qemu, join(directory, "cd.iso"), "raw", 1), bus: "cdrom" },
    { name: "sdb", bus: "cdrom" },
  ];
}

/** Stops the guest and saves its memory; it stays stopped. */
async function saveMemory(monitor: RawMonitor): Promise<void> {
  await monitor.execute("stop");
  await monitor.execute("migrate", { uri: `exec:cat > ${join(directory, "memory")}` });
  const status = z.looseObject({ status: z.string() });
  while (status.parse(await monitor.execute("query-migrate")).status !== "completed") await delay(20);
}

async function copyDisk(disk: GuestDisk): Promise<GuestDisk> {
  const path = `${disk.path}.copy`;
  await copyFile(disk.path ?? "", path);
  return { ...disk, path };
}

async function copies(of: readonly GuestDisk[]): Promise<GuestDisk[]> {
  return await Promise.all(of.map(async (disk) => (disk.path === undefined ? disk : await copyDisk(disk))));
}

async function writeManifest(): Promise<string> {
  const manifestPath = join(directory, "snapshot.json");
  const restore = { capabilities: [], parameters: {}, uri: `exec:cat ${join(directory, "memory")}` };
  await writeFile(manifestPath, JSON.stringify({ restore }));
  return manifestPath;
}

test.for(qemuVersions)("memory and disks of one instant restore without a mismatch (QEMU %s)", async (version) => {
  const qemu = ensureQemu(version);
  const source = disks(qemu);
  await using guest = await TestGuest.start({ qemu, image, directory, disks: source });
  using monitor = await RawMonitor.connect(guest.testMonitorPath);
  await saveMemory(monitor);
  const saved = await copies(source);
  const lastTick = guest.lastTick;
  await monitor.execute("cont");
  await guest.waitForMoreTicks();
  expect(guest.mismatch(["vda", "vdb", "vdc"])).toBeUndefined();

  const options = { qemu, image, directory, disks: saved, name: "restored", uuid: guest.uuid };
  const manifestPath = await writeManifest();
  await using restored = await restoreGuest({ guest: options, manifestPath, checkDisks: ["vda", "vdb", "vdc"] });
  expect(restored.mismatch).toBeUndefined();
  expect(restored.firstTick - lastTick).toBeGreaterThanOrEqual(0);
  expect(restored.firstTick - lastTick).toBeLessThanOrEqual(1);
});

test.for(qemuVersions)(
  "a disk of another instant than the memory is caught, and only that disk (QEMU %s)",
  async (version) => {
    const qemu = ensureQemu(version);
    const source = disks(qemu);
    await using guest = await TestGuest.start({ qemu, image, directory, disks: source });
    using monitor = await RawMonitor.connect(guest.testMonitorPath);
    await saveMemory(monitor);
    const saved = await copies(source);
    await monitor.execute("cont");
    await guest.waitForMoreTicks(3);
    await monitor.execute("stop");
    const [vda] = source;
    if (vda === undefined) throw new Error("no vda");
    await copyDisk(vda);

    const options = { qemu, image, directory, disks: saved, name: "restored", uuid: guest.uuid };
    const manifestPath = await writeManifest();
    await using restored = await restoreGuest({ guest: options, manifestPath, checkDisks: ["vda"] });
    expect(restored.mismatch).toMatch(/vda MISMATCH\(slot \d+ holds \d+, not \d+\)/);
    expect(restored.guest.mismatch(["vdb", "vdc"])).toBeUndefined();
  },
);

test("a disk from before the memory's instant is caught too", async () => {
  const qemu = ensureQemu("7.2");
  const source = disks(qemu);
  await using guest = await TestGuest.start({ qemu, image, directory, disks: source });
  using monitor = await RawMonitor.connect(guest.testMonitorPath);
  await monitor.execute("stop");
  const early = await copies(source);
  await monitor.execute("cont");
  await guest.waitForMoreTicks(3);
  await saveMemory(monitor);
  const options = { qemu, image, directory, disks: early, name: "restored", uuid: guest.uuid };
  const manifestPath = await writeManifest();
  await using restored = await restoreGuest({ guest: options, manifestPath, checkDisks: ["vdb"] });
  expect(restored.mismatch).toMatch(/vdb MISMATCH/);
});
