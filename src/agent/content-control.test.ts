import { describe, expect, test } from "vitest";
import { ContentControl } from "./content-control.ts";

const hold = { timeoutSeconds: 600, onTimeout: "Resume" } as const;
const never = new AbortController().signal;

describe("what the API wants of a hold", () => {
  test("a release wakes the engine, and a later deletion changes nothing", async () => {
    const control = new ContentControl({ desired: "Held", hold });
    const woken = control.wait(never);
    control.update({ desired: "Released", hold });
    await woken;
    control.abort();
    expect(control.desired()).toBe("Released");
  });

  test("a deletion is an abort", async () => {
    const control = new ContentControl({ desired: "Held", hold });
    const woken = control.wait(never);
    control.abort();
    await woken;
    expect(control.desired()).toBe("Aborted");
    control.update({ desired: "Released", hold });
    expect(control.desired()).toBe("Aborted");
  });

  test("a moved deadline wakes the engine, an equal one does not", async () => {
    const control = new ContentControl({ desired: "Held", hold });
    let woken = 0;
    const waiting = control.wait(never).then(() => {
      woken += 1;
    });
    control.update({ desired: "Held", hold: { ...hold } });
    await Promise.resolve();
    expect(woken).toBe(0);
    control.update({ desired: "Held", hold: { ...hold, timeoutSeconds: 900 } });
    await waiting;
    expect(control.hold().timeoutSeconds).toBe(900);
  });

  test("waiting ends with its signal", async () => {
    const control = new ContentControl({ desired: "Held", hold });
    const stop = new AbortController();
    const waiting = control.wait(stop.signal);
    stop.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });
});
