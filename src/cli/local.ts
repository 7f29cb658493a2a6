// `kubectl-dsnap local`: the engine on a lone node, with no cluster. The guest is held while a command runs.

import { randomUUID } from "node:crypto";
import { mkdir, readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { text as readAll } from "node:stream/consumers";
import { Command } from "commander";
import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { parseManifest } from "../api/v1alpha1/manifest.ts";
import { Guest } from "../qemu/guest.ts";
import { systemClock as clock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import { createLogger } from "../runtime/log.ts";
import { settleJournal } from "../snapshot/interrupted.ts";
import { type Plan, planSnapshot } from "../snapshot/plan.ts";
import { externalRefusal } from "../snapshot/require-plan.ts";
import { runSnapshot, type SnapshotReport } from "../snapshot/run.ts";
import { exitCodes } from "./exit-codes.ts";
import { LocalControl } from "./local-control.ts";
import { LocalProgress } from "./local-progress.ts";
import { OnHoldCommand } from "./on-hold-command.ts";

interface LocalOptions {
  readonly qmp: string;
  readonly file: string;
  readonly directory: string;
  readonly onHold?: string;
  readonly json: boolean;
  readonly stateDirectory: string;
}

/** Root shares its locks with the agent of the node; another user has directories of its own. */
function defaultStateDirectory(): string {
  if (process.getuid?.() === 0) return "/run/domain-snapshot";
  return resolve(process.env["XDG_RUNTIME_DIR"] ?? `/tmp/domain-snapshot-${process.getuid?.()}`, "domain-snapshot");
}

/**
 * The command, for the program to register. Sets process.exitCode: 0 Completed; 1 Failed, rolled back as far as its
 * reason allows; 2 bad input, refused before guest and files were touched.
 */
export function localCommand(): Command {
  return new Command("local")
    .description("Snapshot a guest on this machine through its QMP socket, without a cluster")
    .requiredOption("--qmp <path>", "the guest's QMP socket")
    .requiredOption(
      "-f, --file <file>",
      "DomainSnapshot manifest, YAML or JSON (- for stdin); domainRef is not looked up",
    )
    .requiredOption("--directory <dir>", "where the memory file and the manifest go")
    .option("--on-hold <command>", "run by sh -c while the guest is held; exit 0 resumes it, anything else rolls back")
    .option("--state-directory <dir>", "journal and locks", defaultStateDirectory())
    .option("--json", "print the result as one JSON object, the last line of stdout", false)
    .action(async (options: LocalOptions) => {
      process.exitCode = await runLocal(options);
    });
}

async function runLocal(options: LocalOptions): Promise<number> {
  let request: LocalRequest;
  try {
    request = await readRequest(options);
  } catch (error) {
    return badInput(Failure.from(error, "InvalidSpec"), options);
  }
  await using guest = request.guest;
  const leaving = new AbortController();
  const leave = (signal: NodeJS.Signals) => leaving.abort(new Failure("Aborted", `${signal} was received`));
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, leave);
  try {
    const report = await snapshotLocally({ ...options, ...request, guest, signal: leaving.signal });
    return exitCode(report);
  } finally {
    for (const signal of signals) process.off(signal, leave);
  }
}

/** Refused before anything was touched is bad input, like a manifest that does not parse; what fails later is Failed. */
function exitCode(report: SnapshotReport): number {
  const { phase, error } = report;
  if (phase === "Completed") return exitCodes.completed;
  const touched = report.pausedAt !== undefined || !["connect", "prepare", undefined].includes(error?.step);
  return touched || error?.reason === "Aborted" ? exitCodes.failed : exitCodes.badInput;
}

interface LocalRequest {
  readonly snapshot: DomainSnapshot;
  readonly plan: Plan;
  readonly guest: Guest;
}

/** Reads and checks everything that needs no pause; throws Failure that names what is wrong. */
async function readRequest(options: LocalOptions): Promise<LocalRequest> {
  const text = options.file === "-" ? await readAll(process.stdin) : await readManifestFile(options.file);
  const snapshot = parseManifest(text, { source: options.file });
  const directory = await stat(options.directory).catch(() => undefined);
  if (directory?.isDirectory() !== true) {
    throw new Failure("PathNotAllowed", `--directory: ${options.directory} is not a directory; create it first`);
  }
  const guest = await Guest.open({ monitorPath: resolve(options.qmp), clock });
  try {
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
    if (options.onHold === undefined && plan.disks.some((disk) => disk.snapshot === "manual")) {
      throw new Failure("InvalidSpec", "--on-hold: a snapshot with manual disks needs the command that cuts them");
    }
    return { snapshot, plan, guest };
  } catch (error) {
    await guest[Symbol.asyncDispose]();
    throw error;
  }
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

async function snapshotLocally(
  options: LocalOptions & LocalRequest & { signal: AbortSignal },
): Promise<SnapshotReport> {
  const { snapshot, plan, guest } = options;
  const directory = resolve(options.directory);
  const namespace = snapshot.metadata.namespace ?? "default";
  const { name } = snapshot.metadata;
  const progress = new LocalProgress(process.stderr);
  const control = new LocalControl(plan.hold);
  const onHold = new OnHoldCommand({ command: options.onHold, directory, control, signal: options.signal });
  await mkdir(options.stateDirectory, { recursive: true, mode: 0o700 });
  const uid = randomUUID();
  const journalDirectory = resolve(options.stateDirectory, "journal");
  const report = await runSnapshot(
    {
      uid,
      namespace,
      name,
      plan,
      domain: {
        namespace,
        name: snapshot.spec.domainRef.name,
        monitorPath: resolve(options.qmp),
        monitor: "dedicated",
        snapshotDirectory: directory,
        allowedDirectories: [],
      },
    },
    {
      guest,
      control,
      journalDirectory,
      lockDirectory: resolve(options.stateDirectory, "locks"),
      onReport: (seen) => {
        progress.show(seen);
        onHold.look(seen);
      },
      clock,
      log: createLogger({ level: process.env["DSNAP_LOG_LEVEL"] ?? "silent" }),
      signal: options.signal,
    },
  );
  await onHold.ended();
  await settleJournal({ directory: journalDirectory, uid });
  const outcome = withHookFailure(report, onHold.failure);
  progress.end(outcome);
  if (options.json) process.stdout.write(`${JSON.stringify(resultOf(outcome, directory))}\n`);
  return outcome;
}

/** An abort that the command's failure led to says so. */
function withHookFailure(report: SnapshotReport, failure: string | undefined): SnapshotReport {
  if (failure === undefined || report.error?.reason !== "Aborted") return report;
  return {
    ...report,
    error: { ...report.error, reason: "HookFailed", message: `--on-hold: ${failure}; everything was rolled back` },
  };
}

function resultOf(report: SnapshotReport, directory: string): object {
  const absolute = (file: string | undefined) => (file === undefined ? undefined : resolve(directory, file));
  return {
    phase: report.phase,
    reason: report.error?.reason ?? null,
    ...(report.error !== undefined && { message: report.error.message }),
    pause: report.pause ?? null,
    memory: { file: absolute(report.memory?.file) ?? null },
    disks: (report.disks ?? []).map((disk) => ({
      name: disk.name,
      snapshot: disk.snapshot,
      overlay: absolute(disk.overlay) ?? null,
    })),
    manifest: absolute(report.manifest) ?? null,
  };
}

function badInput(failure: Failure, options: LocalOptions): number {
  process.stderr.write(`kubectl-dsnap: ${failure.message}\n`);
  if (options.json) {
    const nothing = { pause: null, memory: { file: null }, disks: [], manifest: null };
    process.stdout.write(
      `${JSON.stringify({ phase: "Failed", reason: failure.reason, message: failure.message, ...nothing })}\n`,
    );
  }
  return exitCodes.badInput;
}
