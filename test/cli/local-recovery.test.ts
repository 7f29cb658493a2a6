// `kubectl-dsnap local` that is killed while it holds a guest, and what lets the guest run again.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
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
let monitor: RawMonitor;
let imagesBefore: string[];

beforeAll(async () => {
  const qemu = ensureQemu("7.2");
  directory = await mkdtemp(join(tmpdir(), "dsnap-killed-"));
  await mkdir(join(directory, "snapshots"));
  guest = await TestGuest.start({
    ...{ qemu, directory, image: ensureGuestImage() },
    disks: [
      { name: "vda", format: "raw", path: createDisk(qemu, join(directory, "vda.raw"), "raw") },
      { name: "vdb", format: "qcow2", path: createDisk(qemu, join(directory, "vdb.qcow2"), "qcow2") },
    ],
  });
  monitor = await RawMonitor.connect(guest.testMonitorPath);
  imagesBefore = await files();
}, 900_000);

afterAll(async () => {
  monitor?.[Symbol.dispose]();
  await guest?.stop();
  await rm(directory, { recursive: true, force: true });
});

async function files(): Promise<string[]> {
  const images = (await readdir(directory)).filter((name) => name.startsWith("vd"));
  return [...images, ...(await readdir(join(directory, "snapshots")))].toSorted();
}

function start(args: readonly string[]): ChildProcess {
  return spawn(checkoutPath("bin/kubectl-dsnap"), ["local", ...args, "--state-directory", join(directory, "state")]);
}

/** Its exit code and all that it said. */
async function ended(child: ChildProcess): Promise<{ code: number | null; output: string; errors: string }> {
  let output = "";
  let errors = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (errors += chunk));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, output, errors };
}

async function argumentsFor(name: string, onHold: string): Promise<string[]> {
  const file = join(directory, `${name}.json`);
  const spec = {
    domainRef: { name: "any" },
    memory: { snapshot: "external" },
    disks: [{ name: "vda", snapshot: "manual" }],
  };
  const kind = { apiVersion: "domainsnapshot.io/v1alpha1", kind: "DomainSnapshot" };
  await writeFile(file, JSON.stringify({ ...kind, metadata: { name }, spec }));
  return ["--qmp", guest.monitorPath, "-f", file, "--directory", join(directory, "snapshots"), "--on-hold", onHold];
}

/** Runs a snapshot, and kills it without a word once the guest is held. */
async function killInHold(name: string, extra: readonly string[] = []): Promise<void> {
  const child = start([...(await argumentsFor(name, "echo HELD >&2; sleep 2")), ...extra]);
  await new Promise<void>((resolve) => {
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => chunk.includes("HELD") && resolve());
  });
  expect(await monitor.runState()).not.toBe("running");
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

/** The guest runs on its own images, and nothing else is there. */
async function expectTakenBack(): Promise<void> {
  await guest.waitForMoreTicks();
  await expect.poll(files, { timeout: 20_000 }).toEqual(imagesBefore);
  await expect.poll(() => readdir(join(directory, "state", "journal"))).toEqual([]);
  expect(guest.mismatch(["vda", "vdb"])).toBeUndefined();
}

describe("kubectl-dsnap local that is killed in the hold", () => {
  test("leaves a watchdog that takes the snapshot back at once", { timeout: 60_000 }, async () => {
    await killInHold("watched");
    const since = performance.now();
    await expect.poll(() => monitor.runState(), { interval: 20, timeout: 20_000 }).toBe("running");
    console.info(`the watchdog let the guest run ${Math.round(performance.now() - since)} ms after the kill`);
    await expectTakenBack();
  });

  test("without a watchdog is taken back by --recover", { timeout: 60_000 }, async () => {
    await killInHold("unwatched", ["--no-watchdog"]);
    const { code, output } = await ended(start(["--recover", "--json"]));
    expect(JSON.parse(output)).toMatchObject({
      recovered: [{ namespace: "default", name: "unwatched", phase: "Failed", reason: "Aborted" }],
    });
    expect(code).toBe(0);
    await expectTakenBack();
    expect(JSON.parse((await ended(start(["--recover", "--json"]))).output)).toEqual({ recovered: [] });
  });

  test("is taken back by the next snapshot of the guest, before that begins", { timeout: 60_000 }, async () => {
    await killInHold("forgotten", ["--no-watchdog"]);
    const { code, output, errors } = await ended(start([...(await argumentsFor("next", "exit 7")), "--json"]));
    expect(errors).toContain("default/forgotten");
    expect(JSON.parse(output)).toMatchObject({ phase: "Failed", reason: "HookFailed" });
    expect(code).toBe(1);
    await expectTakenBack();
  });

  test("is left alone while it lives: --recover takes back nothing", { timeout: 60_000 }, async () => {
    const running = start([...(await argumentsFor("alive", "echo HELD >&2; sleep 2; exit 7"))]);
    const end = ended(running);
    await new Promise<void>((resolve) => {
      running.stderr?.on("data", (chunk: string) => chunk.includes("HELD") && resolve());
    });
    expect(JSON.parse((await ended(start(["--recover", "--json"]))).output)).toEqual({ recovered: [] });
    expect(await monitor.runState()).not.toBe("running");
    expect((await end).code).toBe(1);
    await expectTakenBack();
  });
});
