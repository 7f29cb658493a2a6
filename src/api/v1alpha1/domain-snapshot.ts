// DomainSnapshot: the request, a mirror of libvirt's <domainsnapshot>.

import { z } from "zod";
import { diskRules, rootRules, specRules } from "./domain-snapshot-rules.ts";
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
  snapshotError,
  timeline,
  uuidField,
} from "./fields.ts";
import { memoryFileOnlyExternal, sanePath } from "./rules.ts";

export const memoryRequest = z
  .object({
    snapshot: z
      .enum(["external", "none"])
      .meta({ description: "external saves memory to a file; none does not. Memory has no manual mode." }),
    file: z
      .string()
      .min(1)
      .max(4096)
      .optional()
      .meta({ description: "Relative to the domain's snapshot directory, or absolute inside an allowed directory." }),
  })
  .meta({
    description: "The guest's memory; left out means none.",
    "x-kubernetes-validations": [memoryFileOnlyExternal, ...sanePath("memory.file")],
  });

export const diskRequest = z
  .object({
    name: diskName,
    snapshot: z.enum(["manual", "external", "none", "no"]).optional().meta({
      description:
        'manual: cut by the storage\'s owner during the hold. external: QEMU overlay. none, or "no" in quotes: left out.',
    }),
    driver: z
      .object({ type: z.enum(["qcow2"]).optional().meta({ description: "Format of the overlay." }) })
      .optional()
      .meta({ description: "The overlay's driver; only for external." }),
    source: z
      .object({
        file: z.string().min(1).max(4096).optional().meta({
          description:
            "The overlay; relative to the directory of the base image, or absolute inside an allowed directory.",
        }),
      })
      .optional()
      .meta({
        description: "Where the overlay goes; only for external.",
        "x-kubernetes-validations": sanePath("disks[].source.file"),
      }),
  })
  .meta({ description: "One disk.", "x-kubernetes-validations": diskRules });

export const domainSnapshotSpec = z
  .object({
    domainRef: z
      .object({ name: objectName("Name of a Domain in the same namespace.") })
      .meta({ description: "The guest to snapshot." }),
    capture: captureMode.default("paused"),
    memory: memoryRequest.optional(),
    disks: z
      .array(diskRequest)
      .max(64)
      .optional()
      .meta({
        description:
          "The disks and their modes. Unlisted: empty, read-only and vhost-user disks none; else the domain's default; else external.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
      }),
    quiesce: quiesce.default("Never"),
    hold: hold.optional(),
    notAfter: z.iso.datetime({ offset: true }).optional().meta({
      description:
        "Not begun after this time (RFC 3339): a snapshot that a pipeline creates again later never pauses the guest.",
    }),
    startDeadlineSeconds: z
      .int()
      .min(1)
      .max(31_536_000)
      .optional()
      .meta({ description: "Not begun later than this after its creation; a re-creation renews it.", format: "int64" }),
    description: z.string().max(4096).optional().meta({ description: "Text for people." }),
    deletionPolicy: deletionPolicy.default("Retain"),
    resume: z
      .boolean()
      .optional()
      .meta({ description: "Set to true during the hold: the storage's owner is done, the guest may run. Latched." }),
    abort: z
      .boolean()
      .optional()
      .meta({ description: "Set to true: give up, drop what was captured, let the guest run. Latched." }),
  })
  .meta({ description: "What to snapshot.", "x-kubernetes-validations": specRules });

export const domainSnapshotStatus = z
  .object({
    observedGeneration: z
      .int()
      .min(0)
      .optional()
      .meta({ description: "The generation this status describes.", format: "int64" }),
    phase: phase.optional(),
    conditions: conditions.optional(),
    nodeName: objectName("The node that carries it out.").optional(),
    contentName: objectName("The DomainSnapshotContent that belongs to it.").optional(),
    domainUUID: uuidField("UUID of the guest.").optional(),
    domainStateBefore: z.string().max(32).optional().meta({ description: "The guest's state before the pause." }),
    ...timeline,
    resumeRequestedAt: microTimeField("When the first resume was seen.").optional(),
    abortRequestedAt: microTimeField("When the first abort was seen.").optional(),
    requestedBy: z.string().max(256).optional().meta({ description: "Field manager that set resume or abort." }),
    pause: pause.optional(),
    holdDeadline: microTimeField("When the hold ends by itself.").optional(),
    memory: memoryResult.optional(),
    disks: diskResults.optional(),
    error: snapshotError.optional(),
  })
  .meta({ description: "What happened." });

export const domainSnapshot = z
  .object({
    apiVersion: z.string(),
    kind: z.literal("DomainSnapshot"),
    metadata: objectMeta,
    spec: domainSnapshotSpec,
    status: domainSnapshotStatus.optional(),
  })
  .meta({ "x-kubernetes-validations": rootRules });

export type DomainSnapshot = z.output<typeof domainSnapshot>;
export type DomainSnapshotSpec = z.output<typeof domainSnapshotSpec>;
export type DomainSnapshotStatus = z.output<typeof domainSnapshotStatus>;
