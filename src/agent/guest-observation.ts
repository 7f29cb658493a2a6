// What the agent reads of a guest in one go, and the Domain disks that follow from it.

import type { DomainDisk, DomainStatus } from "../api/v1alpha1/domain.ts";
import type { CaptureMode } from "../api/v1alpha1/fields.ts";
import type { Guest } from "../qemu/guest.ts";
import type { DomainConfiguration } from "./configuration.ts";

export type DomainState = NonNullable<DomainStatus["state"]>;

type GuestDisk = Awaited<ReturnType<Guest["disks"]>>[number];

export interface GuestObservation {
  readonly uuid: string;
  readonly state: DomainState;
  readonly qemuVersion: string;
  readonly memoryBytes: number;
  readonly captureModes: readonly CaptureMode[];
  readonly disks: readonly DomainDisk[];
  /** Where each disk's top image is now; never published. */
  readonly images: ReadonlyMap<string, string>;
}

/** Reads everything that the Domain shows. */
export async function observeGuest(guest: Guest, configuration: DomainConfiguration): Promise<GuestObservation> {
  const { uuid } = await guest.identity();
  const runState = await guest.runState();
  const disks = await guest.disks(configuration.disks);
  const managedByLibvirt = await guest.managedByLibvirt();
  const images = new Map<string, string>();
  for (const disk of disks) if (disk.filename !== undefined) images.set(disk.name, disk.filename);
  const { major, minor, micro } = guest.version;
  return {
    uuid,
    state: domainState(runState),
    qemuVersion: `${major}.${minor}.${micro}`,
    memoryBytes: await guest.memoryBytes(),
    captureModes: [...(await guest.captureModes())].sort(),
    disks: disks.map((disk) => domainDisk(disk, { configuration, managedByLibvirt })),
    images,
  };
}

/** QEMU's run state in the words of the API. */
export function domainState(runState: string): DomainState {
  switch (runState) {
    case "running":
      return "Running";
    case "paused":
    case "prelaunch":
    case "postmigrate":
    case "save-vm":
    case "debug":
    case "watchdog":
    case "io-error":
      return "Paused";
    case "finish-migrate":
    case "inmigrate":
    case "restore-vm":
    case "colo":
      return "Migrating";
    case "shutdown":
      return "ShutOff";
    case "suspended":
      return "Suspended";
    case "guest-panicked":
    case "internal-error":
      return "Crashed";
    default:
      return "Unknown";
  }
}

/** A disk as the Domain shows it: no paths, they are the node's business. */
export function domainDisk(
  disk: GuestDisk,
  context: { configuration: DomainConfiguration; managedByLibvirt: boolean },
): DomainDisk {
  const refusal = externalRefusal(disk, context);
  return {
    name: disk.name,
    bus: disk.bus,
    driver: disk.driver,
    ...(disk.sourceType !== undefined && { sourceType: disk.sourceType }),
    ...(disk.format !== undefined && { format: disk.format }),
    readOnly: disk.readOnly,
    empty: disk.empty,
    ...(disk.defaultSnapshot !== undefined && { defaultSnapshot: disk.defaultSnapshot }),
    ...(disk.persistentVolumeClaimName !== undefined && { persistentVolumeClaimName: disk.persistentVolumeClaimName }),
    ...(refusal !== undefined && { externalRefusal: refusal }),
  };
}

/**
 * Why QEMU cannot, or must not, put an overlay on the disk (libvirt's qemuDomainSnapshot checks and our own); undefined if
 * it can. Empty and read-only disks are refused too: an overlay on them would hold nothing.
 */
function externalRefusal(
  disk: GuestDisk,
  context: { configuration: DomainConfiguration; managedByLibvirt: boolean },
): string | undefined {
  if (disk.sourceType === "VhostUser") return "its image is opened by the vhost-user process, not by QEMU; use manual";
  if (disk.empty) return "the drive is empty";
  if (disk.lun) return "it is a SCSI LUN passed through to the guest; use manual";
  if (disk.bus === "sd") return "an SD card cannot be switched to an overlay; use manual";
  if (disk.transient) return "it is transient: its changes are dropped when QEMU ends";
  if (disk.shareRw) return "it is shared writable with other guests, which would not follow to an overlay; use manual";
  if (disk.readOnly) return "it is read-only";
  if (context.managedByLibvirt && context.configuration.diskChangeCommand === undefined) {
    return "libvirt manages this guest and would start it from the old image; configure a diskChangeCommand or use manual";
  }
  return undefined;
}
