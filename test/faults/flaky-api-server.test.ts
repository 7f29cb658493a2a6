// Operator and agent behind an API server in trouble: what is asked for happens, once, however often it has to be said.

import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DomainSnapshot } from "../../src/api/v1alpha1/domain-snapshot.ts";
import { RawMonitor } from "../guest/raw-monitor.ts";
import { namespace, Stack } from "../stack/stack.ts";
import { seededRandom } from "../support/seeded-random.ts";
import { FlakyApiServer, quickTroubles, type Trouble } from "./flaky-api-server.ts";

let stack: Stack;
let proxy: FlakyApiServer;
let monitor: RawMonitor;

beforeAll(async () => {
  stack = await Stack.start({
    touchMebibytes: 16,
    serverFor: async (plane) => {
      proxy = await FlakyApiServer.listen(plane.server, plane.caFile);
      return proxy.url;
    },
  });
  monitor = await RawMonitor.connect(stack.guest.testMonitorPath);
}, 900_000);

afterAll(async () => {
  monitor?.[Symbol.dispose]();
  await stack?.[Symbol.asyncDispose]();
  await proxy?.[Symbol.asyncDispose]();
});

const ended = ({ status }: DomainSnapshot) => status?.phase === "Completed" || status?.phase === "Failed";
const heldOrEnded = (snapshot: DomainSnapshot) => snapshot.status?.phase === "ManualStoragePending" || ended(snapshot);

/** Every third request is in trouble; of watches and lists as well. */
function anyTrouble(kinds: readonly Trouble[], seed: number): void {
  const random = seededRandom(seed);
  // An operator that loses its Lease ends, and is started again by the kubelet: not what is tried here.
  proxy.trouble = (_method, path) =>
    !path.includes("/leases") && random() < 0.3 ? kinds[Math.floor(random() * kinds.length)] : undefined;
}

/** From the request to its end; resolves with the number of times that the guest was stopped and let run. */
async function snapshot(
  name: string,
  end: "resume" | "abort",
): Promise<{ last: DomainSnapshot; stops: number; resumes: number }> {
  const before = monitor.events.length;
  await stack.plane.apply(
    JSON.stringify({
      apiVersion: "domainsnapshot.io/v1alpha1",
      kind: "DomainSnapshot",
      metadata: { name, namespace },
      spec: {
        ...{
          domainRef: { name: "demo" },
          memory: { snapshot: "external" },
          hold: { timeoutSeconds: 120, onTimeout: "Resume" },
        },
        disks: [{ name: "vda", snapshot: "manual" }],
      },
    }),
  );
  await stack.until(name, "held", heldOrEnded, 90_000);
  await stack.view.snapshots.client.mergePatch(name, namespace, { spec: { [end]: true } });
  const last = await stack.until(name, "ended", ended, 90_000);
  const events = monitor.events.slice(before);
  const count = (event: string) => events.filter((seen) => seen === event).length;
  return { last, stops: count("STOP"), resumes: count("RESUME") };
}

describe("an API server in trouble", () => {
  test.each(quickTroubles.map((kind, index) => [kind, index] as const))(
    "that answers a third of the requests with %s neither stops a snapshot nor doubles a pause",
    { timeout: 200_000 },
    async (kind, index) => {
      anyTrouble([kind], index + 1);
      const { last, stops, resumes } = await snapshot(`trouble-${kind}`, index % 2 === 0 ? "resume" : "abort");
      proxy.trouble = () => undefined;
      if (index % 2 === 0) expect(last.status?.error).toBeUndefined();
      else expect(last.status?.error?.reason).toBe("Aborted");
      expect({ stops, resumes }).toEqual({ stops: 1, resumes: 1 });
      expect(proxy.told.get(kind)).toBeGreaterThan(0);
      await stack.guest.waitForMoreTicks();
      expect(stack.guest.mismatch(["vda", "vdb", "vdc"])).toBeUndefined();
    },
  );

  test("that hangs for a while during a hold is waited for", { timeout: 200_000 }, async () => {
    const name = "trouble-hang";
    const told = snapshot(name, "resume");
    await stack.until(name, "held", heldOrEnded, 90_000);
    proxy.cutAll();
    proxy.trouble = () => "hang";
    await delay(8_000);
    proxy.trouble = () => undefined;
    const { last, stops, resumes } = await told;
    expect(last.status?.phase).toBe("Completed");
    expect({ stops, resumes }).toEqual({ stops: 1, resumes: 1 });
  });

  test("of all these kinds at once is outlived as well", { timeout: 200_000 }, async () => {
    anyTrouble(quickTroubles, 42);
    const { last, stops, resumes } = await snapshot("trouble-all", "resume");
    proxy.trouble = () => undefined;
    expect(last.status?.phase).toBe("Completed");
    expect({ stops, resumes }).toEqual({ stops: 1, resumes: 1 });
    expect(last.status?.memory?.file).toBeDefined();
    expect(join(stack.snapshotDirectory, last.status?.memory?.file ?? "")).toContain("trouble-all");
  });
});
