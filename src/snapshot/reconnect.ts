// A broken monitor session is not a lost guest: the same QEMU is looked for again, for a while.

import { Guest } from "../qemu/guest.ts";
import { Failure } from "../runtime/failure.ts";
import type { SnapshotContext } from "./context.ts";

const patienceMilliseconds = 5000;
const pauseMilliseconds = 200;

/** Opens a new session to the same guest; Failure GuestLost if QEMU is gone or another guest answers. */
export async function reconnect(context: SnapshotContext, signal?: AbortSignal): Promise<void> {
  const { clock, log, job } = context;
  const giveUpAt = clock.monotonic() + patienceMilliseconds;
  for (;;) {
    try {
      const guest = await Guest.open({
        monitorPath: job.domain.monitorPath,
        clock,
        log,
        ...(signal !== undefined && { signal }),
      });
      const { uuid } = await guest.identity();
      if (uuid === context.prepared.uuid) return context.replaceGuest(guest);
      await guest[Symbol.asyncDispose]();
      throw new Failure(
        "GuestLost",
        `another guest (${uuid}) answers on ${job.domain.monitorPath}; ${context.prepared.uuid} is gone`,
      );
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof Failure && error.reason === "GuestLost") throw error;
      if (clock.monotonic() > giveUpAt) {
        throw new Failure(
          "GuestLost",
          `QEMU no longer answers on ${job.domain.monitorPath}: ${Failure.from(error).message}`,
          { cause: error },
        );
      }
      await clock.sleep(pauseMilliseconds, signal);
    }
  }
}
