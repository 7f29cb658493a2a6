// kubectl-dsnap's cluster commands against a real API server; the test plays operator and agent by patching the status.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, beforeAll, expect, it } from "vitest";
import { clusterCommands } from "../../src/cli/cluster-commands.ts";
import { type ControlPlane, startControlPlane } from "../control-plane/control-plane.ts";

let plane: ControlPlane;
const namespace = "shop";

interface Run {
  readonly out: string[];
  readonly err: string[];
  code: number | undefined;
}

/** Runs a command; `onOut` hears each line as it is printed. */
async function dsnap(args: readonly string[], onOut: (line: string) => void = () => undefined): Promise<Run> {
  const run: Run = { out: [], err: [], code: undefined };
  const program = new Command("kubectl-dsnap");
  const terminal = {
    out: (text: string) => {
      run.out.push(text);
      onOut(text);
    },
    error: (text: string) => void run.err.push(text),
    exitCode: (code: number) => {
      run.code = code;
    },
  };
  for (const command of clusterCommands(terminal)) program.addCommand(command);
  await program.parseAsync([...args, "--kubeconfig", plane.adminKubeconfigPath, "-n", namespace], { from: "user" });
  return run;
}

function manifest(name: string): string {
  return JSON.stringify({
    apiVersion: "domainsnapshot.io/v1alpha1",
    kind: "DomainSnapshot",
    metadata: { name },
    spec: { domainRef: { name: "db" }, disks: [{ name: "vda", snapshot: "manual" }] },
  });
}

async function manifestFile(name: string): Promise<string> {
  const file = join(plane.dir, `${name}.json`);
  await writeFile(file, manifest(name));
  return file;
}

async function create(name: string): Promise<void> {
  expect(await dsnap(["create", "-f", await manifestFile(name)])).toMatchObject({ code: 0, err: [] });
}

async function setStatus(name: string, status: object): Promise<void> {
  const patch = JSON.stringify({ status });
  const args = ["--subresource=status", "--type=merge", "-p", patch];
  await plane.kubectl(["patch", "domainsnapshot", name, "-n", namespace, ...args]);
}

const aborted = { reason: "Aborted", message: "abort was requested", step: "hold" };

beforeAll(async () => {
  plane = await startControlPlane();
  await plane.installCrds();
  await plane.kubectl(["create", "namespace", namespace]);
});

afterAll(async () => {
  await plane?.stop();
});

it("creates from a manifest and waits, telling the phases as they pass", async () => {
  const patches: Promise<void>[] = [];
  const next: Readonly<Record<string, string>> = {
    "domainsnapshot.domainsnapshot.io/waited created": "Preparing",
    Preparing: "ManualStoragePending",
    ManualStoragePending: "Completed",
  };
  const run = await dsnap(["create", "-f", await manifestFile("waited"), "--wait", "--timeout", "60s"], (line) => {
    const phase = next[line];
    if (phase !== undefined) patches.push(setStatus("waited", { phase }));
  });
  await Promise.all(patches);
  expect(run.out.slice(1)).toEqual(["Preparing", "ManualStoragePending", "Completed"]);
  expect(run.err).toEqual([expect.stringContaining("kubectl dsnap resume waited -n shop")]);
  expect(run.code).toBe(0);
});

it("lists as a table, as names and as JSON", async () => {
  await create("listed");
  expect((await dsnap(["ls"])).out.join("\n")).toMatch(/^NAME +DOMAIN +PHASE.*\n(?:.*\n)*listed +db /);
  expect((await dsnap(["list", "-A"])).out.join("\n")).toMatch(/^NAMESPACE +NAME/);
  expect((await dsnap(["list", "-o", "name"])).out).toContain("domainsnapshot.domainsnapshot.io/listed");
  const [json = ""] = (await dsnap(["list", "-o", "json"])).out;
  expect(JSON.parse(json)).toMatchObject({ kind: "List", items: expect.arrayContaining([expect.anything()]) });
});

