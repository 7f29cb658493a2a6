import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { electionCluster, Link } from "../../test/support/election-cluster.ts";
import { FakeApiServer } from "../../test/support/fake-api-server.ts";
import { FakeClock, settle } from "../../test/support/fake-clock.ts";
import { silentLog } from "../../test/support/silent-log.ts";
import { LeaderElector } from "./leader-elector.ts";
import { leases } from "./lease.ts";

describe("LeaderElector", () => {
  it("elects one, and another within a retry after the first has stopped in good order", async () => {
    const { base, candidates, leaders } = electionCluster({ rates: [1, 1], offsets: [0, 0], seed: 1 });
    for (const candidate of candidates) candidate.start();
    await base.advance(3_000);
    const [first] = leaders();
    expect(leaders()).toHaveLength(1);
    first?.stop();
    await base.advance(2_500);
    expect(leaders()).toHaveLength(1);
    expect(leaders()[0]?.name).not.toBe(first?.name);
  });

  it("waits out the lease of a leader that crashed, by its own clock", async () => {
    const { base, candidates, leaders } = electionCluster({ rates: [1, 1], offsets: [0, 7_200_000], seed: 2 });
    const [first, second] = candidates;
    first?.start();
    await base.advance(3_000);
    second?.start();
    await base.advance(5_000);
    first?.crash();
    await base.advance(12_000);
    expect(leaders()).toEqual([]);
    await base.advance(6_000);
    expect(leaders().map(({ name }) => name)).toEqual(["candidate-1"]);
  });

  it("aborts a leader's work within the renew deadline when requests hang, and reports LeaseLost", async () => {
    const clock = new FakeClock();
    const server = new FakeApiServer({ clock });
    const link = new Link({ server, clock });
    const elector = new LeaderElector({
      client: link,
      namespace: "system",
      name: "leader",
      identity: "me",
      clock,
      random: () => 0,
      log: silentLog,
    });
    let lostAt: number | undefined;
    const onStarted = async (signal: AbortSignal) => {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      lostAt = clock.monotonic();
    };
    const running = elector.run({ signal: new AbortController().signal, onStarted });
    const outcome = expect(running).rejects.toMatchObject({ reason: "LeaseLost" });
    await clock.advance(4_000);
    link.cut = "request";
    await clock.advance(20_000);
    await outcome;
    expect(lostAt).toBeLessThanOrEqual(14_000);
    expect(clock.sleeping).toBe(0);
  });

  it("counts its hold from when a renewal was sent, not from when the answer came", async () => {
    for (const answersUntil of ["acquired", "renewed"]) {
      const clock = new FakeClock();
      const server = new FakeApiServer({ clock });
      const link = new Link({ server, clock });
      link.answerLatencyMilliseconds = 2_000;
      const options = { client: link, namespace: "system", name: "leader", identity: "me", clock, random: () => 0 };
      const elector = new LeaderElector({ ...options, log: silentLog });
      let [startedAt, lostAt] = [0, 0];
      const onStarted = async (signal: AbortSignal) => {
        startedAt = clock.monotonic();
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
        lostAt = clock.monotonic();
      };
      const running = elector.run({ signal: new AbortController().signal, onStarted });
      const outcome = expect(running).rejects.toMatchObject({ reason: "LeaseLost" });
      // The first try reads (2 s) and creates (2 s), sent at 0; the first renewal is sent at 6 s, answered at 8 s.
      await clock.advance(answersUntil === "acquired" ? 5_000 : 8_500);
      link.cut = "request";
      await clock.advance(30_000);
      await outcome;
      expect(startedAt).toBe(4_000);
      expect(lostAt).toBe(answersUntil === "acquired" ? 10_000 : 16_000);
    }
  });

  it("lets one win when several see a lease expire at the same moment", async () => {
    const { base, candidates, leaders } = electionCluster({
      rates: [1, 1, 1, 1],
      offsets: [0, 0, 0, 0],
      seed: 3,
      random: () => 0,
    });
    const [first, ...rivals] = candidates;
    first?.start();
    await base.advance(3_000);
    for (const rival of rivals) {
      rival.link.latencyMilliseconds = 300;
      rival.start();
    }
    await base.advance(1_000);
    first?.crash();
    for (let passed = 0; passed < 30_000; passed += 50) {
      await base.advance(50);
      expect(leaders().length).toBeLessThanOrEqual(1);
    }
    expect(leaders()).toHaveLength(1);
  });

  it("gives up as soon as it reads that somebody else holds the lease", async () => {
    const clock = new FakeClock();
    const server = new FakeApiServer({ clock });
    const options = { client: server, namespace: "system", name: "leader", identity: "me", clock, random: () => 0 };
    const elector = new LeaderElector({ ...options, log: silentLog });
    const onStarted = async (signal: AbortSignal) => {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    };
    const running = elector.run({ signal: new AbortController().signal, onStarted });
    const outcome = expect(running).rejects.toMatchObject({ reason: "LeaseLost" });
    await clock.advance(1_000);
    const usurped = {
      spec: { holderIdentity: "usurper", leaseDurationSeconds: 15, renewTime: "now", leaseTransitions: 9 },
    };
    server.put(leases, { metadata: { name: "leader", namespace: "system" }, ...usurped });
    await clock.advance(5_000);
    await outcome;
    expect(Reflect.get(Object(server.all(leases)[0]?.spec), "holderIdentity")).toBe("usurper");
  });

  it("waits for the leader's work to end before it releases the lease", async () => {
    const clock = new FakeClock();
    const server = new FakeApiServer({ clock });
    const options = { client: server, namespace: "system", name: "leader", identity: "me", clock, random: () => 0 };
    const elector = new LeaderElector({ ...options, log: silentLog });
    const stop = new AbortController();
    const running = elector.run({ signal: stop.signal, onStarted: async () => await clock.sleep(60_000) });
    await settle();
    stop.abort();
    await clock.advance(30_000);
    const holder = () => Reflect.get(Object(server.all(leases)[0]?.spec), "holderIdentity");
    expect(holder()).toBe("me");
    await clock.advance(30_000);
    await running;
    expect(holder()).toBeUndefined();
  });

  it("passes on what the work throws, after releasing the lease", async () => {
    const clock = new FakeClock();
    const server = new FakeApiServer({ clock });
    const options = { client: server, namespace: "system", name: "leader", identity: "me", clock, random: () => 0 };
    const elector = new LeaderElector({ ...options, log: silentLog });
    const onStarted = async () => await Promise.reject(new Error("broken"));
    await expect(elector.run({ signal: new AbortController().signal, onStarted })).rejects.toThrow("broken");
    expect(Reflect.get(Object(server.all(leases)[0]?.spec), "holderIdentity")).toBeUndefined();
  });

  it("never has two leaders, and terms only grow, under skew, drift, partitions, crashes and late requests", async () => {
    const who = fc.integer({ min: 0, max: 2 });
    const step = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({
          do: fc.constant("advance" as const),
          milliseconds: fc.integer({ min: 100, max: 20_000 }),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant("cut" as const),
          who,
          how: fc.constantFrom("none", "request", "answer"),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          do: fc.constantFrom("latency" as const, "answerLatency" as const),
          who,
          milliseconds: fc.integer({ min: 0, max: 6_000 }),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constantFrom("crash" as const, "restart" as const, "stop" as const), who }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constant("fault" as const), status: fc.constantFrom(0, 409, 429, 500) }),
      },
    );
    const scenario = fc.record({
      rates: fc.tuple(...[0, 1, 2].map(() => fc.double({ min: 0.95, max: 1.05, noNaN: true }))),
      offsets: fc.tuple(...[0, 1, 2].map(() => fc.integer({ min: -1e10, max: 1e10 }))),
      seed: fc.nat(),
      script: fc.array(step, { maxLength: 30, size: "max" }),
    });
    let terms = 0;
    await fc.assert(
      fc.asyncProperty(scenario, async ({ rates, offsets, seed, script }) => {
        const { base, server, candidates, leaders } = electionCluster({ rates, offsets, seed });
        let lastTerm = -1;
        const check = () => {
          expect(leaders().length).toBeLessThanOrEqual(1);
          const term = leaders()[0]?.leadingAs?.transitions;
          if (term === undefined) return;
          expect(term).toBeGreaterThanOrEqual(lastTerm);
          if (term > lastTerm) terms += 1;
          lastTerm = term;
        };
        const advance = async (milliseconds: number) => {
          for (let passed = 0; passed < milliseconds; passed += 100) {
            await base.advance(100);
            check();
          }
        };
        for (const candidate of candidates) candidate.start();
        for (const action of script) {
          if (action.do === "advance") await advance(action.milliseconds);
          else if (action.do === "fault") server.failNext("PATCH", /leases/, action.status);
          else {
            const candidate = candidates[action.who];
            if (candidate === undefined) continue;
            if (action.do === "cut") candidate.link.cut = action.how as Link["cut"];
            else if (action.do === "answerLatency") candidate.link.answerLatencyMilliseconds = action.milliseconds;
            else if (action.do === "latency") candidate.link.latencyMilliseconds = action.milliseconds;
            else candidate[action.do]();
          }
          check();
        }
        // Once all is well, somebody leads.
        server.clearFaults();
        for (const candidate of candidates) {
          candidate.link.cut = "none";
          candidate.link.latencyMilliseconds = 0;
          candidate.link.answerLatencyMilliseconds = 0;
          candidate.restart();
        }
        await advance(30_000);
        expect(leaders()).toHaveLength(1);
      }),
      { numRuns: 40 },
    );
    expect(terms).toBeGreaterThan(40);
  }, 60_000);
});
