// Building blocks that the three kinds share: names, times, conditions and the results of a snapshot.

import { z } from "zod";
import type {} from "../kubernetes-extensions.ts";

/** A MicroTime as Kubernetes writes it. */
export const microTimeField = (description: string) => z.iso.datetime().meta({ description });

/** RFC 1123 label or subdomain, as object names are. */
export const objectName = (description: string) =>
  z
    .string()
    .min(1)
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/)
    .meta({ description });

export const uuidField = (description: string) =>
  z
    .string()
    .max(36)
    .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/)
    .meta({ description });

export const diskName = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/)
  .meta({ description: "The disk's name as the guest sees it (target name), such as vda or sdb." });

export const captureMode = z.enum(["paused", "live", "background"]).meta({
  description:
    "How memory is captured. paused: the guest is stopped for the whole save. live: it runs until memory has converged, then stops. background: it stops, and memory streams behind the resumed guest (QEMU 9.0 or newer).",
});

export const condition = z
  .object({
    type: z.string().min(1).max(316).meta({ description: "Type of the condition." }),
    status: z.enum(["True", "False", "Unknown"]).meta({ description: "Status of the condition." }),
    observedGeneration: z
      .int()
      .min(0)
      .optional()
      .meta({ description: "The metadata.generation the condition was set upon.", format: "int64" }),
    lastTransitionTime: z.iso.datetime().meta({ description: "When the status last changed." }),
    reason: z.string().min(1).max(1024).meta({ description: "CamelCase reason of the last transition." }),
    message: z.string().max(32768).meta({ description: "Text for people." }),
  })
  .meta({ description: "An observation in the shape of metav1.Condition." });

export const conditions = z
  .array(condition)
  .max(32)
  .meta({
    description: "Observations of the current state.",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
  });

export const phase = z
  .enum([
    "Pending",
    "Preparing",
    "SavingMemory",
    "SwitchingDisks",
    "ManualStoragePending",
    "Resuming",
    "Completed",
    "Failed",
  ])
  .meta({ description: "A summary for people; programs read the conditions." });

/** The timeline of a snapshot; every time is the node's clock. */
export const timeline = {
  startedAt: microTimeField("When the agent began.").optional(),
  pausedAt: microTimeField("When the guest stopped.").optional(),
  memorySavedAt: microTimeField("When QEMU had written the memory.").optional(),
  disksSwitchedAt: microTimeField("When the external disks were on their overlays.").optional(),
  manualStoragePendingAt: microTimeField("When the hold began: from here on the storage's owner may cut.").optional(),
  resumedAt: microTimeField("When the guest ran again.").optional(),
  completedAt: microTimeField("When everything was durable, or had been rolled back.").optional(),
};

export const pause = z
  .object({
    totalMilliseconds: z.number().min(0).optional().meta({ description: "How long the guest stood still in all." }),
    beforeHoldMilliseconds: z
      .number()
      .min(0)
      .optional()
      .meta({ description: "From the stop to the begin of the hold." }),
    holdMilliseconds: z
      .number()
      .min(0)
      .optional()
      .meta({ description: "From the begin of the hold to the request to resume." }),
    resumeMilliseconds: z
      .number()
      .min(0)
      .optional()
      .meta({ description: "From the request to resume to the running guest." }),
  })
  .meta({ description: "What the guest felt, in milliseconds." });

export const memoryResult = z
  .object({
    file: z
      .string()
      .max(4096)
      .optional()
      .meta({ description: "The memory file; relative to the snapshot directory where it lies inside it." }),
    format: z.string().max(64).optional().meta({ description: "How the file was written: file, exec or mapped-ram." }),
    sizeBytes: z.int().min(0).optional().meta({ description: "Length of the memory file in bytes.", format: "int64" }),
    progressPercent: z.int().min(0).max(100).optional().meta({ description: "Progress of the save.", format: "int32" }),
  })
  .meta({ description: "The memory as it was saved." });

export const resolvedMode = z.enum(["manual", "external", "none"]);

export const diskResult = z
  .object({
    name: diskName,
    snapshot: resolvedMode.meta({ description: "The mode the disk was given." }),
    overlay: z.string().max(4096).optional().meta({
      description: "The new top image of an external disk; relative to the snapshot directory where it lies inside it.",
    }),
    message: z.string().max(1024).optional().meta({ description: "Anything worth saying about this disk." }),
  })
  .meta({ description: "One disk of the domain." });

export const diskResults = z
  .array(diskResult)
  .max(64)
  .meta({
    description: "Every disk of the domain with its resolved mode.",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
  });

export const snapshotError = z
  .object({
    reason: z.string().max(64).meta({ description: "CamelCase reason; docs/failure-reasons.md lists them." }),
    message: z.string().max(4096).meta({ description: "What happened, where, and what to do." }),
    step: z.string().max(64).optional().meta({ description: "The step of the engine that failed." }),
  })
  .meta({ description: "Why the snapshot failed." });

export const hold = z
  .object({
    timeoutSeconds: z
      .int()
      .min(0)
      .max(604800)
      .default(600)
      .meta({ description: "How long the guest may be held, in seconds; 0 means no limit.", format: "int32" }),
    onTimeout: z
      .enum(["Resume", "KeepPaused"])
      .default("Resume")
      .meta({ description: "What happens at the deadline." }),
  })
  .meta({ description: "The bound of the hold." });

export const quiesce = z
  .enum(["Never", "BestEffort", "Required"])
  .meta({ description: "Whether the guest agent freezes file systems; other than Never only without memory." });

export const deletionPolicy = z
  .enum(["Retain", "Delete"])
  .meta({ description: "What happens to the captured files when the DomainSnapshot is deleted." });

/** metadata as this project reads it. Everything else the server sends is kept out of our types. */
export const objectMeta = z.looseObject({
  name: z.string(),
  namespace: z.string().optional(),
  uid: z.string().optional(),
  resourceVersion: z.string().optional(),
  generation: z.number().optional(),
  creationTimestamp: z.string().optional(),
  deletionTimestamp: z.string().optional(),
  finalizers: z.array(z.string()).optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});

export type Condition = z.output<typeof condition>;
export type Phase = z.output<typeof phase>;
export type CaptureMode = z.output<typeof captureMode>;
