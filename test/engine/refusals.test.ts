// What the engine refuses, on a real guest: each time guest and files are as they were. One guest per QEMU for all of it.

import { once } from "node:events";
import { mkdir, mkdtemp, rename, rm, symlink } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, type TestContext, test } from "vitest";
import type { PlanRequest } from "../../src/snapshot/plan.ts";
import type { SnapshotReport } from "../../src/snapshot/run.ts";
import { qemuVersions } from "../guest/qemu.ts";
import { RawMonitor } from "../guest/raw-monitor.ts";
import { SmallFileSystem } from "../guest/small-file-system.ts";
import { createDisk } from "../guest/test-guest.ts";
import { EngineFixture, type Script } from "./engine-fixture.ts";

const otherUuid = "00000000-0000-0000-0000-000000000001";

describe.each(qemuVersions)("refused (QEMU %s)", (version) => {
  let fixture: EngineFixture;

  beforeAll(async () => {
    fixture = await EngineFixture.start(version);
    await mkdir(join(fixture.directory, "elsewhere"));
    await symlink(join(fixture.directory, "elsewhere"), join(fixture.directory, "snapshots", "way-out"));
  }, 900_000);
  afterAll(async () => await fixture?.[Symbol.asyncDispose]());
  afterEach(async () => await fixture.letRun());

  /** A snapshot that fails and leaves everything as it was. */
  async function failed(script: Script): Promise<NonNullable<SnapshotReport["error"]>> {
    const before = await fixture.footprint();
    const { report } = await fixture.snapshot(script);
    expect(report.phase).toBe("Failed");
    expect(report).not.toHaveProperty("memory");
    expect(report).not.toHaveProperty("manifest");
    expect(report.disks?.map((disk) => disk.overlay).filter((overlay) => overlay !== undefined) ?? []).toEqual([]);
    expect(await fixture.footprint()).toEqual(before);
    return report.error ?? { reason: "", message: "" };
  }

  /** One that fails before it has begun: the guest has not even been stopped. */
  async function refused(script: Script): Promise<NonNullable<SnapshotReport["error"]>> {
    fixture.monitor.events.length = 0;
    const error = await failed({
      ...script,
      onHold: () => expect.unreachable("the guest must not be held"),
    });
    expect(fixture.monitor.events).not.toContain("STOP");
    expect(fixture.monitor.events).not.toContain("RESUME");
    return error;
  }

  function smallFileSystem(skip: TestContext["skip"], mebibytes: number): SmallFileSystem {
    const mounted = SmallFileSystem.mount(fixture.directory, mebibytes);
    if (typeof mounted !== "string") return mounted;
    console.warn(`NOT TESTED: a full file system; no tmpfs can be mounted here: ${mounted}`);
    return skip(`no tmpfs can be mounted: ${mounted}`);
  }

  test("a snapshot directory without room for the memory", async ({ skip }) => {
    using small = smallFileSystem(skip, 1);
    expect(await refused({ domain: { snapshotDirectory: small.path } })).toMatchObject({
      reason: "NoSpace",
      step: "prepare",
      message: expect.stringContaining(`${small.path} has 1 MiB free, the guest's memory needs 320 MiB`),
    });
    await fixture.expectRunning();
  });

  test("an overlay on a file system that is full", async ({ skip }) => {
    using small = smallFileSystem(skip, 1);
    small.fill({ leave: 0 });
    const disks = [{ name: "vdb", source: { file: join(small.path, "vdb.overlay") } }];
    expect(await refused({ request: { disks }, domain: { allowedDirectories: [small.path] } })).toMatchObject({
      reason: "DiskSwitchFailed",
      step: "createOverlays",
      message: expect.stringContaining("No space left on device"),
    });
    await fixture.expectRunning();
  });

  // 7.2 writes through a child process and sees only that it has gone.
  const fullFileSystem = { "7.2": "Broken pipe", "10.0": "No space left on device" }[version];

  test.for(["paused", "live"] as const)(
    `a file system that fills up while memory is saved by capture %s; QEMU ${version} calls it "${fullFileSystem}"`,
    async (capture, { skip }) => {
      using small = smallFileSystem(skip, 321);
      const error = await failed({
        request: { capture },
        domain: { snapshotDirectory: small.path },
        onPhase: (phase) => {
          if (phase === "SavingMemory") small.fill({ leave: 8 << 20 });
          if (phase === "Failed") small.empty();
        },
        onHold: () => expect.unreachable("the guest must not be held"),
      });
      expect(error).toMatchObject({ reason: "MemorySaveFailed", step: "saveMemory" });
      expect(error.message).toContain(fullFileSystem);
      await fixture.expectRunning();
    },
  );

  test("a guest whose memory QEMU cannot save, unless memory is left out", async () => {
    const { monitor, guest, directory } = fixture;
    const image = join(directory, "foreign.vmdk");
    createDisk(guest.options.qemu, image, "vmdk", 1);
    // The driver of this format holds back every migration for as long as it has an image open.
    const file = { driver: "file", filename: image };
    await monitor.execute("blockdev-add", { driver: "vmdk", "node-name": "foreign", file });
    try {
      expect(await refused({})).toMatchObject({
        reason: "MigrationBlocked",
        step: "prepare",
        message: expect.stringMatching(/vmdk format used by node 'foreign' does not support live migration/),
      });
      const withoutMemory = { memory: { snapshot: "none" } } as const;
      expect(await failed({ request: withoutMemory, onHold: () => "Aborted" })).toMatchObject({ reason: "Aborted" });
    } finally {
      await monitor.execute("blockdev-del", { "node-name": "foreign" });
      await rm(image);
    }
    await fixture.expectRunning();
  });

  test("a monitor that another client holds", async () => {
    using _other = await RawMonitor.connect(fixture.guest.monitorPath);
    expect(await refused({})).toMatchObject({
      reason: "MonitorBusy",
      step: "connect",
      message: expect.stringContaining("another client holds this monitor. Close it, or give"),
    });
    await fixture.expectRunning();
  });

  test("a monitor socket that was removed, or that nobody listens on any more", async () => {
    const { monitorPath } = fixture.guest;
    await rename(monitorPath, `${monitorPath}.away`);
    try {
      expect(await refused({})).toMatchObject({
        reason: "MonitorUnavailable",
        step: "connect",
        message: expect.stringContaining(`${monitorPath}: there is no such socket`),
      });
    } finally {
      await rename(`${monitorPath}.away`, monitorPath);
    }
    await using left = await abandonedSocket(fixture.directory);
    expect(await refused({ domain: { monitorPath: left.path } })).toMatchObject({
      reason: "MonitorUnavailable",
      step: "connect",
      message: expect.stringContaining("nobody listens there"),
    });
    await fixture.expectRunning();
  });

  test.each([
    ["the snapshot", { expectedUuid: otherUuid }],
    ["the domain", { domain: { uuid: otherUuid } }],
  ])("a guest with another UUID than %s expects", async (_who, script) => {
    const { reason, step, message } = await refused(script);
    expect({ reason, step }).toEqual({ reason: "IdentityMismatch", step: "prepare" });
    expect(message).toContain(fixture.guest.uuid);
    expect(message).toContain(otherUuid);
    await fixture.expectRunning();
  });

  test("a live capture of a paused guest, which stays paused", async () => {
    await fixture.monitor.execute("stop");
    expect(await refused({ request: { capture: "live" } })).toMatchObject({
      reason: "DomainNotRunning",
      step: "prepare",
      message: expect.stringContaining("use capture paused"),
    });
    await fixture.monitor.execute("cont");
    await fixture.expectRunning();
  });

  test("memory of a guest that somebody else's save left in postmigrate", async () => {
    const { monitor } = fixture;
    await monitor.execute("stop");
    await monitor.execute("migrate", { uri: "exec:cat >/dev/null" });
    await expect.poll(async () => await monitor.runState()).toBe("postmigrate");
    expect(await refused({})).toMatchObject({ reason: "DomainNotRunning", step: "prepare" });
    await monitor.execute("cont");
    await fixture.expectRunning();
  });

  test("a guest that somebody else is migrating, whose migration goes on", async () => {
    const { monitor } = fixture;
    const parameters = await monitor.execute("query-migrate-parameters");
    const { "max-bandwidth": before } = Object(parameters);
    await monitor.execute("migrate-set-parameters", { "max-bandwidth": 4096 });
    await monitor.execute("migrate", { uri: "exec:cat >/dev/null" });
    const status = async () => Object(await monitor.execute("query-migrate")).status;
    try {
      await expect.poll(status).toBe("active");
      expect(await refused({})).toMatchObject({ reason: "DomainBusy", step: "prepare" });
      expect(await status()).toBe("active");
    } finally {
      await monitor.execute("migrate_cancel");
      await expect.poll(status).toBe("cancelled");
      await monitor.execute("migrate-set-parameters", { "max-bandwidth": before });
    }
    await fixture.expectRunning();
  });

  const overlay = (file: string): Partial<PlanRequest> => ({ disks: [{ name: "vdb", source: { file } }] });
  const memory = (file: string): Partial<PlanRequest> => ({ memory: { snapshot: "external", file } });

  test.each([
    ["memory.file", "a '..'", memory("../escaped.mem"), "has a '..' in it"],
    ["memory.file", "a '..' that leads back inside", memory("way-out/../inside.mem"), "has a '..' in it"],
    ["memory.file", "a way through a symbolic link", memory("way-out/linked.mem"), "goes through a symbolic link"],
    ["memory.file", "a directory that is not there", memory("missing/new.mem"), "cannot be created"],
    ["disks[vdb].source.file", "a '..'", overlay("../escaped.qcow2"), "has a '..' in it"],
    ["disks[vdb].source.file", "a path outside", overlay("/etc/escaped.qcow2"), "lies outside the directories allowed"],
    ["disks[vdb].source.file", "a symbolic link", overlay("snapshots/way-out/x"), "goes through a symbolic link"],
  ])("%s: %s", async (field, _what, request, why) => {
    const { reason, step, message } = await refused({ request });
    expect({ reason, step }).toEqual({ reason: "PathNotAllowed", step: "prepare" });
    expect(message.slice(0, field.length + 2)).toBe(`${field}: `);
    expect(message).toContain(why);
  });

  test("disks[vdb].source.file: the directory of its base, named outright but not allowed", async () => {
    const file = join(fixture.directory, "beside.qcow2");
    const { reason, message } = await refused({ request: overlay(file) });
    expect(reason).toBe("PathNotAllowed");
    expect(message).toContain(`${file} lies outside the directories allowed for this guest`);
  });

  test("one file for the memory and an overlay", async () => {
    const file = join(fixture.directory, "snapshots", "both");
    const request = { ...overlay(file), ...memory("both") };
    expect(await refused({ request })).toMatchObject({ reason: "FileExists", step: "prepare" });
  });

  test("afterwards the same guest can be snapshotted", async () => {
    expect(await failed({ onHold: () => "Aborted" })).toMatchObject({ reason: "Aborted" });
    expect((await fixture.snapshot()).report).toMatchObject({ phase: "Completed" });
    await fixture.expectRunning();
  });
});

/** A socket file whose listener has ended. */
async function abandonedSocket(parent: string): Promise<AsyncDisposable & { path: string }> {
  const directory = await mkdtemp(join(parent, "abandoned-"));
  const path = join(directory, "left.qmp");
  const server = createServer().listen(join(directory, "own.qmp"));
  await once(server, "listening");
  // Closing removes the name that it was given; this one stays.
  await rename(join(directory, "own.qmp"), path);
  server.close();
  await once(server, "close");
  return { path, [Symbol.asyncDispose]: async () => await rm(directory, { recursive: true }) };
}
