// DomainSnapshotContent: the resolved plan for one node, and what happened there.

import { z } from "zod";
import { contentDiskRules, contentRootRules, contentSpecRules, desiredRules } from "./content-rules.ts";
import {
  captureMode,
  conditions,
  deletionPolicy,
  diskName,
  diskResults,
  hold,
  memoryResult,
  microTimeField,
  objectMeta,
  objectName,
  pause,
  phase,
  quiesce,
  resolvedMode,
  snapshotError,
  timeline,
  uuidField,
} from "./fields.ts";
import { memoryFileOnlyExternal, sanePath } from "./rules.ts";

export const contentSpec = z
  .object({
    snapshotRef: z
      .object({
        namespace: objectName("Namespace of the DomainSnapshot."),
        name: objectName("Name of the DomainSnapshot."),
        uid: uuidField("UID of the DomainSnapshot."),
      })
      .meta({ description: "The request this content belongs to." }),
    nodeName: objectName("The node whose agent carries it out."),
    domain: z
      .object({
        namespace: objectName("Namespace of the Domain."),
        name: objectName("Name of the Domain."),
        uuid: uuidField("UUID the guest must have."),
      })
      .meta({ description: "The guest." }),
    capture: captureMode,
    memory: z
      .object({
        snapshot: z.enum(["external", "none"]).meta({ description: "Whether memory is saved." }),
        file: z.string().min(1).max(4096).optional().meta({ description: "Name of the memory file." }),
      })
      .meta({
        description: "The guest's memory.",
        "x-kubernetes-validations": [memoryFileOnlyExternal, ...sanePath("memory.file")],
      }),
    disks: z
      .array(
        z
          .object({
            name: diskName,
            snapshot: resolvedMode.meta({ description: "The mode of the disk." }),
            format: z.enum(["qcow2"]).optional().meta({ description: "Format of the overlay." }),
            file: z
              .string()
              .min(1)
              .max(4096)
              .optional()
              .meta({ description: "The overlay, where the request names one." }),
          })
          .meta({
            description: "One disk.",
            "x-kubernetes-validations": [...contentDiskRules, ...sanePath("disks[].file")],
          }),
      )
      .max(64)
      .meta({
        description: "Every disk of the domain.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
      }),
    quiesce,
    hold,
    description: z.string().max(4096).optional().meta({ description: "Text for people." }),
    desired: z.enum(["Held", "Released", "Aborted"]).meta({
      description: "What the operator wants of the hold; decided once.",
      "x-kubernetes-validations": desiredRules,
    }),
    deletionPolicy,
  })
  .meta({ description: "The plan.", "x-kubernetes-validations": contentSpecRules });

export const contentStatus = z
  .object({
    observedGeneration: z
      .int()
      .min(0)
      .optional()
      .meta({ description: "The generation this status describes.", format: "int64" }),
    phase: phase.optional(),
    step: z.string().max(64).optional().meta({ description: "The engine's current step." }),
    domainStateBefore: z.string().max(32).optional().meta({ description: "The guest's state before the pause." }),
    ...timeline,
    releaseSeenAt: microTimeField("When the agent saw desired change.").optional(),
    pause: pause.optional(),
    holdDeadline: microTimeField("When the hold ends by itself.").optional(),
    holdExpired: z.boolean().optional().meta({ description: "The deadline passed and the guest is kept paused." }),
    memory: memoryResult.optional(),
    disks: diskResults.optional(),
    quiesced: z.boolean().optional().meta({ description: "Whether the guest's file systems were frozen." }),
    quiesceMessage: z.string().max(4096).optional().meta({ description: "Why they were not." }),
    manifest: z
      .string()
      .max(4096)
      .optional()
      .meta({ description: "The manifest snapshot.json; relative to the snapshot directory where it lies inside it." }),
    error: snapshotError.optional(),
    conditions: conditions.optional(),
  })
  .meta({ description: "What happened." });

export const domainSnapshotContent = z
  .object({
    apiVersion: z.string(),
    kind: z.literal("DomainSnapshotContent"),
    metadata: objectMeta,
    spec: contentSpec,
    status: contentStatus.optional(),
  })
  .meta({ "x-kubernetes-validations": contentRootRules });

export type DomainSnapshotContent = z.output<typeof domainSnapshotContent>;
export type ContentSpec = z.output<typeof contentSpec>;
export type ContentStatus = z.output<typeof contentStatus>;