it("sets resume and abort under a field manager that Flux leaves alone", async () => {
  for (const word of ["resume", "abort"]) {
    await create(`to-${word}`);
    await setStatus(`to-${word}`, { phase: "ManualStoragePending" });
    expect(await dsnap([word, `to-${word}`])).toMatchObject({ code: 0, err: [] });
    const args = ["get", "domainsnapshot", `to-${word}`, "-n", namespace, "--show-managed-fields", "-o", "json"];
    const stored: unknown = JSON.parse(await plane.kubectl(args));
    expect(stored).toMatchObject({
      spec: { [word]: true },
      metadata: {
        managedFields: expect.arrayContaining([
          expect.objectContaining({
            manager: "dsnap",
            fieldsV1: { "f:spec": expect.objectContaining({ [`f:${word}`]: {} }) },
          }),
        ]),
      },
    });
  }
});

it("describes a failed snapshot with what to do, and refuses to resume it", async () => {
  await create("failed");
  const disks = [{ name: "vda", snapshot: "manual" }];
  const pausedAt = "2026-01-01T10:00:00.000000Z";
  await setStatus("failed", { phase: "Failed", error: aborted, pausedAt, disks });
  const text = (await dsnap(["get", "failed"])).out.join("\n");
  expect(text).toContain("Aborted: abort was requested (user: abort was requested)");
  expect(text).toContain("guest paused       10:00:00.000000  +0.0 ms");
  expect(text).toMatch(/vda +manual/);
  expect((await dsnap(["timeline", "failed"])).out.join("\n")).toContain("guest paused");
  expect((await dsnap(["get", "failed", "-o", "yaml"])).out.join("\n")).toContain("phase: Failed");
  expect(await dsnap(["resume", "failed"])).toMatchObject({
    code: 1,
    err: [expect.stringContaining("Failed already")],
  });
});

it("ends a wait at once when the goal cannot come any more", async () => {
  await create("hopeless");
  await setStatus("hopeless", { phase: "Failed", error: aborted });
  const run = await dsnap(["wait", "hopeless", "--for", "Completed"]);
  expect(run).toMatchObject({ code: 1, out: ["Failed"], err: [expect.stringContaining("Aborted")] });
  expect(await dsnap(["wait", "hopeless", "--for", "Failed"])).toMatchObject({ code: 0 });
});

it("ends a wait when the time is up, or the snapshot is deleted", async () => {
  await create("slow");
  const late = await dsnap(["wait", "slow", "--for", "Completed", "--timeout", "300ms"]);
  expect(late).toMatchObject({ code: 1, err: [expect.stringContaining("raise --timeout")] });
  await setStatus("slow", { phase: "Preparing" });
  let deleted: Promise<string> | undefined;
  const gone = await dsnap(["wait", "slow", "--for", "condition=Ready"], () => {
    deleted = plane.kubectl(["delete", "domainsnapshot", "slow", "-n", namespace]);
  });
  await deleted;
  expect(gone).toMatchObject({ code: 2, err: [expect.stringContaining("was deleted meanwhile")] });
});

it("says what to do about bad input, in one line, and exits with 2", async () => {
  await create("twice");
  const cases: [string[], string][] = [
    [["get", "nobody"], "kubectl dsnap list -n shop"],
    [["create", "-f", await manifestFile("twice")], "choose another name"],
    [["create", "-f", "/does/not/exist"], "cannot read"],
    [["wait", "twice", "--for", "Done"], "condition=TYPE"],
    [["wait", "twice", "--for", "Failed", "--timeout", "10"], "10m"],
    [["resume", "twice"], "wait for ManualStoragePending"],
    [["list", "--context", "nowhere"], "no context"],
  ];
  for (const [args, remedy] of cases) {
    const run = await dsnap(args);
    expect(run, args.join(" ")).toMatchObject({ code: 2, out: [], err: [expect.stringContaining(remedy)] });
    expect(run.err.join("")).not.toContain("\n");
  }
});

