// Steps three and four: the guest stands still for the storage's owner, until it is released, aborted, late or lost.

import { microTime } from "../../runtime/clock.ts";
import { Failure } from "../../runtime/failure.ts";
import type { SnapshotContext } from "../context.ts";
import { holdSeconds, systemUptime } from "../hold-deadline.ts";
import { reconnect } from "../reconnect.ts";
import type { Step } from "../step.ts";

const checkEveryMilliseconds = 1000;

export const hold: Step = {
  name: "hold",
  // The phase is set by the hold itself, together with its deadline: who sees one sees both.
  applies: (context) => context.hasManualDisks,
  async run(context, signal) {
    await new Hold(context).run(signal);
  },
};

class Hold {
  readonly #context: SnapshotContext;
  #beganUptime = 0;
  #wake = Promise.withResolvers<void>();
  #resumedAt: number | undefined;
  #linkLost = false;

  constructor(context: SnapshotContext) {
    this.#context = context;
  }

  async run(signal: AbortSignal): Promise<void> {
    const context = this.#context;
    this.#beganUptime = await systemUptime();
    context.stamp("manualStoragePendingAt");
    context.report.phase = "ManualStoragePending";
    this.#publishDeadline({ always: true });
    let unsubscribe = this.#listen();
    try {
      // What was missed between the stop and the subscription.
      if (context.prepared.ranBefore && (await context.guest.runState()) === "running")
        this.#resumedAt = context.clock.now();
      for (;;) {
        // Whatever changes from here on ends the nap at the bottom: nothing is missed between a look and the nap.
        using nap = this.#nap(signal);
        signal.throwIfAborted();
        if (this.#resumedAt !== undefined) return this.#lost(this.#resumedAt);
        if (context.control.desired() !== "Held") break;
        if (this.#linkLost) {
          unsubscribe();
          await reconnect(context, signal);
          this.#linkLost = false;
          unsubscribe = this.#listen();
          if ((await context.guest.runState()) === "running") return this.#lost(context.clock.now());
        }
        if (await this.#expired()) return;
        await nap.over(await this.#secondsLeft());
        this.#publishDeadline();
      }
    } finally {
      unsubscribe();
    }
    if (context.control.desired() === "Aborted") throw new Failure("Aborted", "abort was requested during the hold");
    context.stamp("releaseSeenAt");
  }

  #listen(): () => void {
    const { connection } = this.#context.guest;
    const unsubscribe = connection.on("RESUME", (event) => {
      this.#resumedAt = event.at;
      this.#wake.resolve();
    });
    void connection.closed.then(() => {
      if (this.#context.guest.connection !== connection) return;
      this.#linkLost = true;
      this.#wake.resolve();
    });
    return unsubscribe;
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
    const { control, job } = this.#context;
    const seconds = holdSeconds(control.hold(), job.domain.maximumHoldSeconds);
    return seconds === undefined ? undefined : seconds - ((await systemUptime()) - this.#beganUptime);
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
    const { timeoutSeconds } = context.control.hold();
    context.verdict = new Failure(
      "HoldExpired",
      `nobody resumed within ${timeoutSeconds} s; the guest runs again, memory and overlays are kept. A copy made after ${microTime(context.clock.now())} does not belong to them`,
    );
    context.stamp("releaseSeenAt");
    return true;
  }

  #lost(at: number): void {
    const context = this.#context;
    context.stamp("resumedAt", at);
    context.ranSinceSwitch = true;
    context.verdict = new Failure(
      "HoldLost",
      "somebody else resumed the guest during the hold; memory and overlays are kept, but copies made since may be of a later instant",
    );
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
