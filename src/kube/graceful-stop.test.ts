import { describe, expect, it } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { silentLog } from "../../test/support/silent-log.ts";
import { stopInOrder, stopOnSignals } from "./graceful-stop.ts";

describe("stopOnSignals", () => {
  it("aborts on the first signal, ends the process on the second, and removes its listeners", () => {
    const codes: number[] = [];
    const before = process.listenerCount("SIGTERM");
    {
      using stop = stopOnSignals({ log: silentLog, exit: (code) => codes.push(code) });
      process.emit("SIGTERM", "SIGTERM");
      expect(stop.signal.aborted).toBe(true);
      expect(codes).toEqual([]);
      process.emit("SIGINT", "SIGINT");
      expect(codes).toEqual([130]);
    }
    expect(process.listenerCount("SIGTERM")).toBe(before);
  });
});

describe("stopInOrder", () => {
  it("runs every step in turn, leaving behind those that fail or hang", async () => {
    const clock = new FakeClock();
    const done: string[] = [];
    const step = (name: string, run: () => Promise<unknown>) => ({ name, milliseconds: 1_000, run });
    const steps = [
      step("first", async () => done.push("first")),
      step("fails", async () => await Promise.reject(new Error("broken"))),
      step("hangs", async () => await new Promise(() => undefined)),
      step("last", async () => done.push("last")),
    ];
    const stopping = stopInOrder({ log: silentLog, clock, steps });
    await clock.advance(1_000);
    await stopping;
    expect(done).toEqual(["first", "last"]);
    expect(clock.sleeping).toBe(0);
  });
});
