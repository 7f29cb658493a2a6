// The stop before the hold is bounded as well: storage that hangs under the memory file must not keep a guest paused.

import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EngineFixture } from "./engine-fixture.ts";

let fixture: EngineFixture;
beforeAll(async () => {
  // QEMU 7.2 writes memory through a child, which can be made to hang as its storage would.
  fixture = await EngineFixture.start("7.2");
}, 900_000);
afterAll(async () => {
  await fixture?.[Symbol.asyncDispose]();
});

/** The writer that QEMU has started, as soon as it is there. */
async function memoryWriter(): Promise<number> {
  const { pid } = fixture.guest;
  for (;;) {
    const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim();
    for (const child of children.split(" ").filter((word) => word !== "")) {
      const command = await readFile(`/proc/${child}/cmdline`, "utf8").catch(() => "");
      if (command.includes("cat")) return Number(child);
    }
    await delay(1);
  }
}

describe("a memory file on storage that hangs", () => {
  test("ends PauseTimeout, and the guest does not wait for the writer", { timeout: 60_000 }, async () => {
    const before = await fixture.files();
    let writer = 0;
    const hanging = memoryWriter().then((pid) => {
      writer = pid;
      process.kill(pid, "SIGSTOP");
    });
    const snapshot = fixture.snapshot({ domain: { pauseTimeoutSeconds: 2 } });
    await hanging;
    // The guest runs while the writer still hangs.
    await fixture.guest.waitForMoreTicks();
    expect(await fixture.monitor.runState()).toBe("running");
    process.kill(writer, "SIGCONT");
    const { report } = await snapshot;
    expect(report.error?.reason).toBe("PauseTimeout");
    console.info(
      `the guest stood still for ${report.pause?.totalMilliseconds} ms; its bound was 2 s, and 2 s for the cancel`,
    );
    await fixture.expectRunning();
    expect(await fixture.files()).toEqual(before);
  });
});
