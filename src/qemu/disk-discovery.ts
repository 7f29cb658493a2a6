// Finds the guest's disks: block devices by query-block, vhost-user-blk devices (which are not in it) by QOM.

import { z } from "zod";
import { call, type Reply } from "../qmp/commands.ts";
import type { QmpConnection } from "../qmp/connection.ts";
import { QmpError } from "../qmp/qmp-error.ts";
import { BlockGraph } from "./block-graph.ts";
import type { Bitmap, DiskNaming, GuestDisk, SourceType } from "./disk.ts";
import { nameDisks } from "./disk-names.ts";

type Found = Omit<GuestDisk, "name"> & { readonly serial?: string };
type BlockInfo = Reply<"query-block">[number];

/** Every disk and drive of the guest, named. */
export async function discoverDisks(
  connection: QmpConnection,
  namings: readonly DiskNaming[] = [],
  signal?: AbortSignal,
): Promise<GuestDisk[]> {
  const [blocks, graph, machine] = await Promise.all([
    call(connection, "query-block", undefined, { signal }),
    BlockGraph.read(connection, signal),
    property(connection, "/machine", "type", z.string()),
  ]);
  const sata = machine?.includes("q35") === true;
  const found: Found[] = [];
  for (const block of blocks) {
    if (block.qdev === undefined) continue; // pflash and the like belong to the machine, not to the guest's disks
    found.push(await blockDisk(connection, { block, qdev: qomPath(block.qdev), graph, sata }));
  }
  for (const directory of ["/machine/peripheral", "/machine/peripheral-anon"]) {
    for (const child of await call(connection, "qom-list", { path: directory }, { signal })) {
      const driver = /^child<(vhost-user-blk[a-z-]*)>$/.exec(child.type)?.[1];
      if (driver === undefined) continue;
      const qdev = `${directory}/${child.name}`;
      found.push({ ...noImage, bus: "virtio", driver, qdev, sourceType: "VhostUser", readOnly: false, empty: false });
    }
  }
  return nameDisks(found, namings);
}

const noImage = { bitmaps: [], lun: false, transient: false, shareRw: false };

async function blockDisk(
  connection: QmpConnection,
  context: { block: BlockInfo; qdev: string; graph: BlockGraph; sata: boolean },
): Promise<Found> {
  const { block, qdev, graph, sata } = context;
  const driver = (await property(connection, qdev, "type", z.string())) ?? "unknown";
  const device = { bus: busOf(driver, sata), driver, qdev };
  const { inserted } = block;
  if (inserted === undefined) return { ...noImage, ...device, readOnly: true, empty: true };
  const deviceNode = inserted["node-name"] ?? "";
  const formatNode = graph.formatNode(deviceNode);
  const format = graph.node(formatNode);
  const storageNode = graph.child(formatNode, "file") ?? formatNode;
  const storage = graph.node(storageNode);
  const backingNode = graph.child(formatNode, "backing");
  const [serial, shareRw] = await Promise.all([
    property(connection, qdev, "serial", z.string()),
    property(connection, qdev, "share-rw", z.boolean()),
  ]);
  const sourceType = sourceTypeOf(storage?.drv ?? "");
  const cache = format?.cache;
  return {
    ...device,
    sourceType,
    format: format?.drv ?? inserted.drv,
    readOnly: inserted.ro,
    empty: false,
    deviceNode,
    formatNode,
    storageNode,
    ...(backingNode !== undefined && { backingNode }),
    ...((sourceType === "File" || sourceType === "Block") && { filename: storage?.file ?? inserted.file }),
    ...(format?.image !== undefined && { virtualSizeBytes: format.image["virtual-size"] }),
    ...(format?.image?.["cluster-size"] !== undefined && { clusterSizeBytes: format.image["cluster-size"] }),
    ...(format?.detect_zeroes !== undefined && { detectZeroes: format.detect_zeroes }),
    ...(cache !== undefined && { cache: { direct: cache.direct, noFlush: cache["no-flush"] } }),
    ...(block.device !== "" && { driveId: block.device }),
    ...(serial !== undefined && serial !== "" && { serial }),
    bitmaps: bitmapsOf(format),
    lun: driver === "scsi-block" || driver === "scsi-generic",
    transient: inserted["snapshot"] === true,
    shareRw: shareRw === true,
  };
}

function bitmapsOf(node: ReturnType<BlockGraph["node"]>): Bitmap[] {
  return (node?.["dirty-bitmaps"] ?? []).flatMap(({ name, ...bitmap }) =>
    name === undefined ? [] : [{ name, ...bitmap }],
  );
}

function qomPath(qdev: string): string {
  const path = qdev.startsWith("/") ? qdev : `/machine/peripheral/${qdev}`;
  return path.replace(/\/virtio-backend$/, "");
}

function busOf(driver: string, sata: boolean): string {
  if (driver.startsWith("virtio-blk")) return "virtio";
  if (driver.startsWith("scsi-")) return "scsi";
  if (driver.startsWith("ide-")) return sata ? "sata" : "ide";
  if (driver.startsWith("usb-")) return "usb";
  if (driver.startsWith("sd-card")) return "sd";
  if (driver.startsWith("floppy")) return "fdc";
  return "unknown";
}

function sourceTypeOf(protocol: string): SourceType {
  if (protocol === "file") return "File";
  if (protocol === "host_device" || protocol === "host_cdrom") return "Block";
  return "Network";
}

async function property<T>(
  connection: QmpConnection,
  path: string,
  name: string,
  schema: z.ZodType<T>,
): Promise<T | undefined> {
  try {
    return schema.safeParse(await call(connection, "qom-get", { path, property: name })).data;
  } catch (error) {
    if (error instanceof QmpError) return undefined; // this device has no such property
    throw error;
  }
}
