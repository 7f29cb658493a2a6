// The main job for real: a held snapshot of a running guest, end to end, then a restore that the guest checks itself.

import { copyFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { DomainSnapshot } from "../../src/api/v1alpha1/domain-snapshot.ts";
import { timelineLines } from "../../src/cli/timeline.ts";
import { acceptedWrites, snapshotWrites } from "../../test/control-plane/api-writes.ts";
import { ensureGuestImage } from "../../test/guest/image.ts";
import { restoreGuest } from "../../test/guest/restore.ts";
import { checkoutPath } from "../../test/stack/node-arguments.ts";
import { demoDisks, namespace, Stack } from "../../test/stack/stack.ts";
import { Narrator } from "./narrator.ts";
import { type QuickstartOptions, readOptions, usage } from "./options.ts";

const samples = { paused: "domainsnapshot", live: "domainsnapshot-live" } as const;

interface Restore {
  readonly memory: boolean;
  readonly disks: boolean;
}

async function main(): Promise<void> {
  let options: QuickstartOptions | "help";
  try {
    options = readOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}\n`);
    process.exitCode = 2;
    return;
  }
  if (options === "help") {
    process.stdout.write(`${usage}\n`);
    return;
  }
  const say = new Narrator(options.json ? process.stderr : process.stdout);
  const stack = await Stack.start({ qemu: options.qemu, progress: (line) => say.step(line) });
  try {
    const snapshot = await takeSnapshot(stack, say, options);
    const restore = await restoreAndCheck(stack, say, snapshot);
    const writes = snapshotWrites(await acceptedWrites(stack.plane.auditLogPath));
    report({ stack, say, snapshot, restore, writes });
    if (options.keep) await keepRunning(stack, say);
    if (options.json) {
      const { phase, pause } = snapshot.status ?? {};
      const result = { phase, capture: options.capture, pause, restore, apiWrites: writes.length };
      process.stdout.write(`${JSON.stringify(result)}\n`);
    }
    if (snapshot.status?.phase !== "Completed" || !restore.memory || !restore.disks) process.exitCode = 1;
  } catch (error) {
    say.bad(error instanceof Error ? error.message : String(error));
    for (const process of [stack.operator, stack.agent])
      say.plain(`--- last lines of the ${process.name}\n${process.log.slice(-1500)}`);
    process.exitCode = 1;
  } finally {
    if (!options.keep) await stack[Symbol.asyncDispose]();
  }
}

/** Applies the sample, shows the phases, plays the storage's owner, resumes. Resolves with the snapshot when it has ended. */
async function takeSnapshot(stack: Stack, say: Narrator, options: QuickstartOptions): Promise<DomainSnapshot> {
  const sample = checkoutPath(`deploy/samples/${samples[options.capture]}.yaml`);
  const manifest = await readFile(sample, "utf8");
  const name = /^ {2}name: (\S+)$/m.exec(manifest)?.[1] ?? "";
  say.heading(`A ${options.capture} snapshot of a running guest`);
  say.step(`$ kubectl apply -n ${namespace} -f deploy/samples/${samples[options.capture]}.yaml`);
  let shown = "";
  const unsubscribe = stack.view.snapshots.store.subscribe((change) => {
    const phase = change.object.status?.phase;
    if (phase === undefined || phase === shown) return;
    shown = phase;
    say.step(`phase ${phase}`);
  });
  try {
    await stack.plane.kubectl(["apply", "-n", namespace, "-f", sample]);
    const held = await stack.until(
      name,
      "held",
      (snapshot) => ended(snapshot) || snapshot.status?.phase === "ManualStoragePending",
    );
    if (ended(held)) throw new Error(`the snapshot ended as ${held.status?.phase}: ${held.status?.error?.message}`);
    const tick = stack.guest.lastTick;
    say.good(
      `the guest stands still at tick ${tick}; it is the storage owner's turn until ${held.status?.holdDeadline}`,
    );
    const cut = join(stack.directory, "storage");
    await mkdir(cut);
    await copyFile(join(stack.imagesDirectory, "vda.raw"), join(cut, "vda.raw"));
    say.step("the storage's owner has copied vda");
    if (stack.guest.lastTick !== tick) throw new Error("the guest ran during the hold");
    say.step(`$ kubectl patch dsnap ${name} --type=merge -p '{"spec":{"resume":true}}'`);
    await stack.plane.kubectl([
      "patch",
      "dsnap",
      name,
      "-n",
      namespace,
      "--type=merge",
      "-p",
      '{"spec":{"resume":true}}',
    ]);
    const done = await stack.until(name, "at its end", ended);
    await stack.guest.waitForMoreTicks();
    const wrong = stack.guest.mismatch(["vda", "vdb", "vdc"]);
    if (wrong !== undefined) throw new Error(`the running guest found a mismatch: ${wrong}`);
    say.good(`the guest runs again (tick ${stack.guest.lastTick})`);
    return done;
  } finally {
    unsubscribe();
  }
}

