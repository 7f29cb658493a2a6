// A disk of the guest as QEMU knows it, with the name the guest knows it by.

/** How the domain's configuration names a disk and what it says of it. One of qdev, node or serial finds it. */
export interface DiskNaming {
  readonly name: string;
  /** Device id or QOM path. */
  readonly qdev?: string | undefined;
  /** node-name of the image or of the drive. */
  readonly node?: string | undefined;
  readonly serial?: string | undefined;
  readonly defaultSnapshot?: "manual" | "external" | "none" | undefined;
  readonly persistentVolumeClaimName?: string | undefined;
}

export interface Bitmap {
  readonly name: string;
  readonly granularity: number;
  readonly persistent: boolean;
  readonly recording: boolean;
  readonly inconsistent: boolean;
}

export type SourceType = "File" | "Block" | "Network" | "VhostUser";

export interface GuestDisk {
  readonly name: string;
  /** virtio, scsi, ide, sata, usb, sd or unknown. */
  readonly bus: string;
  /** QEMU's device driver, such as virtio-blk-pci. */
  readonly driver: string;
  readonly sourceType?: SourceType;
  readonly format?: string;
  readonly readOnly: boolean;
  readonly empty: boolean;
  /** QOM path of the device, whose property `drive` names the top node. */
  readonly qdev?: string;
  /** Top node as the device sees it: the format node, or a filter above it. */
  readonly deviceNode?: string;
  /** The image: what an overlay is put on. */
  readonly formatNode?: string;
  readonly storageNode?: string;
  /** Node of the image's own backing file. */
  readonly backingNode?: string;
  readonly filename?: string;
  readonly virtualSizeBytes?: number;
  readonly clusterSizeBytes?: number;
  readonly detectZeroes?: string;
  readonly cache?: { readonly direct: boolean; readonly noFlush: boolean };
  /** Set for `-drive` guests, whose nodes nobody named: they can only be switched back by a commit. */
  readonly driveId?: string;
  readonly bitmaps: readonly Bitmap[];
  readonly lun: boolean;
  readonly transient: boolean;
  readonly shareRw: boolean;
  readonly defaultSnapshot?: "manual" | "external" | "none";
  readonly persistentVolumeClaimName?: string;
}
