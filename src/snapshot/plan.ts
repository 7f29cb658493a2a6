// Which disk gets which mode, and every refusal that needs no guest. Pure; used by the operator and by a lone node alike.

import { Failure } from "../runtime/failure.ts";

export type CaptureMode = "paused" | "live" | "background";
export type DiskMode = "manual" | "external" | "none";

export interface HoldBound {
  /** Seconds; 0 means no limit. */
  readonly timeoutSeconds: number;
  readonly onTimeout: "Resume" | "KeepPaused";
}

/** What is asked for: the fields of a DomainSnapshot's spec, or of libvirt's <domainsnapshot>. */
export interface PlanRequest {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly capture: CaptureMode;
  readonly memory?: { readonly snapshot: "external" | "none"; readonly file?: string | undefined } | undefined;
  readonly disks?:
    | readonly {
        readonly name: string;
        readonly snapshot?: DiskMode | "no" | undefined;
        readonly driver?: { readonly type?: "qcow2" | undefined } | undefined;
        readonly source?: { readonly file?: string | undefined } | undefined;
      }[]
    | undefined;
  readonly quiesce: "Never" | "BestEffort" | "Required";
  readonly hold?: HoldBound | undefined;
  readonly description?: string | undefined;
}

/** What is known of the guest. */
export interface PlanDomain {
  /** Left out where what is known may be a second old: then the node decides, from the guest itself. */
  readonly state?: string | undefined;
  readonly disks: readonly {
    readonly name: string;
    readonly readOnly: boolean;
    readonly empty: boolean;
    readonly sourceType?: string | undefined;
    readonly defaultSnapshot?: DiskMode | undefined;
    /** Why the disk cannot be external. */
    readonly externalRefusal?: string | undefined;
  }[];
  readonly captureModes?: readonly CaptureMode[] | undefined;
}

export interface PlannedDisk {
  readonly name: string;
  readonly snapshot: DiskMode;
  readonly format?: "qcow2" | undefined;
  readonly file?: string | undefined;
}

/** Every disk of the guest with its mode, every default filled in. */
export interface Plan {
  readonly capture: CaptureMode;
  readonly memory: { readonly snapshot: "external" | "none"; readonly file?: string | undefined };
  readonly disks: readonly PlannedDisk[];
  readonly quiesce: "Never" | "BestEffort" | "Required";
  readonly hold: HoldBound;
  readonly description?: string | undefined;
}

export const defaultHold: HoldBound = { timeoutSeconds: 600, onTimeout: "Resume" };

/** Plans a snapshot; throws Failure with the reason and the field that has to change. */
export function planSnapshot(request: PlanRequest, domain: PlanDomain): Plan {
  requireState(domain.state);
  const listed = listedDisks(request, domain);
  const disks = domain.disks.map((disk) => plannedDisk(disk, listed.get(disk.name)));
  const memory = request.memory ?? { snapshot: "none" };
  if (memory.snapshot === "none" && memory.file !== undefined) {
    throw new Failure(
      "InvalidSpec",
      "memory.file: only memory.snapshot external has a file; remove it or say external",
    );
  }
  if (memory.snapshot === "none" && disks.every((disk) => disk.snapshot === "none")) {
    throw new Failure(
      "NothingSelected",
      "neither memory nor any disk is selected: set memory.snapshot or a disk's snapshot",
    );
  }
  requireCapture(request, domain, memory.snapshot);
  if (request.quiesce !== "Never" && memory.snapshot === "external") {
    throw new Failure(
      "InvalidSpec",
      "quiesce: memory holds what the file systems have not written; set quiesce Never or leave memory out",
    );
  }
  return {
    capture: request.capture,
    memory: { snapshot: memory.snapshot, ...(memory.file !== undefined && { file: memory.file }) },
    disks,
    quiesce: request.quiesce,
    hold: request.hold ?? defaultHold,
    ...(request.description !== undefined && { description: request.description }),
  };
}

function requireState(state: string | undefined): void {
  if (state === undefined || state === "Running" || state === "Paused") return;
  if (state === "Migrating")
    throw new Failure("DomainBusy", "the guest is being migrated or saved; wait until that has ended");
  throw new Failure("DomainNotRunning", `the guest is ${state}; only a running or paused guest can be snapshotted`);
}

type RequestedDisk = NonNullable<PlanRequest["disks"]>[number];

function listedDisks(request: PlanRequest, domain: PlanDomain): Map<string, RequestedDisk> {
  const listed = new Map<string, RequestedDisk>();
  for (const disk of request.disks ?? []) {
    if (listed.has(disk.name)) throw new Failure("InvalidDisk", `disks: ${disk.name} is listed twice`);
    if (!domain.disks.some((known) => known.name === disk.name)) {
      const names = domain.disks.map((known) => known.name).join(", ");
      throw new Failure("InvalidDisk", `disks: the guest has no disk ${disk.name}; it has ${names || "none"}`);
    }
    listed.set(disk.name, disk);
  }
  return listed;
}

/** libvirt's virDomainSnapshotAlignDisks: an unlisted disk takes none if it is empty, read-only or vhost-user. */
function plannedDisk(disk: PlanDomain["disks"][number], asked: RequestedDisk | undefined): PlannedDisk {
  const wanted = asked?.snapshot === "no" ? "none" : asked?.snapshot;
  const givesFile = asked?.source?.file !== undefined || asked?.driver?.type !== undefined;
  const snapshot = wanted ?? (givesFile ? "external" : defaultMode(disk));
  if (givesFile && snapshot !== "external") {
    throw new Failure(
      "InvalidDisk",
      `disks[${disk.name}]: source and driver belong to external disks, this one is ${snapshot}`,
    );
  }
  if (snapshot === "external" && disk.empty) {
    throw new Failure("InvalidDisk", `disks[${disk.name}]: the drive is empty; set snapshot none or leave it out`);
  }
  if (snapshot === "external" && disk.externalRefusal !== undefined) {
    throw new Failure("InvalidDisk", `disks[${disk.name}]: external is not possible: ${disk.externalRefusal}`);
  }
  const file = asked?.source?.file;
  return {
    name: disk.name,
    snapshot,
    ...(snapshot === "external" && { format: "qcow2" as const }),
    ...(file !== undefined && { file }),
  };
}

function defaultMode(disk: PlanDomain["disks"][number]): DiskMode {
  if (disk.empty || disk.readOnly || disk.sourceType === "VhostUser") return "none";
  return disk.defaultSnapshot ?? "external";
}

function requireCapture(request: PlanRequest, domain: PlanDomain, memory: "external" | "none"): void {
  const { capture } = request;
  if (capture === "paused") return;
  if (memory !== "external") {
    throw new Failure(
      "InvalidSpec",
      `capture: ${capture} is about memory; set memory.snapshot external or capture paused`,
    );
  }
  if (capture === "live" && domain.state !== undefined && domain.state !== "Running") {
    throw new Failure(
      "DomainNotRunning",
      `capture: live needs a running guest, this one is ${domain.state}; use capture paused`,
    );
  }
  if (domain.captureModes !== undefined && !domain.captureModes.includes(capture)) {
    const modes = domain.captureModes.join(", ");
    throw new Failure("CaptureUnavailable", `capture: ${capture} is not available for this guest; it can do ${modes}`);
  }
}