/** Loads the memory into a second QEMU with vda from the storage's owner and vdb's base; the guest checks its counters. */
async function restoreAndCheck(stack: Stack, say: Narrator, snapshot: DomainSnapshot): Promise<Restore> {
  say.heading("The restore");
  const storage = join(stack.directory, "storage");
  // vdb's base is what the overlay stands on: the restored guest gets a copy, so that the running one keeps its own.
  await copyFile(join(stack.imagesDirectory, "vdb.qcow2"), join(storage, "vdb.qcow2"));
  await copyFile(join(stack.imagesDirectory, "vdc.raw"), join(storage, "vdc.raw"));
  const content = stack.view.contents.store.get(snapshot.status?.contentName ?? "");
  const manifest = content?.status?.manifest ?? "";
  say.step(`a second QEMU takes the memory as ${manifest} says, and the disks as they were cut`);
  const disks = demoDisks({
    vda: join(storage, "vda.raw"),
    vdb: join(storage, "vdb.qcow2"),
    vdc: join(storage, "vdc.raw"),
    cd: join(stack.imagesDirectory, "cd.raw"),
  });
  await using restored = await restoreGuest({
    guest: {
      qemu: stack.qemu,
      image: ensureGuestImage(),
      directory: stack.directory,
      name: "restored",
      uuid: stack.guest.uuid,
      disks,
    },
    manifestPath: join(stack.snapshotDirectory, manifest),
    checkDisks: ["vda", "vdb"],
  });
  const memory = restored.guest.mismatch([]);
  const both = restored.mismatch;
  if (memory === undefined) say.good(`its memory is whole, and it went on from tick ${restored.firstTick}`);
  else say.bad(memory);
  if (both === undefined) say.good("vda (manual) and vdb (external) hold exactly what its memory expects");
  else say.bad(both);
  return { memory: memory === undefined, disks: both === undefined };
}

function report(context: {
  stack: Stack;
  say: Narrator;
  snapshot: DomainSnapshot;
  restore: Restore;
  writes: readonly unknown[];
}): void {
  const { stack, say, snapshot, writes } = context;
  say.heading("The timeline");
  for (const line of timelineLines(snapshot.status ?? {})) say.plain(line);
  say.plain(`  API writes by operator and agent for this snapshot: ${writes.length}`);
  say.plain(
    `  resident memory: operator ${stack.operator.residentMebibytes()} MiB, agent ${stack.agent.residentMebibytes()} MiB`,
  );
}

async function keepRunning(stack: Stack, say: Narrator): Promise<void> {
  const pids = [stack.guest.pid, stack.operator.pid, stack.agent.pid, ...stack.plane.pids];
  say.heading("Everything is left running");
  say.plain(`  export KUBECONFIG=${stack.plane.adminKubeconfigPath}
  ${stack.plane.assets.kubectl} get dom,dsnap,dsnapc -n ${namespace}
  node_modules/.bin/kubectl-dsnap list -n ${namespace}
  sed 's/before-upgrade/second/' deploy/samples/domainsnapshot.yaml | ${stack.plane.assets.kubectl} apply -n ${namespace} -f -
  ${stack.plane.assets.kubectl} patch dsnap second -n ${namespace} --type=merge -p '{"spec":{"resume":true}}'
  logs and files: ${stack.directory}
  the end: kill ${pids.join(" ")}; rm -r ${stack.directory} ${stack.plane.dir}`);
  await stack.release();
}

function ended(snapshot: DomainSnapshot): boolean {
  const phase = snapshot.status?.phase;
  return phase === "Completed" || phase === "Failed";
}

await main();
