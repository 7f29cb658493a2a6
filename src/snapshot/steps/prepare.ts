// Everything that can be refused is refused here, before the guest or any file is touched.

import { readFile } from "node:fs/promises";
import { dirname, isAbsolute } from "node:path";
import type { GuestDisk } from "../../qemu/disk.ts";
import { memoryWriterFor } from "../../qemu/memory-writer.ts";
import { Migration } from "../../qemu/migration.ts";
import { type Overlay, overlayNodes } from "../../qemu/overlay.ts";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import { defaultMemoryFile, newFilePath, overlayPath, requireSpace } from "../paths.ts";
import { requireWholePlan } from "../require-plan.ts";
import type { Step } from "../step.ts";

export const prepare: Step = {
  name: "prepare",
  phase: "Preparing",
  outcome: (context) => context.prepared,
  async run(context) {
    const { guest, job, clock } = context;
    const identity = await guest.identity();
    requireIdentity(context, identity.uuid);
    const ranBefore = await requireRunState(context);
    const disks = await guest.disks(job.domain.disks);
    requireWholePlan(job.plan, disks);
    await requireNoJobs(context, disks);
    const migration = new Migration({ guest, clock });
    if (await migration.isRunning())
      throw new Failure("DomainBusy", "a migration of this guest is running; wait until it has ended");
    if (context.hasMemory) await requireMigratable(context);
    const overlays = await plannedOverlays(context, disks);
    const memoryBytes = await guest.memoryBytes();
    const memoryFile = context.hasMemory ? await plannedMemoryFile(context, memoryBytes) : undefined;
    if (overlays.some((overlay) => overlay.path === memoryFile)) {
      throw new Failure("FileExists", `memory.file: ${memoryFile} is also the overlay of a disk; name another file`);
    }
    if (context.hasMemory) context.memoryWriter = memoryWriterFor(guest);
    const qemuArguments = identity.pid === undefined ? undefined : await argumentsOf(identity.pid);
    context.prepared = {
      uuid: identity.uuid,
      ranBefore,
      disks,
      overlays,
      memoryBytes,
      ...(memoryFile !== undefined && { memoryFile }),
      migrationSettings: await migration.settings(),
      ...(qemuArguments !== undefined && { qemuArguments }),
    };
    context.update({
      domainStateBefore: ranBefore ? "Running" : "Paused",
      disks: disks.map((disk) => {
        const overlay = overlays.find((candidate) => candidate.disk.name === disk.name);
        const planned = job.plan.disks.find((candidate) => candidate.name === disk.name);
        return {
          name: disk.name,
          snapshot: planned?.snapshot ?? "none",
          ...(overlay !== undefined && { overlay: context.shown(overlay.path) }),
        };
      }),
      ...(memoryFile !== undefined && {
        memory: { file: context.shown(memoryFile), format: context.memoryWriter?.format ?? "file", progressPercent: 0 },
      }),
    });
  },
};

function requireIdentity(context: SnapshotContext, uuid: string): void {
  const { expectedUuid, domain } = context.job;
  for (const wanted of [expectedUuid, domain.uuid]) {
    if (wanted !== undefined && wanted.toLowerCase() !== uuid.toLowerCase()) {
      throw new Failure(
        "IdentityMismatch",
        `the guest behind ${domain.monitorPath} has UUID ${uuid}, not ${wanted}; correct the socket or the UUID`,
      );
    }
  }
}

/** True if it ran. libvirt refuses pmsuspended; everything but running and paused is refused here. */
async function requireRunState(context: SnapshotContext): Promise<boolean> {
  const state = await context.guest.runState();
  const { plan } = context.job;
  if (state === "running") return true;
  if (state === "postmigrate" && context.hasMemory) {
    throw new Failure(
      "DomainNotRunning",
      "the guest was left paused by an earlier migration or save; resume it (and pause it again) before its memory can be saved",
    );
  }
  if (state !== "paused" && state !== "prelaunch" && state !== "postmigrate") {
    throw new Failure("DomainNotRunning", `the guest is ${state}; only a running or paused guest can be snapshotted`);
  }
  if (plan.capture === "live")
    throw new Failure(
      "DomainNotRunning",
      `capture live needs a running guest, this one is ${state}; use capture paused`,
    );
  return false;
}

