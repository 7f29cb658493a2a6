import { describe, expect, onTestFinished, test } from "vitest";
import { FakeClock, settle } from "../../test/support/fake-clock.ts";
import type { ContentStatus } from "../api/v1alpha1/domain-snapshot-content.ts";
import { contentUrgency } from "./content-status.ts";
import { StatusReporter } from "./status-reporter.ts";

class Gone extends Error {}

function reporting(options: { write?: (status: ContentStatus) => Promise<void> } = {}) {
  const clock = new FakeClock();
  const stop = new AbortController();
  const writes: { readonly at: number; readonly status: ContentStatus }[] = [];
  const reporter = new StatusReporter<ContentStatus>({
    write: async (status) => {
      await options.write?.(status);
      writes.push({ at: clock.monotonic(), status });
    },
    urgency: contentUrgency,
    isFinal: (error) => error instanceof Gone,
    onError: () => {},
    clock,
    random: () => 1,
    signal: stop.signal,
  });
  onTestFinished(async () => {
    stop.abort();
    await reporter.ended();
  });
  const phases = () => writes.map(({ at, status }) => `${at} ${status.phase}`);
  return { clock, reporter, writes, phases };
}

describe("writing a snapshot's status", () => {
  test("the hold is written at once", async () => {
    const { reporter, phases } = reporting();
    reporter.report({ phase: "ManualStoragePending" });
    await settle();
    expect(phases()).toEqual(["0 ManualStoragePending"]);
  });

  test("phases shorter than 200 ms are skipped", async () => {
    const { clock, reporter, phases } = reporting();
    reporter.report({ phase: "Preparing" });
    await clock.advance(150);
    reporter.report({ phase: "SavingMemory" });
    await clock.advance(150);
    reporter.report({ phase: "SwitchingDisks" });
    await clock.advance(150);
    reporter.report({ phase: "ManualStoragePending" });
    await settle();
    reporter.report({ phase: "Resuming" });
    await clock.advance(50);
    reporter.report({ phase: "Completed" });
    await reporter.settled();
    expect(phases()).toEqual(["450 ManualStoragePending", "500 Completed"]);
  });

  test("a phase that lasts is written after 200 ms, whatever its progress", async () => {
    const { clock, reporter, phases } = reporting();
    for (let percent = 0; percent < 10; percent += 1) {
      reporter.report({ phase: "SavingMemory", memory: { progressPercent: percent } });
      await clock.advance(50);
    }
    expect(phases()).toEqual(["200 SavingMemory"]);
  });

  test("progress is written every five seconds at most, the newest", async () => {
    const { clock, reporter, writes } = reporting();
    for (let percent = 0; percent <= 100; percent += 1) {
      reporter.report({ phase: "SavingMemory", memory: { progressPercent: percent } });
      await clock.advance(100);
    }
    expect(writes.map(({ at, status }) => [at, status.memory?.progressPercent])).toEqual([
      [200, 1],
      [5200, 51],
    ]);
  });

  test("a moved deadline is written at once, an equal report never", async () => {
    const { clock, reporter, writes } = reporting();
    const held: ContentStatus = { phase: "ManualStoragePending", holdDeadline: "2026-01-01T00:10:00.000000Z" };
    reporter.report(held);
    await settle();
    reporter.report({ ...held });
    await clock.advance(60_000);
    reporter.report({ ...held, holdDeadline: "2026-01-01T00:20:00.000000Z" });
    await settle();
    expect(writes.map(({ at }) => at)).toEqual([0, 60_000]);
  });

  test("a failed write is repeated with growing pauses until it is accepted", async () => {
    let failures = 5;
    const { clock, reporter, phases } = reporting({
      write: async () => {
        failures -= 1;
        if (failures >= 0) throw new Error("no answer");
      },
    });
    reporter.report({ phase: "Completed" });
    await clock.advance(60_000);
    await reporter.settled();
    expect(phases()).toEqual([`${200 + 400 + 800 + 1600 + 3200} Completed`]);
  });

  test("the end does not wait for the backoff of what came before it", async () => {
    let broken = true;
    const { clock, reporter, phases } = reporting({
      write: async () => {
        if (broken) throw new Error("no answer");
      },
    });
    reporter.report({ phase: "ManualStoragePending" });
    await clock.advance(20_000);
    broken = false;
    const at = clock.monotonic();
    reporter.report({ phase: "Completed" });
    await settle();
    expect(phases()).toEqual([`${at} Completed`]);
  });

  test("an object that is gone is written no more", async () => {
    let tries = 0;
    const { clock, reporter } = reporting({
      write: async () => {
        tries += 1;
        throw new Gone();
      },
    });
    reporter.report({ phase: "ManualStoragePending" });
    await reporter.settled();
    reporter.report({ phase: "Failed" });
    await clock.advance(60_000);
    await reporter.settled();
    expect(tries).toBe(1);
  });

  test("what is reported during a write is written after it", async () => {
    const accepted = Promise.withResolvers<void>();
    let first = true;
    const { reporter, phases } = reporting({
      write: async () => {
        if (first) {
          first = false;
          await accepted.promise;
        }
      },
    });
    reporter.report({ phase: "ManualStoragePending" });
    await settle();
    reporter.report({ phase: "Resuming" });
    reporter.report({ phase: "Completed" });
    accepted.resolve();
    await reporter.settled();
    expect(phases()).toEqual(["0 ManualStoragePending", "0 Completed"]);
  });
});
