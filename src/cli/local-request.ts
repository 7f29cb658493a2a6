// What `kubectl-dsnap local` is asked for: read and checked before guest or files are touched.

import { readFile, stat } from "node:fs/promises";
import { text as readAll } from "node:stream/consumers";
import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { parseManifest } from "../api/v1alpha1/manifest.ts";
import type { Guest } from "../qemu/guest.ts";
import { Failure } from "../runtime/failure.ts";
import { type Plan, planSnapshot } from "../snapshot/plan.ts";
import { externalRefusal } from "../snapshot/require-plan.ts";

export interface LocalRequest {
  readonly snapshot: DomainSnapshot;
  readonly plan: Plan;
}

/** Reads the manifest and checks the directory; needs no guest. Throws Failure that names what is wrong. */
export async function readSnapshot(options: { file: string; directory: string }): Promise<DomainSnapshot> {
  const text = options.file === "-" ? await readAll(process.stdin) : await readManifestFile(options.file);
  const snapshot = parseManifest(text, { source: options.file });
  const directory = await stat(options.directory).catch(() => undefined);
  if (directory?.isDirectory() !== true) {
    throw new Failure("PathNotAllowed", `--directory: ${options.directory} is not a directory; create it first`);
  }
  return snapshot;
}

/** Plans the snapshot for the guest as it is now; throws Failure that names the field. */
export async function planLocally(
  snapshot: DomainSnapshot,
  guest: Guest,
  options: { hasCommand: boolean },
): Promise<Plan> {
  const state = await guest.runState();
  const disks = await guest.disks();
  const plan = planSnapshot(
    { namespace: snapshot.metadata.namespace ?? "default", name: snapshot.metadata.name, uid: "", ...snapshot.spec },
    {
      state: state === "running" ? "Running" : state === "paused" || state === "prelaunch" ? "Paused" : state,
      disks: disks.map((disk) => {
        const refusal = externalRefusal(disk);
        return { ...disk, ...(refusal !== undefined && { externalRefusal: refusal }) };
      }),
      captureModes: await guest.captureModes(),
    },
  );
  if (!options.hasCommand && plan.disks.some((disk) => disk.snapshot === "manual")) {
    throw new Failure("InvalidSpec", "--on-hold: a snapshot with manual disks needs the command that cuts them");
  }
  return plan;
}

async function readManifestFile(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new Failure(
      "InvalidSpec",
      `-f: cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
