// A broken monitor session is not a lost guest: the same QEMU is looked for again, for as long as it may live.

import type { Guest } from "../qemu/guest.ts";
import { hasMark } from "../qemu/guest-mark.ts";
import { Failure } from "../runtime/failure.ts";
import type { SnapshotContext } from "./context.ts";
import { errorCode } from "./file-failure.ts";

/** How long a socket may be missing or deaf before its QEMU counts as gone. */
const patienceMilliseconds = 5000;
const retryMilliseconds = 200;
const sayEveryMilliseconds = 10_000;

/**
 * Opens a new session to the same QEMU process. Throws Failure GuestLost when nobody listens any more or another QEMU
 * does. A monitor that another client holds, or that does not answer, is waited for: its guest may be paused by us.
 */
export async function reconnect(context: SnapshotContext, signal?: AbortSignal): Promise<void> {
  const { clock, log, job } = context;
  const startedAt = clock.monotonic();
  let saidAt = startedAt;
  await context.closeGuest();
  for (;;) {
    try {
      const guest = await context.openGuest(signal);
      try {
        await requireSameGuest(context, guest);
      } catch (error) {
        await guest[Symbol.asyncDispose]();
        throw error;
      }
      context.replaceGuest(guest);
      return await context.standstill.afterGap();
    } catch (error) {
      signal?.throwIfAborted();
      const failure = Failure.from(error, "MonitorUnavailable");
      if (failure.reason === "GuestLost") throw failure;
      const now = clock.monotonic();
      if (isGone(failure) && now - startedAt > patienceMilliseconds) {
        const message = `QEMU no longer listens on ${job.domain.monitorPath}: ${failure.message}`;
        throw new Failure("GuestLost", message, { cause: failure });
      }
      if (now - saidAt > sayEveryMilliseconds) {
        saidAt = now;
        log.error({ err: failure }, "the guest's monitor cannot be had; trying again");
      }
      await clock.sleep(retryMilliseconds, signal);
    }
  }
}

/** Does the work; if the session breaks under it, once more over a new one. The work must be safe to repeat. */
export async function overNewLink(
  context: SnapshotContext,
  work: () => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    signal?.throwIfAborted();
    if (Failure.from(error).reason !== "MonitorUnavailable") throw error;
    await reconnect(context, signal);
    await work();
  }
}

/** Throws Failure GuestLost unless `guest` is the one this snapshot began with: the UUID tells guests apart, the mark two lives of one. */
export async function requireSameGuest(context: SnapshotContext, guest: Guest): Promise<void> {
  const { uuid } = await guest.identity();
  const expected = context.prepared.uuid;
  if (uuid !== expected) {
    throw new Failure("GuestLost", `another guest (${uuid}) answers on ${guest.monitorPath}; ${expected} is gone`);
  }
  if (context.isMarked && !(await hasMark(guest, context.mark))) {
    throw new Failure("GuestLost", `QEMU was started again on ${guest.monitorPath}; the guest that was held is gone`);
  }
}

/** No socket, or nobody behind it. */
function isGone(failure: Failure): boolean {
  return ["ENOENT", "ECONNREFUSED"].includes(errorCode(failure.cause) ?? "");
}
