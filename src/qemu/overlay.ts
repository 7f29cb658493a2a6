// Overlays: made while the guest runs, switched to in one transaction, taken back in place or by a commit.

import { call } from "../qmp/commands.ts";
import { Failure } from "../runtime/failure.ts";
import type { GuestDisk } from "./disk.ts";
import type { Guest } from "./guest.ts";
import { awaitJob, concludeJob, dismissJob, jobStatus } from "./jobs.ts";

/** An overlay's two nodes; `disk` is the guest's disk as it was before. */
export interface Overlay {
  readonly disk: GuestDisk;
  readonly path: string;
  /** node-name of the qcow2; at most 31 characters. */
  readonly node: string;
  readonly storageNode: string;
}

/** Node names of an overlay, unique per snapshot and disk within QEMU's 31 characters. */
export function overlayNodes(uid: string, index: number): { readonly node: string; readonly storageNode: string } {
  const stem = `dsnap-${uid.replaceAll("-", "").slice(0, 16)}-${index}`;
  return { node: stem, storageNode: `${stem}-f` };
}

/**
 * Formats the (existing, empty) file at `overlay.path` and adds its nodes. `backing: null` because the image's own
 * reference would be opened and fail on the lock; the transaction inserts the real one. The base's cache mode is used,
 * since from the switch on the overlay's node options apply.
 */
export async function createOverlay(guest: Guest, overlay: Overlay, signal?: AbortSignal): Promise<void> {
  const { disk, path, node, storageNode } = overlay;
  const { filename, format, virtualSizeBytes } = disk;
  if (filename === undefined || format === undefined || virtualSizeBytes === undefined) {
    throw new Failure("InvalidDisk", `${disk.name} has no image that an overlay could refer to`);
  }
  const cache =
    disk.cache === undefined ? {} : { cache: { direct: disk.cache.direct, "no-flush": disk.cache.noFlush } };
  await call(
    guest.connection,
    "blockdev-add",
    { driver: "file", "node-name": storageNode, filename: path, ...cache },
    { signal },
  );
  const job = createJob(overlay);
  await call(guest.connection, "blockdev-create", {
    "job-id": job,
    options: {
      driver: "qcow2",
      file: storageNode,
      size: virtualSizeBytes,
      "backing-file": filename,
      "backing-fmt": format,
      ...(format === "qcow2" && disk.clusterSizeBytes !== undefined && { "cluster-size": disk.clusterSizeBytes }),
    },
  });
  await concludeJob(guest, job, `${disk.name}: cannot format ${path}`, signal);
  const zeroes = disk.detectZeroes === undefined ? {} : { "detect-zeroes": disk.detectZeroes };
  await call(
    guest.connection,
    "blockdev-add",
    { driver: "qcow2", "node-name": node, file: storageNode, backing: null, discard: "unmap", ...cache, ...zeroes },
    { signal },
  );
}

/** Puts every disk on its overlay, all or none; persistent recording bitmaps go on in the overlay. */
export async function switchDisks(guest: Guest, overlays: readonly Overlay[], signal?: AbortSignal): Promise<void> {
  const actions = overlays.flatMap(({ disk, node }) => [
    ...disk.bitmaps
      .filter((bitmap) => bitmap.persistent && bitmap.recording && !bitmap.inconsistent)
      .map(({ name, granularity }) => ({
        type: "block-dirty-bitmap-add",
        data: { node, name, granularity, persistent: true },
      })),
    { type: "blockdev-snapshot", data: { node: disk.formatNode, overlay: node } },
  ]);
  await call(guest.connection, "transaction", { actions }, { signal });
}

/** Whether the disk's device can be put back on its base in place; else only a commit helps. */
export function canSwitchBack(disk: GuestDisk): boolean {
  return disk.driveId === undefined && disk.deviceNode === disk.formatNode && disk.qdev !== undefined;
}

