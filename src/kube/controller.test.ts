import { describe, expect, it } from "vitest";
import { FakeClock, settle } from "../../test/support/fake-clock.ts";
import { silentLog } from "../../test/support/silent-log.ts";
import { Failure } from "../runtime/failure.ts";
import { type Reconcile, runController } from "./controller.ts";
import { TerminalFailure } from "./terminal-failure.ts";
import { WorkQueue } from "./work-queue.ts";

function start(reconcile: Reconcile, options: { workers?: number; reconcileTimeoutMilliseconds?: number } = {}) {
  const clock = new FakeClock();
  const queue = new WorkQueue({ clock, random: () => 1, minBackoffMilliseconds: 100 });
  const stop = new AbortController();
  const common = { name: "test", queue, workers: 2, reconcile, log: silentLog, clock, signal: stop.signal };
  const running = runController({ ...common, ...options });
  return { clock, queue, stop, running };
}

describe("runController", () => {
  it("tries again with growing backoff after a throw, and forgets it after success", async () => {
    const times: number[] = [];
    const { clock, queue, stop, running } = start(async () => {
      times.push(clock.monotonic());
      if (times.length < 4) throw new Error("not yet");
    });
    queue.add("a");
    await clock.advance(10_000);
    expect(times).toEqual([0, 100, 300, 700]);
    expect(queue.failures("a")).toBe(0);
    stop.abort();
    await running;
  });

  it("leaves a key alone after a terminal failure until the next event", async () => {
    let runs = 0;
    const { clock, queue, stop, running } = start(async (key) => {
      runs += 1;
      throw key === "a" ? new TerminalFailure("InvalidSpec", "change it") : new Failure("Invalid", "not retryable");
    });
    queue.add("a");
    queue.add("b");
    await clock.advance(600_000);
    expect(runs).toBe(2);
    queue.add("a");
    await clock.advance(1);
    expect(runs).toBe(3);
    stop.abort();
    await running;
  });

  it("comes again after the time that a reconcile asks for", async () => {
    const times: number[] = [];
    const { clock, queue, stop, running } = start(async () => {
      times.push(clock.monotonic());
      return { requeueAfterMilliseconds: 1_000 };
    });
    queue.add("a");
    await clock.advance(2_500);
    expect(times).toEqual([0, 1_000, 2_000]);
    stop.abort();
    await running;
  });

  it("aborts a reconcile at its deadline and tries again", async () => {
    const reasons: unknown[] = [];
    const { clock, queue, stop, running } = start(
      async (_key, { signal }) => {
        await clock.sleep(60_000, signal).catch((error: unknown) => {
          reasons.push(error);
          throw error;
        });
      },
      { reconcileTimeoutMilliseconds: 5_000 },
    );
    queue.add("a");
    await clock.advance(5_050);
    expect(reasons).toMatchObject([{ reason: "Timeout", retryable: true }]);
    await clock.advance(100);
    expect(queue.failures("a")).toBe(1);
    stop.abort();
    await running;
  });

  it("waits for running reconciles when it stops, takes no new keys, and leaves nothing asleep", async () => {
    const finished: string[] = [];
    const { clock, queue, stop, running } = start(
      async (key) => {
        await clock.sleep(1_000);
        finished.push(key);
      },
      { workers: 1 },
    );
    queue.add("a");
    queue.add("b");
    await settle();
    stop.abort();
    await clock.advance(5_000);
    await running;
    expect(finished).toEqual(["a"]);
    expect(clock.sleeping).toBe(0);
  });
});
