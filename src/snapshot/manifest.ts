// What a person with nothing but the files needs for a restore: snapshot.json and libvirt's domainsnapshot.xml.

import { constants } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { SnapshotContext } from "./context.ts";
import { domainSnapshotXml } from "./domain-snapshot-xml.ts";
import { fileDigest } from "./file-digest.ts";

/** Version of the manifest's layout. */
const manifestVersion = 1;

/**
 * Writes both files (0600, never over an existing one) beside the memory file; resolves with the path of the manifest.
 * The first snapshot of a directory has the plain names, later ones their own in front. Safe to repeat.
 */
export async function writeManifest(context: SnapshotContext): Promise<string> {
  const { job, prepared } = context;
  await removeManifest(context);
  const directory = prepared.memoryFile === undefined ? job.domain.snapshotDirectory : dirname(prepared.memoryFile);
  const texts = {
    "snapshot.json": `${JSON.stringify(await content(context), null, 2)}\n`,
    "domainsnapshot.xml": domainSnapshotXml(context),
  };
  const taken = await readdir(directory);
  const prefix = Object.keys(texts).some((name) => taken.includes(name))
    ? `${job.namespace}-${job.name}-${job.uid.slice(0, 8)}.`
    : "";
  for (const [name, text] of Object.entries(texts)) await write(context, join(directory, `${prefix}${name}`), text);
  return join(directory, `${prefix}snapshot.json`);
}

/** Removes what `writeManifest` wrote. */
export async function removeManifest(context: SnapshotContext): Promise<void> {
  for (const path of context.files.paths("manifest")) await context.files.remove(path);
}

async function write(context: SnapshotContext, path: string, text: string): Promise<void> {
  const { files } = context;
  await files.create("manifest", path);
  const file = await open(files.hidden(path), constants.O_WRONLY);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await files.publish(path);
}

async function content(context: SnapshotContext): Promise<object> {
  const { job, prepared, report, guest, memoryWriter, verdict } = context;
  const { version } = guest;
  const memory =
    prepared.memoryFile === undefined || memoryWriter === undefined
      ? undefined
      : {
          file: prepared.memoryFile,
          format: memoryWriter.format,
          offsetBytes: memoryWriter.offsetBytes,
          ...(await fileDigest(prepared.memoryFile)),
        };
  return {
    version: manifestVersion,
    snapshot: {
      namespace: job.namespace,
      name: job.name,
      uid: job.uid,
      ...(job.plan.description !== undefined && { description: job.plan.description }),
    },
    domain: {
      namespace: job.domain.namespace,
      name: job.domain.name,
      uuid: prepared.uuid,
      stateBefore: report.domainStateBefore,
    },
    capture: job.plan.capture,
    ...(verdict !== undefined && { failed: { reason: verdict.reason, message: verdict.message } }),
    qemu: {
      version: `${version.major}.${version.minor}.${version.micro}`,
      package: version.package,
      ...(prepared.qemuArguments !== undefined && { arguments: prepared.qemuArguments }),
    },
    timeline: {
      startedAt: report.startedAt,
      pausedAt: report.pausedAt,
      memorySavedAt: report.memorySavedAt,
      disksSwitchedAt: report.disksSwitchedAt,
      manualStoragePendingAt: report.manualStoragePendingAt,
      resumedAt: report.resumedAt,
    },
    pause: report.pause,
    ...(memory !== undefined && { memory }),
    disks: prepared.disks.map((disk) => {
      const mode = job.plan.disks.find((planned) => planned.name === disk.name)?.snapshot ?? "none";
      const overlay = prepared.overlays.find((candidate) => candidate.disk.name === disk.name);
      return {
        name: disk.name,
        snapshot: mode,
        ...(disk.filename !== undefined && { base: disk.filename }),
        ...(disk.format !== undefined && { format: disk.format }),
        ...(overlay !== undefined && { overlay: overlay.path }),
        ...(disk.qdev !== undefined && { qdev: disk.qdev }),
        ...(disk.formatNode !== undefined && { node: disk.formatNode }),
      };
    }),
    ...(memory !== undefined &&
      memoryWriter !== undefined && {
        // QEMU with the same machine and devices, `-S -incoming defer`, then over QMP: these capabilities, these
        // parameters, `migrate-incoming` with this uri.
        restore: {
          capabilities: [{ capability: "events", state: true }],
          parameters: {},
          uri: memoryWriter.restoreUri(memory.file),
        },
      }),
  };
}