/**
 * Puts the device back on its base. Only while the guest has not run since the switch: its writes since would be lost.
 * blockdev-reopen takes every option that is not default, else it falls back to the default.
 */
export async function switchBack(guest: Guest, overlay: Overlay, signal?: AbortSignal): Promise<void> {
  const { disk } = overlay;
  const options = {
    driver: disk.format,
    "node-name": disk.formatNode,
    file: disk.storageNode,
    "read-only": false,
    ...(disk.backingNode !== undefined && { backing: disk.backingNode }),
    ...(disk.cache !== undefined && { cache: { direct: disk.cache.direct, "no-flush": disk.cache.noFlush } }),
    ...(disk.detectZeroes !== undefined && { "detect-zeroes": disk.detectZeroes }),
  };
  await call(guest.connection, "blockdev-reopen", { options: [options] }, { signal });
  // Never sent once the signal is aborted: by then the guest may run, and its writes since would be lost.
  const drive = { path: disk.qdev, property: "drive", value: disk.formatNode };
  await call(guest.connection, "qom-set", drive, { signal });
}

/**
 * Merges the overlay into its base and pivots the device back to it, while the guest runs or is merely paused. A commit
 * that another process began is taken up.
 */
export async function commitOverlay(guest: Guest, overlay: Overlay, signal?: AbortSignal): Promise<void> {
  const job = commitJob(overlay);
  const { disk, node } = overlay;
  const what = `${disk.name}: cannot merge ${overlay.path} into its base`;
  // QEMU wants the node that the device sees: the overlay, or a filter above it.
  const filtered = disk.deviceNode !== undefined && disk.deviceNode !== disk.formatNode && disk.driveId === undefined;
  // One that failed long ago, or has ended well, is dismissed; which of the two, the graph tells.
  const left = await jobStatus(guest, job);
  if (left === "concluded") await dismissJob(guest, job);
  if (left === undefined || left === "concluded") {
    if ((await guest.blockGraph()).parents(node).length === 0) return;
    await call(guest.connection, "block-commit", {
      "job-id": job,
      device: filtered ? disk.deviceNode : node,
      // Both ends are named: without a base QEMU merges the whole chain, earlier snapshots included.
      "top-node": node,
      "base-node": disk.formatNode,
      "auto-finalize": true,
      "auto-dismiss": false,
    });
  }
  if ((await awaitJob(guest, job, ["ready"], signal)) === "ready")
    await call(guest.connection, "job-complete", { id: job });
  await concludeJob(guest, job, what, signal);
}

/** Whether a merge of the overlay was begun and is not yet dismissed. */
export async function isCommitting(guest: Guest, overlay: Overlay): Promise<boolean> {
  return (await jobStatus(guest, commitJob(overlay))) !== undefined;
}

function commitJob(overlay: Overlay): string {
  return `${overlay.node}-commit`;
}

function createJob(overlay: Overlay): string {
  return `${overlay.node}-create`;
}

/**
 * Removes the overlay's nodes, format first, and what is left of their making; what does not exist is fine. Throws while
 * something uses them.
 */
export async function deleteOverlayNodes(guest: Guest, overlay: Overlay, signal?: AbortSignal): Promise<void> {
  if ((await jobStatus(guest, createJob(overlay))) !== undefined) {
    await awaitJob(guest, createJob(overlay), ["concluded"], signal);
    await dismissJob(guest, createJob(overlay));
  }
  const existing = (await guest.blockGraph()).names;
  for (const node of [overlay.node, overlay.storageNode]) {
    if (existing.includes(node)) await call(guest.connection, "blockdev-del", { "node-name": node }, { signal });
  }
}

/** After a save the nodes are inactive until the guest runs; QEMU >= 10.0 can activate them before. */
export async function activateNodes(guest: Guest): Promise<void> {
  if (guest.isAtLeast(10, 0)) await call(guest.connection, "blockdev-set-active", { active: true });
}
