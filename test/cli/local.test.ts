// `kubectl-dsnap local` as a user runs it: the launcher of the checkout, a real guest, exit codes and the JSON line.

import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensureGuestImage } from "../guest/image.ts";
import { ensureQemu } from "../guest/qemu.ts";
import { RawMonitor } from "../guest/raw-monitor.ts";
import { createDisk, TestGuest } from "../guest/test-guest.ts";
import { checkoutPath } from "../stack/node-arguments.ts";

let directory: string;
let guest: TestGuest;

beforeAll(async () => {
  const qemu = ensureQemu("7.2");
  directory = await mkdtemp(join(tmpdir(), "dsnap-local-"));
  await mkdir(join(directory, "snapshots"));
  const vda = createDisk(qemu, join(directory, "vda.raw"), "raw");
  const vdb = createDisk(qemu, join(directory, "vdb.qcow2"), "qcow2");
  guest = await TestGuest.start({
    ...{ qemu, directory, image: ensureGuestImage() },
    disks: [
      { name: "vda", format: "raw", path: vda },
      { name: "vdb", format: "qcow2", path: vdb },
    ],
  });
}, 900_000);

afterAll(async () => {
  await guest.stop();
  await rm(directory, { recursive: true, force: true });
});

interface Outcome {
  readonly code: number | null;
  readonly result: {
    phase: string;
    reason: string | null;
    disks: { name: string; overlay: string | null }[];
    [key: string]: unknown;
  };
  readonly errors: string;
}

async function local(
  name: string,
  spec: object,
  onHold: string,
  options: { signalAtHold?: NodeJS.Signals | undefined; monitorPath?: string } = {},
): Promise<Outcome> {
  const { signalAtHold, monitorPath = guest.monitorPath } = options;
  const file = join(directory, `${name}.json`);
  const kind = { apiVersion: "domainsnapshot.io/v1alpha1", kind: "DomainSnapshot", metadata: { name } };
  await writeFile(file, JSON.stringify({ ...kind, spec: { domainRef: { name: "any" }, ...spec } }));
  const paths = ["--directory", join(directory, "snapshots"), "--state-directory", join(directory, "state")];
  const child = spawn(checkoutPath("bin/kubectl-dsnap"), [
    ...["local", "--qmp", monitorPath, "-f", file, "--on-hold", onHold, "--json"],
    ...paths,
  ]);
  let output = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    errors += chunk;
    if (signalAtHold !== undefined && chunk.includes("HELD")) child.kill(signalAtHold);
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, result: JSON.parse(output.trim().split("\n").at(-1) ?? ""), errors };
}

const spec = {
  memory: { snapshot: "external" },
  disks: [
    { name: "vda", snapshot: "manual" },
    { name: "vdb", snapshot: "external" },
  ],
};

async function files(): Promise<string[]> {
  return [
    ...(await readdir(join(directory, "snapshots"))),
    ...(await readdir(directory)).filter((name) => name.startsWith("vd")),
  ];
}

describe("kubectl-dsnap local", () => {
  test("holds the guest while the command runs, then completes with exit 0", { timeout: 60_000 }, async () => {
    const copy = `cp ${join(directory, "vda.raw")} "$DSNAP_DIRECTORY/vda.cut" && echo "$DSNAP_DISKS" > "$DSNAP_DIRECTORY/disks"`;
    const { code, result } = await local("first", spec, copy);
    expect(result).toMatchObject({
      ...{ phase: "Completed", reason: null, manifest: join(directory, "snapshots", "snapshot.json") },
      disks: [
        { name: "vda", snapshot: "manual", overlay: null },
        { name: "vdb", snapshot: "external", overlay: join(directory, "vdb.first") },
      ],
    });
    expect(code).toBe(0);
    expect(await readdir(join(directory, "snapshots"))).toEqual(
      expect.arrayContaining(["vda.cut", "disks", "snapshot.json"]),
    );
    await guest.waitForMoreTicks();
    expect(guest.mismatch(["vda", "vdb"])).toBeUndefined();
  });

  test.each([
    ["fails", "exit 7", undefined, "HookFailed"],
    ["is interrupted", "echo HELD >&2; sleep 30", "SIGINT", "Aborted"],
    ["is ended", "echo HELD >&2; sleep 30", "SIGTERM", "Aborted"],
  ] as const)(
    "rolls everything back with exit 1 when the command %s",
    { timeout: 60_000 },
    async (_what, onHold, signal, reason) => {
      const before = await files();
      const { code, result } = await local("undone", spec, onHold, { signalAtHold: signal });
      expect(result).toMatchObject({ phase: "Failed", reason });
      expect(code).toBe(1);
      expect(await files()).toEqual(before);
      await guest.waitForMoreTicks();
      expect(guest.mismatch(["vda", "vdb"])).toBeUndefined();
    },
  );

  test("applies hold.timeoutSeconds", { timeout: 60_000 }, async () => {
    const { code, result } = await local("late", { ...spec, hold: { timeoutSeconds: 1 } }, "sleep 30");
    expect(result).toMatchObject({ phase: "Failed", reason: "HoldExpired" });
    expect(code).toBe(1);
    await guest.waitForMoreTicks();
  });

  test.each([
    ["an unknown field", { ...spec, captur: "live" }, "spec.captur"],
    ["an unknown disk", { ...spec, disks: [{ name: "vdz", snapshot: "manual" }] }, "vdz"],
    ["a path with '..'", { ...spec, memory: { snapshot: "external", file: "../x" } }, "memory.file"],
  ])("refuses %s with exit 2, naming it, before anything is touched", async (_what, bad, named) => {
    const before = await files();
    const { code, errors } = await local("bad", bad, "true");
    expect(errors).toContain(named);
    expect(code).toBe(2);
    expect(await files()).toEqual(before);
  });

  test("refuses a monitor that another client holds with exit 2, saying what to do, without waiting for it", async () => {
    const before = await files();
    const timed = async (name: string, monitorPath: string) => {
      const start = performance.now();
      const outcome = await local(name, spec, "true", { monitorPath });
      return { ...outcome, milliseconds: Math.round(performance.now() - start) };
    };
    const missing = await timed("missing", join(directory, "missing.qmp"));
    using other = await RawMonitor.connect(guest.monitorPath);
    const held = await timed("held", guest.monitorPath);
    console.info(`${missing.milliseconds} ms for a missing socket, ${held.milliseconds} ms for one that is held`);
    expect(missing).toMatchObject({ code: 2, result: { phase: "Failed", reason: "MonitorUnavailable" } });
    expect(missing.errors).toContain("is the guest running, and is the path right?");
    expect(held).toMatchObject({ code: 2, result: { phase: "Failed", reason: "MonitorBusy" } });
    expect(held.errors).toContain(`${guest.monitorPath}: no greeting`);
    expect(held.errors).toContain("another client holds this monitor. Close it, or give this program a QMP socket");
    // Besides its start, which depends on the machine, only the wait for the greeting.
    expect(held.milliseconds - missing.milliseconds).toBeLessThan(4000);
    expect(other.events).toEqual([]);
    expect(await other.runState()).toBe("running");
    expect(await files()).toEqual(before);
    await guest.waitForMoreTicks();
  });

  test("knows its own commands, and calls a wrong option bad input", async () => {
    const run = async (...args: string[]) => {
      const child = spawn(checkoutPath("bin/kubectl-dsnap"), args, { stdio: "ignore" });
      return await new Promise<number | null>((resolve) => child.once("close", resolve));
    };
    expect(await Promise.all([run("--help"), run("local", "--help"), run("local", "--bogus")])).toEqual([0, 0, 2]);
  });
});
