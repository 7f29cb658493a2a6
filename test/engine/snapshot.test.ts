// The engine on a real guest: what ends a hold, what is refused, what a rollback leaves. QEMU 7.2; one guest for all but the last.

import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Guest } from "../../src/qemu/guest.ts";
import { Migration } from "../../src/qemu/migration.ts";
import { systemClock as clock } from "../../src/runtime/clock.ts";
import { createLogger } from "../../src/runtime/log.ts";
import { settleJournal } from "../../src/snapshot/interrupted.ts";
import type { NodeDomain } from "../../src/snapshot/job.ts";
import { type HoldBound, type PlanRequest, planSnapshot } from "../../src/snapshot/plan.ts";
import { runSnapshot, type SnapshotReport } from "../../src/snapshot/run.ts";
import { ensureGuestImage } from "../guest/image.ts";
import { ensureQemu } from "../guest/qemu.ts";
import { RawMonitor } from "../guest/raw-monitor.ts";
import { createDisk, TestGuest } from "../guest/test-guest.ts";

let directory: string;
let testGuest: TestGuest;
let monitor: RawMonitor;
let count = 0;

async function startGuest(): Promise<void> {
  const qemu = ensureQemu("7.2");
  directory = await mkdtemp(join(tmpdir(), "dsnap-engine-"));
  await mkdir(join(directory, "snapshots"));
  const vda = createDisk(qemu, join(directory, "vda.raw"), "raw");
  const vdb = createDisk(qemu, join(directory, "vdb.qcow2"), "qcow2");
  testGuest = await TestGuest.start({
    ...{ qemu, directory, image: ensureGuestImage(), touchMebibytes: 32 },
    disks: [
      { name: "vda", format: "raw", path: vda },
      { name: "vdb", format: "qcow2", path: vdb },
    ],
  });
  monitor = await RawMonitor.connect(testGuest.testMonitorPath);
}

async function stopGuest(): Promise<void> {
  monitor[Symbol.dispose]();
  await testGuest.stop();
  await rm(directory, { recursive: true, force: true });
}

interface Script {
  readonly request?: Partial<PlanRequest>;
  readonly domain?: Partial<NodeDomain>;
  readonly expectedUuid?: string;
  readonly name?: string;
  readonly hold?: HoldBound;
  /** Runs once, when the hold has begun; what it resolves with decides, nothing leaves the hold to itself. */
  readonly onHold?: () => Promise<"Released" | "Aborted" | undefined>;
}

/** Memory, vda manual, vdb external, unless the script says otherwise. */
async function snapshot(script: Script = {}): Promise<{ report: SnapshotReport; phases: string[] }> {
  await using guest = await Guest.open({ monitorPath: testGuest.monitorPath });
  count += 1;
  const name = script.name ?? `s${count}`;
  const request: PlanRequest = {
    ...{ namespace: "ns", name, uid: `0000000${count}`.slice(-8), capture: "paused", quiesce: "Never" },
    memory: { snapshot: "external" },
    disks: [{ name: "vda", snapshot: "manual" }],
    ...script.request,
  };
  const plan = planSnapshot(request, { disks: await guest.disks() });
  const hold = script.hold ?? plan.hold;
  let desired: "Held" | "Released" | "Aborted" = "Held";
  let changed = Promise.withResolvers<void>();
  let deciding: Promise<void> | undefined;
  const decide = async () => {
    desired = (await (script.onHold ?? (async () => await Promise.resolve("Released" as const)))()) ?? "Held";
    const before = changed;
    changed = Promise.withResolvers();
    before.resolve();
  };
  const phases: string[] = [];
  const report = await runSnapshot(
    {
      ...{ uid: request.uid, namespace: "ns", name, plan },
      ...(script.expectedUuid !== undefined && { expectedUuid: script.expectedUuid }),
      domain: {
        ...{ namespace: "ns", name: "guest", monitorPath: testGuest.monitorPath, monitor: "dedicated" },
        ...{ snapshotDirectory: join(directory, "snapshots"), allowedDirectories: [] },
        ...script.domain,
      },
    },
    {
      guest,
      control: { desired: () => desired, hold: () => hold, wait: () => changed.promise },
      journalDirectory: join(directory, "journals"),
      lockDirectory: join(directory, "locks"),
      onReport: ({ phase }) => {
        if (phases.at(-1) !== phase) phases.push(phase);
        if (phase === "ManualStoragePending") deciding ??= decide();
      },
      clock,
      log: createLogger({ level: "silent" }),
      signal: new AbortController().signal,
    },
  );
  await deciding;
  await settleJournal({ directory: join(directory, "journals"), uid: request.uid });
  return { report, phases };
}

