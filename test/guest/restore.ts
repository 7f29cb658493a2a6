// Restores a snapshot the way docs/restore.md says, from its manifest, into a second QEMU that checks itself.

import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { z } from "zod";
import { RawMonitor } from "./raw-monitor.ts";
import { type GuestOptions, TestGuest } from "./test-guest.ts";

/** What a restore reads of snapshot.json. */
const manifest = z.looseObject({
  restore: z.object({
    capabilities: z.array(z.looseObject({ capability: z.string(), state: z.boolean() })),
    parameters: z.record(z.string(), z.unknown()),
    uri: z.string(),
  }),
});

export interface RestoredGuest extends AsyncDisposable {
  readonly guest: TestGuest;
  /** The first tick after the restore: the instant that the memory was saved at. */
  readonly firstTick: number;
  /** What the guest found wrong among its memory and the disks asked for. */
  readonly mismatch: string | undefined;
}

/** Starts QEMU with `-incoming defer`, loads the memory, lets the guest run for `ticks` checks. */
export async function restoreGuest(options: {
  guest: Omit<GuestOptions, "incoming">;
  manifestPath: string;
  checkDisks: readonly string[];
  ticks?: number;
}): Promise<RestoredGuest> {
  const { restore } = manifest.parse(JSON.parse(await readFile(options.manifestPath, "utf8")));
  const guest = await TestGuest.start({ ...options.guest, incoming: true });
  try {
    using monitor = await RawMonitor.connect(guest.testMonitorPath);
    for (const capability of restore.capabilities) {
      await monitor.execute("migrate-set-capabilities", { capabilities: [capability] });
    }
    if (Object.keys(restore.parameters).length > 0) await monitor.execute("migrate-set-parameters", restore.parameters);
    await monitor.execute("migrate-incoming", { uri: restore.uri });
    while ((await monitor.runState()) === "inmigrate") await delay(20);
    await monitor.execute("cont");
    await guest.waitForMoreTicks((options.ticks ?? 5) + 1);
  } catch (error) {
    await guest.stop();
    throw error;
  }
  return {
    guest,
    firstTick: guest.ticks[0]?.number ?? -1,
    mismatch: guest.mismatch(options.checkDisks),
    [Symbol.asyncDispose]: async () => await guest.stop(),
  };
}
