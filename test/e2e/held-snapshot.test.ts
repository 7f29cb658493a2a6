// The whole path on real parts: kubectl apply, hold, the owner's copy, resume, restore.

import { copyFile, mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { acceptedWrites, snapshotWrites } from "../control-plane/api-writes.ts";
import { ensureGuestImage } from "../guest/image.ts";
import { RawMonitor } from "../guest/raw-monitor.ts";
import { restoreGuest } from "../guest/restore.ts";
import { demoDisks, namespace, Stack } from "../stack/stack.ts";

let stack: Stack;

beforeAll(async () => {
  stack = await Stack.start();
}, 900_000);

afterAll(async () => {
  await stack[Symbol.asyncDispose]();
});

function manifest(name: string, spec: object): string {
  return JSON.stringify({
    apiVersion: "domainsnapshot.io/v1alpha1",
    kind: "DomainSnapshot",
    metadata: { name, namespace },
    spec: { domainRef: { name: "demo" }, ...spec },
  });
}

const threeDisks = [
  { name: "vda", snapshot: "manual" },
  { name: "vdb", snapshot: "external" },
  { name: "vdc", snapshot: "none" },
];

const held = ({ status }: { status?: { phase?: string | undefined } | undefined }) =>
  status?.phase === "ManualStoragePending" || status?.phase === "Failed";
const ended = ({ status }: { status?: { phase?: string | undefined } | undefined }) =>
  status?.phase === "Completed" || status?.phase === "Failed";

async function runState(): Promise<string> {
  using monitor = await RawMonitor.connect(stack.guest.testMonitorPath);
  return await monitor.runState();
}

describe("a held snapshot", () => {
  test.each(["paused", "live"] as const)(
    "captured %s is held until resume, and restores to exactly the instant of the pause (checklist 1, 4, 36)",
    { timeout: 120_000 },
    async (capture) => {
      const name = `whole-${capture}`;
      const base = join(stack.imagesDirectory, capture === "paused" ? "vdb.qcow2" : "vdb.whole-paused");
      const writesBefore = (await acceptedWrites(stack.plane.auditLogPath)).length;
      await stack.plane.apply(manifest(name, { capture, memory: { snapshot: "external" }, disks: threeDisks }));
      const pending = await stack.until(name, "held", held);
      expect(pending.status).toMatchObject({ phase: "ManualStoragePending", domainStateBefore: "Running" });
      await stack.plane.kubectl([
        "wait",
        "--for=condition=ManualStoragePending",
        `dsnap/${name}`,
        "-n",
        namespace,
        "--timeout=5s",
      ]);
      expect(await runState()).not.toBe("running");
      const storage = join(stack.directory, `storage-${capture}`);
      await mkdir(storage);
      await copyFile(join(stack.imagesDirectory, "vda.raw"), join(storage, "vda.raw"));
      await stack.resume(name);
      const done = await stack.until(name, "Completed", ended);
      expect(done.status?.error).toBeUndefined();
      expect(done.status?.phase).toBe("Completed");
      expect(done.status?.disks?.map((disk) => [disk.name, disk.snapshot])).toEqual([
        ["vda", "manual"],
        ["vdb", "external"],
        ["vdc", "none"],
        ["sda", "none"],
        ["sdb", "none"],
      ]);
      const writes = snapshotWrites((await acceptedWrites(stack.plane.auditLogPath)).slice(writesBefore));
      expect(writes.length).toBeLessThanOrEqual(14);
      await stack.guest.waitForMoreTicks();
      expect(stack.guest.mismatch(["vda", "vdb", "vdc"])).toBeUndefined();

      const memoryFile = join(stack.snapshotDirectory, done.status?.memory?.file ?? "");
      expect((await stat(memoryFile)).mode & 0o777).toBe(0o600);
      const content = stack.view.contents.store.get(done.status?.contentName ?? "");
      // The base of vdb is a backing file now; the restored guest writes to copies only.
      await copyFile(base, join(storage, "vdb"));
      await copyFile(join(stack.imagesDirectory, "vdc.raw"), join(storage, "vdc.raw"));
      await using restored = await restoreGuest({
        guest: {
          qemu: stack.qemu,
          image: ensureGuestImage(),
          directory: stack.directory,
          name: `restored-${capture}`,
          uuid: stack.guest.uuid,
          disks: demoDisks({
            vda: join(storage, "vda.raw"),
            vdb: join(storage, "vdb"),
            vdc: join(storage, "vdc.raw"),
            cd: join(stack.imagesDirectory, "cd.raw"),
          }),
        },
        manifestPath: join(stack.snapshotDirectory, content?.status?.manifest ?? ""),
        checkDisks: ["vda", "vdb"],
      });
      expect(restored.mismatch).toBeUndefined();
    },
  );

  test("that is aborted in the hold is rolled back: the guest runs, nothing is left over (checklist 7, 9)", {
    timeout: 60_000,
  }, async () => {
    const files = async () =>
      (await Promise.all([stack.imagesDirectory, stack.snapshotDirectory].map((path) => readdir(path)))).flat();
    const before = await files();
    await stack.plane.apply(manifest("aborted", { memory: { snapshot: "external" }, disks: threeDisks }));
    await stack.until("aborted", "held", held);
    await stack.plane.kubectl([
      "patch",
      "dsnap",
      "aborted",
      "-n",
      namespace,
      "--type=merge",
      "-p",
      '{"spec":{"abort":true}}',
    ]);
    const done = await stack.until("aborted", "Failed", ended);
    expect(done.status?.error?.reason).toBe("Aborted");
    await stack.guest.waitForMoreTicks();
    expect(stack.guest.mismatch(["vda", "vdb", "vdc"])).toBeUndefined();
    expect(await files()).toEqual(before);
  });

  test("with no manual disk resumes by itself (checklist 5), unlisted disks take their defaults (checklist 19)", {
    timeout: 60_000,
  }, async () => {
    await stack.plane.apply(manifest("automatic", { memory: { snapshot: "external" } }));
    const done = await stack.until("automatic", "Completed", ended);
    expect(done.status?.error).toBeUndefined();
    expect(done.status?.disks?.map((disk) => disk.snapshot)).toEqual([
      "external",
      "external",
      "external",
      "none",
      "none",
    ]);
    await stack.guest.waitForMoreTicks();
    expect(stack.guest.mismatch(["vda", "vdb", "vdc"])).toBeUndefined();
  });

  test("of manual disks only is a coordinated pause (checklist 31); an early resume is refused", {
    timeout: 60_000,
  }, async () => {
    const disks = ["vda", "vdb", "vdc"].map((name) => ({ name, snapshot: "manual" }));
    await stack.plane.apply(manifest("pause-only", { disks }));
    await stack.until("pause-only", "held", held);
    expect(await runState()).toBe("paused");
    await stack.resume("pause-only");
    const done = await stack.until("pause-only", "Completed", ended);
    expect(done.status?.error).toBeUndefined();
    expect(done.status?.memory).toBeUndefined();
    await stack.guest.waitForMoreTicks();
  });

  test.each([
    [
      "an unknown disk",
      "InvalidDisk",
      { memory: { snapshot: "external" }, disks: [{ name: "vdz", snapshot: "manual" }] },
    ],
    [
      "nothing selected",
      "NothingSelected",
      { disks: ["vda", "vdb", "vdc"].map((name) => ({ name, snapshot: "none" })) },
    ],
    [
      "a path outside the allowed directories",
      "PathNotAllowed",
      { memory: { snapshot: "external", file: "/etc/dsnap.mem" } },
    ],
    [
      "a domain that does not exist",
      "DomainNotFound",
      { domainRef: { name: "nobody" }, memory: { snapshot: "external" } },
    ],
  ])("of %s ends Failed/%s with the guest as it was", { timeout: 60_000 }, async (what, reason, spec) => {
    const name = `bad-${what.replaceAll(" ", "-")}`;
    await stack.plane.apply(manifest(name, spec));
    const done = await stack.until(name, "Failed", ended);
    expect(done.status).toMatchObject({ phase: "Failed", error: { reason } });
    expect(await runState()).toBe("running");
  });
});
