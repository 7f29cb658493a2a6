import { describe, expect, it } from "vitest";
import { FakeApiServer } from "../../test/support/fake-api-server.ts";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { silentLog } from "../../test/support/silent-log.ts";
import { type Lease, leases } from "./lease.ts";
import { LeaseObserver } from "./lease-observer.ts";
import { NodeLease } from "./node-lease.ts";

function setUp() {
  const clock = new FakeClock();
  const server = new FakeApiServer({ clock });
  const options = { client: server, namespace: "system", name: "agent-n1", identity: "n1", clock, random: () => 0.5 };
  const stop = new AbortController();
  const running = new NodeLease({ ...options, log: silentLog }).run(stop.signal);
  const observer = new LeaseObserver({ clock });
  const observe = () => {
    for (const lease of server.all(leases)) observer.observe(lease as Lease);
    return observer.remainingMilliseconds("system/agent-n1");
  };
  return { clock, server, stop, running, observer, observe };
}

describe("NodeLease and LeaseObserver", () => {
  it("keep a process alive in the eyes of others, through failed renewals and a wrong clock", async () => {
    const { clock, server, stop, running, observe } = setUp();
    for (let round = 0; round < 20; round += 1) {
      if (round % 3 === 0) server.failNext("PATCH", /leases/, 500);
      if (round === 10) clock.setWallClock(0);
      await clock.advance(10_000);
      expect(observe()).toBeGreaterThan(15_000);
    }
    stop.abort();
    await running;
  });

  it("let it be taken for gone 40 s after the last renewal seen, not earlier", async () => {
    const { clock, stop, running, observe } = setUp();
    await clock.advance(5_000);
    observe();
    stop.abort();
    await running;
    await clock.advance(39_000);
    expect(observe()).toBe(1_000);
    await clock.advance(1_000);
    expect(observe()).toBe(0);
  });

  it("trust nobody who was never seen or is forgotten", () => {
    const { observer, stop } = setUp();
    expect(observer.remainingMilliseconds("system/other")).toBe(0);
    stop.abort();
  });
});
