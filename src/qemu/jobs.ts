// QEMU's jobs: `blockdev-create` and `block-commit` answer at once and fail later, in query-jobs.

import { call } from "../qmp/commands.ts";
import { Failure } from "../runtime/failure.ts";
import type { Guest } from "./guest.ts";

/** Waits until the job is in one of the states (or gone); resolves with the state. */
export async function awaitJob(
  guest: Guest,
  id: string,
  states: readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  let wake: () => void = () => undefined;
  const unsubscribe = guest.connection.on("JOB_STATUS_CHANGE", (event) => {
    if (event.data["id"] === id) wake();
  });
  try {
    for (;;) {
      const event = Promise.withResolvers<void>();
      wake = event.resolve;
      const job = (await call(guest.connection, "query-jobs", undefined, { signal })).find(
        (candidate) => candidate.id === id,
      );
      if (job === undefined) return "gone";
      if (states.includes(job.status) || job.status === "concluded") return job.status;
      await Promise.race([
        event.promise,
        aborted(signal),
        guest.connection.closed.then((reason) => Promise.reject(reason)),
      ]);
    }
  } finally {
    unsubscribe();
  }
}

/** The job's status; undefined if there is none of that id. */
export async function jobStatus(guest: Guest, id: string): Promise<string | undefined> {
  return (await call(guest.connection, "query-jobs")).find((job) => job.id === id)?.status;
}

/** Forgets a concluded job, whatever its end. */
export async function dismissJob(guest: Guest, id: string): Promise<void> {
  await call(guest.connection, "job-dismiss", { id });
}

/** Waits for the end of a job, dismisses it, and throws Failure DiskSwitchFailed with its error if it had one. */
export async function concludeJob(guest: Guest, id: string, what: string, signal?: AbortSignal): Promise<void> {
  await awaitJob(guest, id, ["concluded"], signal);
  const job = (await call(guest.connection, "query-jobs")).find((candidate) => candidate.id === id);
  if (job === undefined) return;
  // A job that is not dismissed stays for ever and blocks its id.
  await dismissJob(guest, id);
  if (job.error !== undefined) throw new Failure("DiskSwitchFailed", `${what}: ${job.error}`);
}

function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
