// Guest-side names: from the domain's configuration, else by bus and order as libvirt would give them.

import type { DiskNaming, GuestDisk } from "./disk.ts";

type Unnamed = Omit<GuestDisk, "name"> & { readonly serial?: string };

/** vda, vdb, ... vdz, vdaa: libvirt's virIndexToDiskName. */
export function indexToDiskName(index: number, prefix: string): string {
  let name = "";
  for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1)
    name = String.fromCharCode(97 + (rest % 26)) + name;
  return prefix + name;
}

function prefixOf(bus: string): string {
  switch (bus) {
    case "virtio":
      return "vd";
    case "ide":
      return "hd";
    case "fdc":
      return "fd";
    default:
      return "sd";
  }
}

/** Names every disk. A disk that the configuration names keeps that name; the others skip the names taken. */
export function nameDisks(disks: readonly Unnamed[], namings: readonly DiskNaming[]): GuestDisk[] {
  const found = new Map<Unnamed, DiskNaming>();
  for (const naming of namings) {
    const disk = disks.find((candidate) => !found.has(candidate) && matches(candidate, naming));
    if (disk !== undefined) found.set(disk, naming);
  }
  const taken = new Set([...found.values()].map((naming) => naming.name));
  const next = new Map<string, number>();
  return disks.map((disk) => {
    const { serial: _serial, ...known } = disk;
    const naming = found.get(disk);
    if (naming !== undefined) return described({ ...known, name: naming.name }, naming);
    const prefix = prefixOf(disk.bus);
    let index = next.get(prefix) ?? 0;
    let name = indexToDiskName(index, prefix);
    while (taken.has(name)) name = indexToDiskName(++index, prefix);
    next.set(prefix, index + 1);
    // A naming with nothing to find a disk by speaks of the disk that gets that name by order.
    const byOrder = namings.find((candidate) => candidate.name === name && isBare(candidate));
    return described({ ...known, name }, byOrder);
  });
}

function isBare(naming: DiskNaming): boolean {
  return naming.qdev === undefined && naming.node === undefined && naming.serial === undefined;
}

function matches(disk: Unnamed, naming: DiskNaming): boolean {
  const { qdev, node, serial } = naming;
  if (qdev !== undefined) return disk.qdev === qdev || disk.qdev === `/machine/peripheral/${qdev}`;
  if (node !== undefined) return [disk.deviceNode, disk.formatNode, disk.storageNode, disk.driveId].includes(node);
  return serial !== undefined && disk.serial === serial;
}

function described(disk: GuestDisk, naming: DiskNaming | undefined): GuestDisk {
  return {
    ...disk,
    ...(naming?.defaultSnapshot !== undefined && { defaultSnapshot: naming.defaultSnapshot }),
    ...(naming?.persistentVolumeClaimName !== undefined && {
      persistentVolumeClaimName: naming.persistentVolumeClaimName,
    }),
  };
}
