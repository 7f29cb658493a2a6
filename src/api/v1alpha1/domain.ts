// Domain: "this virtual machine runs here". Written by the node's agent, read by everybody.

import { z } from "zod";
import { captureMode, conditions, diskName, objectMeta, objectName, resolvedMode, uuidField } from "./fields.ts";

export const domainSpec = z
  .object({
    nodeName: objectName("The node whose agent speaks to this guest."),
    uuid: uuidField("The guest's UUID as QEMU reports it."),
  })
  .meta({ description: "Who and where the guest is." });

export const domainDisk = z
  .object({
    name: diskName,
    bus: z.string().max(32).optional().meta({ description: "virtio, scsi, ide, sata, usb, sd or unknown." }),
    driver: z.string().max(64).optional().meta({ description: "QEMU's device driver, such as virtio-blk-pci." }),
    sourceType: z
      .enum(["File", "Block", "Network", "VhostUser"])
      .optional()
      .meta({ description: "What kind of storage the disk lies on; missing when the drive is empty." }),
    format: z.string().max(32).optional().meta({ description: "Image format, such as raw or qcow2." }),
    readOnly: z.boolean().meta({ description: "The guest cannot write to it." }),
    empty: z.boolean().meta({ description: "A drive without a medium." }),
    defaultSnapshot: resolvedMode
      .optional()
      .meta({ description: "The mode used when a snapshot does not list this disk." }),
    persistentVolumeClaimName: objectName(
      "The claim this disk lies on, as the agent's configuration declares it.",
    ).optional(),
    externalRefusal: z
      .string()
      .max(512)
      .optional()
      .meta({ description: "Why this disk cannot be external; missing when it can." }),
  })
  .meta({ description: "A disk of the guest." });

export const domainStatus = z
  .object({
    observedGeneration: z
      .int()
      .min(0)
      .optional()
      .meta({ description: "The generation this status describes.", format: "int64" }),
    state: z
      .enum(["Running", "Paused", "ShutOff", "Crashed", "Suspended", "Migrating", "Unknown"])
      .optional()
      .meta({ description: "The guest's run state." }),
    qemuVersion: z.string().max(64).optional().meta({ description: "Version of its QEMU." }),
    memoryBytes: z
      .int()
      .min(0)
      .optional()
      .meta({ description: "Size of the guest's memory in bytes.", format: "int64" }),
    disks: z
      .array(domainDisk)
      .max(64)
      .optional()
      .meta({
        description: "The guest's disks.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
      }),
    captureModes: z
      .array(captureMode)
      .max(8)
      .optional()
      .meta({ description: "The capture modes this guest can do.", "x-kubernetes-list-type": "set" }),
    activeSnapshot: z
      .string()
      .max(512)
      .optional()
      .meta({ description: "The DomainSnapshotContent that is being carried out." }),
    conditions: conditions.optional(),
  })
  .meta({ description: "What the agent sees." });

export const domain = z.object({
  apiVersion: z.string(),
  kind: z.literal("Domain"),
  metadata: objectMeta,
  spec: domainSpec,
  status: domainStatus.optional(),
});

export type Domain = z.output<typeof domain>;
export type DomainStatus = z.output<typeof domainStatus>;
export type DomainDisk = z.output<typeof domainDisk>;
