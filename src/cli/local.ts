// `kubectl-dsnap local`: the engine on a lone node, with no cluster. The guest is held while a command runs.

import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { Command } from "commander";
import { Guest } from "../qemu/guest.ts";
import { systemClock as clock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import { createLogger } from "../runtime/log.ts";
import { settleJournal } from "../snapshot/interrupted.ts";
import { runSnapshot, type SnapshotReport } from "../snapshot/run.ts";
import { exitCodes } from "./exit-codes.ts";
import { LocalControl } from "./local-control.ts";
import { LocalProgress } from "./local-progress.ts";
import { recoverLocally, runRecovery } from "./local-recovery.ts";
import { type LocalRequest, planLocally, readSnapshot } from "./local-request.ts";
import { exitCodeOf, refusalOf, resultOf, withHookFailure } from "./local-result.ts";
import { defaultStateDirectory, type LocalState, localState } from "./local-state.ts";
import { LocalWatchdog } from "./local-watchdog.ts";
import { OnHoldCommand } from "./on-hold-command.ts";

interface LocalOptions {
  readonly qmp: string;
  readonly file: string;
  readonly directory: string;
  readonly onHold?: string;
  readonly diskChangeCommand?: string;
  readonly guestAgent?: string;
  readonly json: boolean;
  readonly stateDirectory: string;
  readonly watchdog: boolean;
}

/**
 * The command, for the program to register. Sets process.exitCode: 0 Completed; 1 Failed, rolled back as far as its
 * reason allows; 2 bad input, refused before guest and files were touched.
 */
export function localCommand(): Command {
  const command = new Command("local")
    .description("Snapshot a guest on this machine through its QMP socket, without a cluster")
    .option("--qmp <path>", "the guest's QMP socket")
    .option("-f, --file <file>", "DomainSnapshot manifest, YAML or JSON (- for stdin); domainRef is not looked up")
    .option("--directory <dir>", "where the memory file and the manifest go")
    .option("--on-hold <command>", "run by sh -c while the guest is held; exit 0 resumes it, anything else rolls back")
    .option(
      "--disk-change-command <command>",
      "run by sh -c with JSON on stdin when a disk has a new top image: tells whoever starts the guest next",
    )
    .option("--guest-agent <path>", "socket of the qemu-guest-agent inside the guest, for quiesce and the clock")
    .option("--state-directory <dir>", "journal and locks", defaultStateDirectory())
    .option("--json", "print the result as one JSON object, the last line of stdout", false)
    .option("--no-watchdog", "do not start the process that lets the guest run if this one is killed")
    .option("--recover", "take back what a killed run left (of the guest of --qmp, or of all guests), then exit", false)
    .option("--when-parent-ends", "internal: --recover once stdin ends without a word", false);
  return command.action(async (given: Partial<LocalOptions> & { recover: boolean; whenParentEnds: boolean }) => {
    const { qmp, file, directory, recover, whenParentEnds, json = false, watchdog = true } = given;
    const stateDirectory = resolve(given.stateDirectory ?? defaultStateDirectory());
    if (recover) {
      const monitorPath = qmp === undefined ? undefined : resolve(qmp);
      process.exitCode = await runRecovery({ monitorPath, state: localState(stateDirectory), json, whenParentEnds });
      return;
    }
    if (qmp === undefined) return command.error("error: required option '--qmp <path>' not specified");
    if (file === undefined) return command.error("error: required option '-f, --file <file>' not specified");
    if (directory === undefined) return command.error("error: required option '--directory <dir>' not specified");
    process.exitCode = await runLocal({ ...given, qmp, file, directory, stateDirectory, json, watchdog });
  });
}

async function runLocal(options: LocalOptions): Promise<number> {
  await using cleanup = new AsyncDisposableStack();
  const state = localState(options.stateDirectory);
  let guest: Guest;
  let request: LocalRequest;
  try {
    const snapshot = await readSnapshot(options);
    guest = cleanup.use(await Guest.open({ monitorPath: resolve(options.qmp), clock }));
    await recoverLocally({ guest, state, say: (line) => process.stderr.write(`${line}\n`) });
    request = { snapshot, plan: await planLocally(snapshot, guest, { hasCommand: options.onHold !== undefined }) };
  } catch (error) {
    return badInput(Failure.from(error, "InvalidSpec"), options);
  }
  const leaving = new AbortController();
  const leave = (signal: NodeJS.Signals) => leaving.abort(new Failure("Aborted", `${signal} was received`));
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, leave);
  try {
    if (options.watchdog) cleanup.use(await LocalWatchdog.start({ monitorPath: resolve(options.qmp), state }));
    return exitCodeOf(await snapshotLocally({ ...options, ...request, guest, state, signal: leaving.signal }));
  } finally {
    for (const signal of signals) process.off(signal, leave);
  }
}

async function snapshotLocally(
  options: LocalOptions & LocalRequest & { guest: Guest; state: LocalState; signal: AbortSignal },
): Promise<SnapshotReport> {
  const { snapshot, plan, guest, state, diskChangeCommand, guestAgent } = options;
  const directory = resolve(options.directory);
  const namespace = snapshot.metadata.namespace ?? "default";
  const { name } = snapshot.metadata;
  const progress = new LocalProgress(process.stderr);
  const control = new LocalControl(plan.hold);
  const onHold = new OnHoldCommand({ command: options.onHold, directory, control, signal: options.signal });
  await mkdir(state.directory, { recursive: true, mode: 0o700 });
  const uid = randomUUID();
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
        ...(guestAgent !== undefined && { guestAgentPath: resolve(guestAgent) }),
        ...(diskChangeCommand !== undefined && { diskChangeCommand: ["/bin/sh", "-c", diskChangeCommand] }),
      },
    },
    {
      guest,
      control,
      ...state,
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
  await settleJournal({ directory: state.journalDirectory, uid });
  const outcome = withHookFailure(report, onHold.failure);
  progress.end(outcome);
  if (options.json) process.stdout.write(`${JSON.stringify(resultOf(outcome, directory))}\n`);
  return outcome;
}

function badInput(failure: Failure, options: LocalOptions): number {
  process.stderr.write(`kubectl-dsnap: ${failure.message}\n`);
  if (options.json) process.stdout.write(`${JSON.stringify(refusalOf(failure))}\n`);
  return exitCodes.badInput;
}
