// Steps three and four: the guest stands still for the storage's owner, until it is released, aborted, late or lost.

import { isDeepStrictEqual } from "node:util";
import { ioCounters } from "../../qemu/io-counters.ts";
import { microTime } from "../../runtime/clock.ts";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import { holdSeconds } from "../hold-deadline.ts";
import type { HoldBound } from "../plan.ts";
import { overNewLink } from "../reconnect.ts";
import type { Step } from "../step.ts";

const checkEveryMilliseconds = 1000;

export const hold: Step = {
  name: "hold",
  // The phase is set by the hold itself, together with its deadline: who sees one sees both.
  applies: (context) => context.hasManualDisks,
  async intend(context) {
    const [uptimeSeconds, counters] = await Promise.all([context.boot.uptimeSeconds(), ioCounters(context.guest)]);
    // Counters that moved before they were taken would tell the next process nothing.
    context.standstill.require();
    context.stamp("manualStoragePendingAt");
    context.holdBegan = { at: context.wallTime("manualStoragePendingAt"), uptimeSeconds, counters };
    return context.holdBegan;
  },
  async run(context, signal) {
    await new Hold(context).run(signal);
  },
  outcome: ({ verdict }) => verdict && { reason: verdict.reason, message: verdict.message },
};

class Hold {
  readonly #context: SnapshotContext;
  #wake = Promise.withResolvers<void>();
  #linkLost = false;
  #bound: HoldBound;

  constructor(context: SnapshotContext) {
    this.#context = context;
    this.#bound = context.control.hold();
  }

  async run(signal: AbortSignal): Promise<void> {
    const context = this.#context;
    const { control, standstill } = context;
    context.report.phase = "ManualStoragePending";
    this.#publishDeadline({ always: true });
    standstill.onBroken(() => this.#wake.resolve());
    await this.#look(signal);
    if (standstill.brokenAt === undefined) context.ranSinceSwitch = false;
    for (;;) {
      // Whatever changes from here on ends the nap at the bottom: nothing is missed between a look and the nap.
      using nap = this.#nap(signal);
      signal.throwIfAborted();
      if (this.#linkLost) await this.#look(signal);
      if (standstill.brokenAt !== undefined) return this.#lost(standstill.brokenAt);
      if (control.desired() !== "Held") break;
      if (await this.#expired()) return;
      await nap.over(await this.#secondsLeft());
      await this.#noteBound();
      this.#publishDeadline();
    }
    if (control.desired() === "Aborted") throw new Failure("Aborted", "abort was requested during the hold");
    context.stamp("releaseSeenAt");
  }

  /** Watches the guest on the present session, or a new one, and makes sure that it has stood still so far. */
  async #look(signal: AbortSignal): Promise<void> {
    const context = this.#context;
    await overNewLink(
      context,
      async () => {
        this.#linkLost = false;
        const { connection } = context.guest;
        void connection.closed.then(() => {
          if (context.guest.connection !== connection) return;
          this.#linkLost = true;
          this.#wake.resolve();
        });
        context.standstill.begin();
        await context.standstill.look(context.holdBegan?.counters);
      },
      signal,
    );
  }

  /** A sleep that is being woken from the moment it is made: by a word, an event, or at most a second. */
  #nap(signal: AbortSignal): Disposable & { over(secondsLeft: number | undefined): Promise<void> } {
    const { control, clock } = this.#context;
    const awake = new AbortController();
    const ended = AbortSignal.any([signal, awake.signal]);
    const quiet = (): undefined => undefined;
    this.#wake = Promise.withResolvers();
    const woken = Promise.race([this.#wake.promise, control.wait(ended).catch(quiet)]);
    return {
      over: async (secondsLeft) => {
        const longest = secondsLeft === undefined ? checkEveryMilliseconds : Math.max(1, secondsLeft * 1000);
        await Promise.race([woken, clock.sleep(Math.min(checkEveryMilliseconds, longest), ended).catch(quiet)]);
      },
      [Symbol.dispose]: () => awake.abort(),
    };
  }

  async #secondsLeft(): Promise<number | undefined> {
    const { control, job, boot, holdBegan } = this.#context;
    const seconds = holdSeconds(control.hold(), job.domain.maximumHoldSeconds);
    return seconds === undefined
      ? undefined
      : seconds - ((await boot.uptimeSeconds()) - (holdBegan?.uptimeSeconds ?? 0));
  }

  /** True when the hold has ended by its deadline: the guest goes on, the snapshot is not one, its files stay. */
  async #expired(): Promise<boolean> {
    const context = this.#context;
    const left = await this.#secondsLeft();
    if (left === undefined || left > 0) {
      if (context.report.holdExpired === true) context.update({ holdExpired: false });
      return false;
    }
    if (context.control.hold().onTimeout === "KeepPaused") {
      if (context.report.holdExpired !== true) context.update({ holdExpired: true });
      return false;
    }
    const seconds = holdSeconds(context.control.hold(), context.job.domain.maximumHoldSeconds);
    context.verdict = new Failure(
      "HoldExpired",
      `nobody resumed within ${seconds} s; the guest runs again, memory and overlays are kept. A copy made after ${microTime(context.clock.now())} does not belong to them`,
    );
    context.stamp("releaseSeenAt");
    return true;
  }

  #lost(at: number): void {
    const context = this.#context;
    context.stamp("resumedAt", at);
    context.verdict = new Failure(
      "HoldLost",
      "somebody else resumed the guest during the hold; memory and overlays are kept, but copies made since may be of a later instant",
    );
  }

  /** A changed bound holds for the next process as well, even with no API server to ask. */
  async #noteBound(): Promise<void> {
    const { control, journal, log } = this.#context;
    const bound = control.hold();
    if (isDeepStrictEqual(bound, this.#bound)) return;
    this.#bound = bound;
    await journal
      .append("bound", undefined, bound)
      .catch((error: unknown) => log.error({ err: error }, "the hold's new bound is not in the journal"));
  }

  /** Reports the deadline when it has moved, or `always`. */
  #publishDeadline(options: { always?: boolean } = {}): void {
    const context = this.#context;
    const seconds = holdSeconds(context.control.hold(), context.job.domain.maximumHoldSeconds);
    const before = context.report.holdDeadline;
    if (seconds === undefined) delete context.report.holdDeadline;
    else context.report.holdDeadline = microTime(context.wallTime("manualStoragePendingAt") + seconds * 1000);
    if (options.always === true || before !== context.report.holdDeadline) context.update({});
  }
}
