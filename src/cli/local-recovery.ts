// After a `local` that was killed: what it held runs again, what it made is taken back.

import { finished } from "node:stream/promises";
import type { Guest } from "../qemu/guest.ts";
import { systemClock as clock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import { createLogger } from "../runtime/log.ts";
import { isDomainLocked } from "../snapshot/domain-lock.ts";
import { type Interrupted, interruptedSnapshots, settleJournal } from "../snapshot/interrupted.ts";
import { recoverSnapshot } from "../snapshot/recover.ts";
import { exitCodes } from "./exit-codes.ts";
import { LocalControl } from "./local-control.ts";
import type { LocalState } from "./local-state.ts";

interface Recovered {
  /** False if something is left to take back. */
  readonly isClosed: boolean;
  readonly namespace: string;
  readonly name: string;
  readonly phase: string;
  readonly reason: string | null;
  readonly message?: string;
}

/** `--recover`. Exit 0 when nothing is left to take back, 1 when something could not be. */
export async function runRecovery(options: {
  monitorPath: string | undefined;
  state: LocalState;
  json: boolean;
  /** Waits for the end of stdin; a word on it says that all is well. */
  whenParentEnds: boolean;
}): Promise<number> {
  const { monitorPath, state, json, whenParentEnds } = options;
  if (whenParentEnds && (await parentEndedWell())) return exitCodes.completed;
  const recovered: Recovered[] = [];
  for (const interrupted of await interruptedSnapshots(state.journalDirectory)) {
    if (monitorPath !== undefined && interrupted.known?.job.domain.monitorPath !== monitorPath) continue;
    const one = await recover(interrupted, state);
    if (one === undefined) continue;
    recovered.push(one);
    process.stderr.write(`${describe(one)}\n`);
  }
  if (recovered.length === 0) process.stderr.write("nothing to recover\n");
  if (json) {
    const shown = recovered.map(({ isClosed: _, ...one }) => one);
    process.stdout.write(`${JSON.stringify({ recovered: shown })}\n`);
  }
  return recovered.some(({ isClosed }) => !isClosed) ? exitCodes.failed : exitCodes.completed;
}

/** Takes back what a killed run left of this guest, before a new snapshot looks at it. */
export async function recoverLocally(options: {
  guest: Guest;
  state: LocalState;
  say: (line: string) => void;
}): Promise<void> {
  const { guest, state, say } = options;
  const { uuid } = await guest.identity();
  for (const interrupted of await interruptedSnapshots(state.journalDirectory)) {
    if (interrupted.known?.prepared?.uuid !== uuid) continue;
    const one = await recover(interrupted, state, guest);
    if (one !== undefined) say(`an earlier snapshot of this guest was interrupted: ${describe(one)}`);
  }
}

/** Undefined while its process lives. */
async function recover(
  { uid, known, journal }: Interrupted,
  state: LocalState,
  guest?: Guest,
): Promise<Recovered | undefined> {
  if (known === undefined) {
    const message = `${journal} cannot be read; look at the guest, then remove it`;
    return { isClosed: false, namespace: "", name: uid, phase: "Unknown", reason: "AgentLost", message };
  }
  const { job, prepared } = known;
  const { namespace, name } = job;
  if (prepared !== undefined && (await isDomainLocked(state.lockDirectory, prepared.uuid))) return undefined;
  // Nobody is left to say that the storage was cut.
  const control = new LocalControl(known.bound);
  control.decide("Aborted");
  try {
    const report = await recoverSnapshot(uid, {
      ...state,
      ...(guest !== undefined && { guest }),
      control,
      onReport: () => undefined,
      clock,
      log: createLogger({ level: process.env["DSNAP_LOG_LEVEL"] ?? "silent" }),
      signal: new AbortController().signal,
    });
    const isClosed = await settleJournal({ directory: state.journalDirectory, uid });
    const { phase = "Failed", error } = report ?? {};
    return {
      ...{ isClosed, namespace, name, phase: isClosed ? phase : "Unfinished", reason: error?.reason ?? null },
      ...(error !== undefined && { message: error.message }),
    };
  } catch (error) {
    const { reason, message } = Failure.from(error);
    if (reason === "DomainBusy") return undefined;
    return { isClosed: false, namespace, name, phase: "Unfinished", reason, message };
  }
}

function describe({ namespace, name, phase, reason, message }: Recovered): string {
  const how = reason === null ? phase : `${phase}/${reason}`;
  return `${namespace}/${name}: ${how}${message === undefined ? "" : `: ${message}`}`;
}

async function parentEndedWell(): Promise<boolean> {
  let said = "";
  // SIGINT and its like are the parent's business, which then says a word.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
  process.stdin.setEncoding("utf8").on("data", (chunk: string) => {
    said += chunk;
  });
  process.stdout.write("watching\n");
  await finished(process.stdin).catch(() => undefined);
  return said !== "";
}
