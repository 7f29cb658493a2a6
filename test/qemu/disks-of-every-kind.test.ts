// Disks that are not plain -blockdev virtio disks: `-drive`, a throttle filter on top, vhost-user-blk. Found, switched, taken back.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Guest } from "../../src/qemu/guest.ts";
import { systemClock as clock } from "../../src/runtime/clock.ts";
import { createLogger } from "../../src/runtime/log.ts";
import { planSnapshot } from "../../src/snapshot/plan.ts";
import { runSnapshot, type SnapshotReport } from "../../src/snapshot/run.ts";
import { ensureGuestImage } from "../guest/image.ts";
import { ensureQemu, type Qemu, qemuVersions } from "../guest/qemu.ts";
import { createDisk, TestGuest } from "../guest/test-guest.ts";

describe.each(qemuVersions)("QEMU %s", (version) => {
  let qemu: Qemu;
  let directory: string;
  let storageDaemon: ChildProcess;
  let testGuest: TestGuest;
  let guest: Guest;

  beforeEach(async () => {
    qemu = ensureQemu(version);
    directory = await mkdtemp(join(tmpdir(), "dsnap-disks-"));
    storageDaemon = await startStorageDaemon(qemu, directory);
    const drive = createDisk(qemu, join(directory, "drive.qcow2"), "qcow2");
    const throttled = createDisk(qemu, join(directory, "throttled.raw"), "raw");
    testGuest = await TestGuest.start({
      ...{ qemu, directory, image: ensureGuestImage(), disks: [] },
      extraArgs: [
        ...["-object", "memory-backend-memfd,id=ram0,size=256M,share=on", "-machine", "memory-backend=ram0"],
        ...["-drive", `file=${drive},if=virtio,format=qcow2,id=drive0`],
        ...["-blockdev", `driver=file,node-name=throttled-storage,filename=${throttled}`],
        ...["-blockdev", "driver=raw,node-name=throttled-format,file=throttled-storage"],
        ...["-object", "throttle-group,id=group0,x-iops-total=10000"],
        ...["-blockdev", "driver=throttle,node-name=throttle0,throttle-group=group0,file=throttled-format"],
        ...["-device", "virtio-blk-pci,drive=throttle0,id=throttled"],
        ...["-chardev", `socket,id=vhost0,path=${join(directory, "vhost.sock")}`],
        ...["-device", "vhost-user-blk-pci,chardev=vhost0,id=vhost"],
      ],
    });
    guest = await Guest.open({ monitorPath: testGuest.monitorPath });
  }, 600_000);

  afterEach(async () => {
    await guest[Symbol.asyncDispose]();
    await testGuest.stop();
    storageDaemon.kill("SIGKILL");
    await rm(directory, { recursive: true, force: true });
  });

  async function snapshot(decision: "Aborted" | "Released"): Promise<SnapshotReport> {
    const disks = await guest.disks();
    const request = { namespace: "ns", name: "s1", uid: "12345678", capture: "paused", quiesce: "Never" } as const;
    const wanted = { memory: { snapshot: "external" }, disks: [{ name: "vdc", snapshot: "manual" }] } as const;
    const plan = planSnapshot({ ...request, ...wanted }, { state: "Running", disks });
    const domain = {
      namespace: "ns",
      name: "guest",
      monitorPath: testGuest.monitorPath,
      monitor: "dedicated",
    } as const;
    let desired: "Held" | "Aborted" | "Released" = "Held";
    let changed = Promise.withResolvers<void>();
    return await runSnapshot(
      { ...request, plan, domain: { ...domain, snapshotDirectory: directory, allowedDirectories: [] } },
      {
        guest,
        control: { desired: () => desired, hold: () => plan.hold, wait: () => changed.promise },
        journalDirectory: join(directory, "journals"),
        lockDirectory: join(directory, "locks"),
        onReport: ({ phase }) => {
          if (phase !== "ManualStoragePending" || desired !== "Held") return;
          desired = decision;
          const before = changed;
          changed = Promise.withResolvers();
          before.resolve();
        },
        clock,
        log: createLogger({ level: "silent" }),
        signal: new AbortController().signal,
      },
    );
  }

  test("finds a -drive, the image below a throttle filter, and a vhost-user-blk disk, which is none unless listed (checklist 19)", async () => {
    const disks = await guest.disks();
    expect(disks).toMatchObject([
      { name: "vda", driveId: "drive0", sourceType: "File", format: "qcow2" },
      { name: "vdb", deviceNode: "throttle0", formatNode: "throttled-format", storageNode: "throttled-storage" },
      { name: "vdc", driver: "vhost-user-blk-pci", sourceType: "VhostUser" },
    ]);
    const request = { namespace: "ns", name: "s1", uid: "12345678", capture: "paused", quiesce: "Never" } as const;
    const plan = planSnapshot({ ...request, memory: { snapshot: "external" } }, { state: "Running", disks });
    expect(plan.disks.map((disk) => disk.snapshot)).toEqual(["external", "external", "none"]);
  });

  test("an abort commits what cannot be switched back in place, and leaves no file", { timeout: 60_000 }, async () => {
    const images = async () => (await guest.disks()).map((disk) => [disk.name, disk.deviceNode, disk.filename]);
    const [before, files] = [await images(), await readdir(directory)];
    const report = await snapshot("Aborted");
    expect(report.error).toMatchObject({ reason: "Aborted", message: expect.not.stringContaining("not complete") });
    await testGuest.waitForMoreTicks();
    expect(testGuest.mismatch(["vda", "vdb", "vdc"])).toBeUndefined();
    expect(await images()).toEqual(before);
    expect((await readdir(directory)).filter((name) => !["journals", "locks"].includes(name))).toEqual(files);
  });

  test("a release leaves the throttle above the overlay", { timeout: 60_000 }, async () => {
    const report = await snapshot("Released");
    expect(report).toMatchObject({ phase: "Completed" });
    const [, throttled] = await guest.disks();
    expect(throttled).toMatchObject({ deviceNode: "throttle0", filename: join(directory, "throttled.s1") });
    await testGuest.waitForMoreTicks();
    expect(testGuest.mismatch(["vda", "vdb", "vdc"])).toBeUndefined();
  });
});

async function startStorageDaemon(qemu: Qemu, directory: string): Promise<ChildProcess> {
  const image = createDisk(qemu, join(directory, "vhost.raw"), "raw");
  const socket = join(directory, "vhost.sock");
  const address = `addr.type=unix,addr.path=${socket}`;
  const child = spawn(
    qemu.storageDaemon,
    [
      ...["--blockdev", `driver=file,node-name=disk0,filename=${image}`],
      ...["--export", `type=vhost-user-blk,id=export0,node-name=disk0,${address},writable=on`],
    ],
    { env: { ...process.env, ...qemu.env }, stdio: "ignore" },
  );
  await expect.poll(() => existsSync(socket), { timeout: 10_000 }).toBe(true);
  return child;
}
