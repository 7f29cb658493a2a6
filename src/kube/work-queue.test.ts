import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FakeClock, settle } from "../../test/support/fake-clock.ts";
import { WorkQueue } from "./work-queue.ts";

const forever = new AbortController().signal;

function newQueue() {
  const clock = new FakeClock();
  return {
    clock,
    queue: new WorkQueue({ clock, random: () => 1, minBackoffMilliseconds: 100, maxBackoffMilliseconds: 1_000 }),
  };
}

describe("WorkQueue", () => {
  it("hands a key out once, however often it is added", async () => {
    const { queue } = newQueue();
    queue.add("a");
    queue.add("a");
    queue.add("b");
    expect(queue.depth).toBe(2);
    expect([await queue.take(forever), await queue.take(forever)]).toEqual(["a", "b"]);
  });

  it("hands a key out again after it was added while being worked on", async () => {
    const { queue } = newQueue();
    queue.add("a");
    await queue.take(forever);
    queue.add("a");
    expect(queue.depth).toBe(0);
    queue.done("a");
    expect(await queue.take(forever)).toBe("a");
  });

  it("lets the earliest of several requeues win", async () => {
    const { clock, queue } = newQueue();
    queue.addAfter("a", 500);
    queue.addAfter("a", 100);
    queue.addAfter("a", 300);
    await clock.advance(99);
    expect(queue.depth).toBe(0);
    await clock.advance(1);
    expect(await queue.take(forever)).toBe("a");
    queue.done("a");
    await clock.advance(1_000);
    expect(queue.depth).toBe(0);
  });

  it("doubles a key's backoff up to its bound, and starts over after forget", async () => {
    const { clock, queue } = newQueue();
    const waits: number[] = [];
    for (let failure = 0; failure < 6; failure += 1) {
      queue.addRateLimited("a");
      let waited = 0;
      for (; queue.depth === 0; waited += 100) await clock.advance(100);
      waits.push(waited);
      queue.done(await queue.take(forever));
    }
    expect(waits).toEqual([100, 200, 400, 800, 1_000, 1_000]);
    queue.forget("a");
    expect(queue.failures("a")).toBe(0);
  });

  it("rejects a waiting take when its signal aborts, and loses no key by it", async () => {
    const { queue } = newQueue();
    const stop = new AbortController();
    const taking = queue.take(stop.signal);
    stop.abort(new Error("stop"));
    await expect(taking).rejects.toThrow("stop");
    queue.add("a");
    expect(await queue.take(forever)).toBe("a");
  });

  it("sleeps no more once it is closed", async () => {
    const { clock, queue } = newQueue();
    queue.addAfter("a", 100);
    queue.close();
    await settle();
    expect(clock.sleeping).toBe(0);
    queue.add("b");
    expect(queue.depth).toBe(0);
  });

  it("never gives a key to two workers, and runs it after every request and in time, whatever happens", async () => {
    const key = fc.constantFrom("a", "b", "c");
    const operation = fc.oneof(
      fc.record({ do: fc.constant("add" as const), key }),
      fc.record({ do: fc.constant("addAfter" as const), key, milliseconds: fc.integer({ min: 0, max: 50 }) }),
      fc.record({ do: fc.constant("addRateLimited" as const), key }),
      fc.record({ do: fc.constant("advance" as const), milliseconds: fc.integer({ min: 1, max: 60 }) }),
    );
    const scenario = fc.record({
      operations: fc.array(operation, { maxLength: 40, size: "max" }),
      workers: fc.integer({ min: 1, max: 3 }),
      workMilliseconds: fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ operations, workers, workMilliseconds }) => {
        const { clock, queue } = newQueue();
        const stop = new AbortController();
        const running = new Set<string>();
        const starts: { key: string; at: number; order: number }[] = [];
        const requests: { key: string; due: number; order: number }[] = [];
        const doubles: string[] = [];
        let orders = 0;
        const nextOrder = () => {
          orders += 1;
          return orders;
        };
        const work = async () => {
          for (let turn = 0; ; turn += 1) {
            const taken = await queue.take(stop.signal);
            if (running.has(taken)) doubles.push(taken);
            running.add(taken);
            starts.push({ key: taken, at: clock.monotonic(), order: nextOrder() });
            await clock.sleep(workMilliseconds[turn % workMilliseconds.length] ?? 0, stop.signal);
            running.delete(taken);
            queue.done(taken);
          }
        };
        const working = Array.from({ length: workers }, () => work().catch(() => undefined));
        for (const step of operations) {
          if (step.do === "advance") {
            await clock.advance(step.milliseconds);
            continue;
          }
          const wait = step.do === "addAfter" ? step.milliseconds : step.do === "add" ? 0 : 1_000;
          requests.push({ key: step.key, due: clock.monotonic() + wait, order: nextOrder() });
          if (step.do === "addAfter") queue.addAfter(step.key, step.milliseconds);
          else queue[step.do](step.key);
        }
        await clock.advance(5_000);
        expect(doubles).toEqual([]);
        // All workers can be busy with every key once before this one's turn comes.
        const slack = 30 * 4;
        for (const request of requests) {
          const run = starts.find((start) => start.key === request.key && start.order > request.order);
          expect(run, `no run after ${JSON.stringify(request)}`).toBeDefined();
          expect(run?.at).toBeLessThanOrEqual(request.due + slack);
        }
        expect(queue.depth).toBe(0);
        stop.abort();
        await Promise.all(working);
      }),
      { numRuns: 150 },
    );
  });
});