/** libvirt refuses a block job only on disks that are not `no`. */
async function requireNoJobs(context: SnapshotContext, disks: readonly GuestDisk[]): Promise<void> {
  const graph = await context.guest.blockGraph();
  for (const job of await context.guest.blockJobs()) {
    const disk = disks.find(
      (candidate) =>
        [candidate.driveId, candidate.formatNode, candidate.deviceNode, candidate.qdev].includes(job.device) ||
        (candidate.formatNode !== undefined && graph.parents(candidate.formatNode).includes(job.device)),
    );
    const mode = context.job.plan.disks.find((planned) => planned.name === disk?.name)?.snapshot;
    if (disk !== undefined && mode === "none") continue;
    const name = disk?.name ?? job.device;
    throw new Failure(
      "DomainBusy",
      `disks[${name}]: a block job (${job.type}) is running on it; wait for it, cancel it, or set the disk to none`,
    );
  }
}

async function requireMigratable(context: SnapshotContext): Promise<void> {
  const blockers = await context.guest.migrationBlockers();
  if (blockers.length === 0) return;
  throw new Failure(
    "MigrationBlocked",
    `memory: this guest's memory cannot be saved: ${blockers.join("; ")}. Remove the device, or leave memory out`,
  );
}

async function plannedOverlays(context: SnapshotContext, disks: readonly GuestDisk[]): Promise<Overlay[]> {
  const { job, guest } = context;
  const external = job.plan.disks.filter((disk) => disk.snapshot === "external");
  if (external.length > 0 && job.domain.diskChangeCommand === undefined && (await guest.managedByLibvirt())) {
    throw new Failure(
      "ExternalNotSupported",
      "disks: libvirt manages this guest and would start it from the old image; configure a diskChangeCommand for the domain, or use manual",
    );
  }
  const overlays: Overlay[] = [];
  for (const [index, planned] of external.entries()) {
    const disk = disks.find((candidate) => candidate.name === planned.name);
    if (disk === undefined) continue; // requireWholePlan has refused it
    const path = await overlayFile(context, disk, planned.file);
    if (overlays.some((other) => other.path === path)) {
      throw new Failure(
        "FileExists",
        `disks[${disk.name}].source.file: ${path} is also the overlay of another disk; name another file`,
      );
    }
    overlays.push({ disk, path, ...overlayNodes(job.uid, index) });
  }
  return overlays;
}

/** A relative file lies beside the base image, where QEMU writes anyway; an absolute one in an allowed directory. */
async function overlayFile(context: SnapshotContext, disk: GuestDisk, file: string | undefined): Promise<string> {
  const { domain, name } = context.job;
  const field = `disks[${disk.name}].source.file`;
  if (disk.filename === undefined || !isAbsolute(disk.filename)) {
    throw new Failure("InvalidDisk", `disks[${disk.name}]: its image has no absolute path of its own; use manual`);
  }
  if (file === undefined && disk.sourceType !== "File") {
    throw new Failure(
      "InvalidDisk",
      `${field}: a disk on a ${disk.sourceType} source needs a file named for its overlay`,
    );
  }
  const from = dirname(disk.filename);
  const roots = [
    domain.snapshotDirectory,
    ...domain.allowedDirectories,
    ...(file !== undefined && isAbsolute(file) ? [] : [from]),
  ];
  return await newFilePath({ field, file: file ?? overlayPath(disk.filename, name), from, roots });
}

async function plannedMemoryFile(context: SnapshotContext, memoryBytes: number): Promise<string> {
  const { job } = context;
  const { snapshotDirectory, allowedDirectories } = job.domain;
  const file = job.plan.memory.file ?? defaultMemoryFile(job);
  const path = await newFilePath({
    field: "memory.file",
    file,
    from: snapshotDirectory,
    roots: [snapshotDirectory, ...allowedDirectories],
  });
  await requireSpace(dirname(path), memoryBytes);
  return path;
}

async function argumentsOf(pid: number): Promise<string[] | undefined> {
  const text = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => undefined);
  return text?.split("\0").filter((word, index, all) => index < all.length - 1 || word !== "");
}