async function files(): Promise<string[]> {
  const all = await readdir(directory, { recursive: true });
  return all.filter((name) => !/^(journals|locks|guest\.)/.test(name)).toSorted();
}

async function expectRunning(): Promise<void> {
  expect(await monitor.runState()).toBe("running");
  await testGuest.waitForMoreTicks();
  expect(testGuest.mismatch(["vda", "vdb"])).toBeUndefined();
}

describe("a snapshot", () => {
  beforeAll(startGuest, 900_000);
  afterAll(stopGuest);
  afterEach(async () => {
    if ((await monitor.runState()) !== "running") await monitor.execute("cont");
  });

  test("checklist 1, 2, 26, 29: pauses, saves, switches, holds, resumes; files are 0600, the journal is gone", async () => {
    let state = "";
    const { report, phases } = await snapshot({
      onHold: async () => {
        state = await monitor.runState();
        return "Released";
      },
    });
    expect(state).toBe("postmigrate");
    expect(phases).toEqual([
      "Preparing",
      "SavingMemory",
      "SwitchingDisks",
      "ManualStoragePending",
      "Resuming",
      "Completed",
    ]);
    expect(report).toMatchObject({ phase: "Completed", domainStateBefore: "Running" });
    const names = [
      report.pausedAt,
      report.memorySavedAt,
      report.disksSwitchedAt,
      report.manualStoragePendingAt,
      report.resumedAt,
    ];
    expect(names.toSorted((a, b) => (a ?? "").localeCompare(b ?? ""))).toEqual(names);
    for (const file of [`snapshots/${report.memory?.file}`, "vdb.s1"]) {
      expect((await stat(join(directory, file))).mode & 0o777).toBe(0o600);
    }
    expect(await readdir(join(directory, "journals"))).toEqual([]);
    await expectRunning();
  });

  test("checklist 3: live stops the guest only when its memory is saved", async () => {
    const { report } = await snapshot({ request: { capture: "live" } });
    expect(report).toMatchObject({ phase: "Completed" });
    await expectRunning();
  });

  test("puts QEMU's migration settings back, also after a failure", async () => {
    const migration = async () => {
      await using guest = await Guest.open({ monitorPath: testGuest.monitorPath });
      return await new Migration({ guest, clock }).settings();
    };
    const before = await migration();
    await snapshot({ request: { capture: "live" } });
    expect(await migration()).toEqual(before);
    await snapshot({ request: { capture: "live" }, onHold: async () => await Promise.resolve("Aborted") });
    expect(await migration()).toEqual(before);
  });

  test.each(["paused", "live"] as const)(
    "checklist 7, 9: an abort of a %s capture leaves guest and files as they were",
    async (capture) => {
      const before = await files();
      const { report } = await snapshot({ request: { capture }, onHold: async () => await Promise.resolve("Aborted") });
      expect(report.error).toMatchObject({ reason: "Aborted" });
      expect(report.memory).toBeUndefined();
      expect(await files()).toEqual(before);
      await expectRunning();
    },
  );

  test("checklist 6: a guest that was paused stays paused, after a release and after an abort", async () => {
    for (const decision of ["Released", "Aborted"] as const) {
      await monitor.execute("stop");
      const { report } = await snapshot({ onHold: async () => await Promise.resolve(decision) });
      expect(report).toMatchObject({
        domainStateBefore: "Paused",
        phase: decision === "Released" ? "Completed" : "Failed",
      });
      expect(await monitor.runState()).toBe("paused");
      await monitor.execute("cont");
      await expectRunning();
    }
  });

  test("checklist 48: a guest that somebody else resumes is HoldLost, and its files are kept", async () => {
    const { report } = await snapshot({ onHold: async () => void (await monitor.execute("cont")) });
    expect(report.error).toMatchObject({ reason: "HoldLost" });
    expect(await files()).toContain(`snapshots/${report.memory?.file}`);
    await expectRunning();
  });

  test("checklist 45: the deadline resumes the guest, ends HoldExpired and keeps the files", async () => {
    const hold = { timeoutSeconds: 1, onTimeout: "Resume" } as const;
    const { report } = await snapshot({ hold, onHold: async () => await Promise.resolve(undefined) });
    expect(report.error).toMatchObject({ reason: "HoldExpired" });
    expect(await files()).toContain(`snapshots/${report.memory?.file}`);
    await expectRunning();
  });

  test("checklist 10, 11: an existing memory file or overlay is refused and left alone", async () => {
    await writeFile(join(directory, "snapshots", "precious"), "memory");
    await writeFile(join(directory, "precious"), "disk");
    const before = await files();
    const memory = { snapshot: "external", file: "precious" } as const;
    expect((await snapshot({ request: { memory } })).report.error).toMatchObject({ reason: "FileExists" });
    const disks = [{ name: "vdb", source: { file: "precious" } }];
    expect((await snapshot({ request: { disks } })).report.error).toMatchObject({ reason: "FileExists" });
    expect(await files()).toEqual(before);
    expect(await readFile(join(directory, "precious"), "utf8")).toBe("disk");
    await expectRunning();
  });

  test("checklist 20: a snapshot named as an earlier one collides with its overlay and is refused", async () => {
    expect((await snapshot({ name: "s1" })).report.error).toMatchObject({ reason: "FileExists" });
  });

  test("refuses a guest with another UUID", async () => {
    const { report } = await snapshot({ expectedUuid: "00000000-0000-0000-0000-000000000001" });
    expect(report.error).toMatchObject({ reason: "IdentityMismatch", step: "prepare" });
    expect(report.pausedAt).toBeUndefined();
  });

  test("checklist 21: a block job refuses the disk, unless its mode is none", async () => {
    const target = join(directory, "mirror.raw");
    await monitor.execute("drive-mirror", {
      device: "vda-format",
      target,
      sync: "full",
      "job-id": "mirror",
      mode: "absolute-paths",
    });
    try {
      expect((await snapshot()).report.error).toMatchObject({
        reason: "DomainBusy",
        message: expect.stringContaining("vda"),
      });
      const disks = [{ name: "vda", snapshot: "none" } as const];
      expect((await snapshot({ request: { disks } })).report).toMatchObject({ phase: "Completed" });
    } finally {
      await monitor.execute("block-job-cancel", { device: "mirror", force: true });
    }
    await expectRunning();
  });

  test("checklist 30: a persistent recording bitmap goes on in the overlay", async () => {
    const node = async () => {
      await using guest = await Guest.open({ monitorPath: testGuest.monitorPath });
      return (await guest.disks()).find((disk) => disk.name === "vdb");
    };
    await monitor.execute("block-dirty-bitmap-add", {
      node: (await node())?.formatNode,
      name: "backup0",
      persistent: true,
    });
    await snapshot();
    expect((await node())?.bitmaps).toMatchObject([{ name: "backup0", persistent: true, recording: true }]);
  });

  test("tells whoever starts the guest of the new image before the hold, and of the old one after an abort", async () => {
    const script = join(directory, "snapshots", "disk-changed");
    const heard = join(directory, "snapshots", "heard");
    await writeFile(script, `#!/bin/sh\ncat >> ${heard}\n`);
    await chmod(script, 0o755);
    let before = "";
    await snapshot({
      domain: { diskChangeCommand: [script] },
      onHold: async () => {
        before = await readFile(heard, "utf8");
        return "Aborted";
      },
    });
    const told = JSON.parse(before);
    expect(told).toMatchObject({ disk: "vdb", domain: { name: "guest" }, chain: [told.newPath, told.oldPath] });
    const [, again] = (await readFile(heard, "utf8")).trim().split("\n");
    expect(JSON.parse(again ?? "")).toMatchObject({ oldPath: told.newPath, newPath: told.oldPath });
    await writeFile(script, "#!/bin/sh\necho no such guest >&2\nexit 3\n");
    const { report } = await snapshot({ domain: { diskChangeCommand: [script] } });
    expect(report.error).toMatchObject({
      reason: "DiskChangeFailed",
      message: expect.stringContaining("no such guest"),
    });
    await expectRunning();
  });
});

describe("a guest that dies in the hold", () => {
  beforeAll(startGuest, 900_000);
  afterAll(stopGuest);

  test("ends GuestLost; its overlay and its memory, which was whole, are kept and listed", {
    timeout: 60_000,
  }, async () => {
    const { report } = await snapshot({
      onHold: async () => {
        await testGuest.stop();
        return undefined;
      },
    });
    expect(report).toMatchObject({ phase: "Failed", error: { reason: "GuestLost" } });
    const overlay = report.disks?.find((disk) => disk.name === "vdb")?.overlay;
    expect(await files()).toContain(overlay?.split("/").at(-1));
    expect(await readdir(join(directory, "snapshots"))).toEqual([report.memory?.file]);
  });
});