it("aborts all that are under way, as before an uninstall, and waits for each", async () => {
  for (const name of ["all-held", "all-pending", "all-released", "all-over"]) await create(name);
  await setStatus("all-held", { phase: "ManualStoragePending" });
  await setStatus("all-released", { phase: "ManualStoragePending" });
  await dsnap(["resume", "all-released"]);
  await setStatus("all-over", { phase: "Completed" });
  for (const earlier of (await dsnap(["list", "-o", "name"])).out) {
    const name = earlier.split("/")[1] ?? "";
    if (!name.startsWith("all-")) await plane.kubectl(["delete", "domainsnapshot", name, "-n", namespace]);
  }

  const dry = await dsnap(["abort", "--all", "--dry-run"]);
  expect(dry).toMatchObject({ code: 0 });
  expect(dry.out.toSorted()).toEqual([
    "shop/all-held: ManualStoragePending, would be aborted",
    "shop/all-pending: Pending, would be aborted",
    "shop/all-released: ManualStoragePending, resumed already, would be waited for",
  ]);
  expect((await dsnap(["abort", "--all", "--domain", "other"])).err).toEqual(["no DomainSnapshot is under way"]);

  const run = dsnap(["abort", "--all", "-A", "--timeout", "30s"]);
  // The test is operator and agent: each ends as its spec asks.
  for (const name of ["all-held", "all-pending"]) {
    const jsonpath = "--for=jsonpath={.spec.abort}=true";
    await plane.kubectl(["wait", jsonpath, `domainsnapshot/${name}`, "-n", namespace, "--timeout=20s"]);
    await setStatus(name, { phase: "Failed", error: aborted });
  }
  await setStatus("all-released", { phase: "Completed" });
  const { out, code } = await run;
  const released = await plane.kubectl(["get", "domainsnapshot", "all-released", "-n", namespace, "-o", "json"]);
  expect(JSON.parse(released)).toMatchObject({ spec: expect.not.objectContaining({ abort: true }) });
  expect(out.toSorted()).toEqual(["shop/all-held: Failed", "shop/all-pending: Failed", "shop/all-released: Completed"]);
  expect(code).toBe(0);
});

it("fails if a guest may stand still after its snapshot has ended, and says which", async () => {
  await create("doubtful");
  const [startedAt, pausedAt] = ["2026-01-01T10:00:00.000000Z", "2026-01-01T10:00:01.000000Z"];
  const held = { phase: "ManualStoragePending", nodeName: "node-1", startedAt, pausedAt };
  await setStatus("doubtful", held);
  const run = dsnap(["abort", "--all", "--timeout", "30s"]);
  await plane.kubectl([
    ...["wait", "--for=jsonpath={.spec.abort}=true", "domainsnapshot/doubtful"],
    ...["-n", namespace, "--timeout=20s"],
  ]);
  await setStatus("doubtful", { phase: "Failed", error: { reason: "GuestLost", message: "QEMU has exited" } });
  expect(await run).toMatchObject({
    code: 1,
    out: [],
    err: [expect.stringMatching(/^shop\/doubtful: Failed; GuestLost: .*the guest db on node node-1/)],
  });
});

it("says which snapshot did not end in time, and takes a name or --all", async () => {
  await create("stuck");
  const late = await dsnap(["abort", "--all", "--timeout", "1s"]);
  expect(late).toMatchObject({ code: 1, err: [expect.stringContaining("shop/stuck")] });
  expect(await dsnap(["abort"])).toMatchObject({ code: 2, err: [expect.stringContaining("--all")] });
  expect(await dsnap(["abort", "stuck", "--all"])).toMatchObject({ code: 2 });
  expect(await dsnap(["abort", "stuck", "--dry-run"])).toMatchObject({ code: 2 });
});
