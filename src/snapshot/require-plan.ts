// The plan was made from what was published; the guest's disks are looked at again on the node.

import type { GuestDisk } from "../qemu/disk.ts";
import { Failure } from "../runtime/failure.ts";
import type { Plan } from "./plan.ts";

/** Throws Failure InvalidDisk if the plan speaks of a disk that the guest lacks, or asks what the disk cannot do. */
export function requireWholePlan(plan: Plan, disks: readonly GuestDisk[]): void {
  for (const planned of plan.disks) {
    const disk = disks.find((candidate) => candidate.name === planned.name);
    if (disk === undefined)
      throw new Failure("InvalidDisk", `disks[${planned.name}]: the guest no longer has this disk`);
    if (planned.snapshot !== "external") continue;
    const refusal = externalRefusal(disk);
    if (refusal !== undefined)
      throw new Failure("InvalidDisk", `disks[${planned.name}]: external is not possible: ${refusal}`);
  }
}

/** Why QEMU cannot put an overlay on the disk (libvirt's qemuSnapshotPrepare); undefined if it can. */
export function externalRefusal(disk: GuestDisk): string | undefined {
  if (disk.sourceType === "VhostUser") return "its image is opened by the vhost-user process, not by QEMU; use manual";
  if (disk.empty) return "the drive is empty";
  if (disk.lun) return "it is a SCSI LUN passed through to the guest; use manual";
  if (disk.bus === "sd") return "an SD card cannot be switched to an overlay; use manual";
  if (disk.transient) return "it is transient: its changes are dropped when QEMU ends";
  if (disk.shareRw) return "it is shared writable with other guests, which would not follow to an overlay; use manual";
  if (disk.readOnly) return "it is read-only";
  if (disk.sourceType === "Network") return "its base has no path on this node that an overlay could name; use manual";
  return undefined;
}
