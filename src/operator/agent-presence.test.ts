import { describe, expect, test } from "vitest";
import { AgentPresence } from "./agent-presence.ts";
import { ManualClock } from "./testing/objects.ts";

const name = "dsnap-agent-node-1";
const lease = (renewedAt: number) => ({
  metadata: { name },
  spec: { renewTime: new Date(renewedAt).toISOString(), leaseDurationSeconds: 40 },
});

describe("presence of an agent", () => {
  test("an agent that renews is alive and is looked at again when its Lease would expire", () => {
    const clock = new ManualClock();
    const presence = new AgentPresence({ clock });
    presence.observe(lease(clock.now()));
    expect(presence.of(name)).toEqual({ state: "Alive", checkAfterMilliseconds: 40_000 });
    clock.advance(30_000);
    presence.observe(lease(clock.now()));
    clock.advance(30_000);
    expect(presence.of(name)).toEqual({ state: "Alive", checkAfterMilliseconds: 10_000 });
  });

  test("an agent that stopped renewing is lost after the duration of its Lease, and found again when it renews", () => {
    const clock = new ManualClock();
    const presence = new AgentPresence({ clock });
    presence.observe(lease(clock.now()));
    clock.advance(40_000);
    expect(presence.of(name)).toEqual({ state: "Lost", lostForMilliseconds: 0 });
    presence.observe(lease(clock.now()));
    expect(presence.of(name).state).toBe("Alive");
  });

  test("seeing the same renewal again does not prolong the Lease", () => {
    const clock = new ManualClock();
    const presence = new AgentPresence({ clock });
    const once = lease(clock.now());
    presence.observe(once);
    clock.advance(39_000);
    presence.observe(once);
    clock.advance(1_000);
    expect(presence.of(name).state).toBe("Lost");
  });

  test("a node's wrong clock does not lose an agent that renews", () => {
    const clock = new ManualClock();
    const presence = new AgentPresence({ clock });
    for (let renewal = 0; renewal < 5; renewal += 1) {
      presence.observe(lease(clock.now() - 3_600_000));
      clock.advance(10_000);
    }
    expect(presence.of(name).state).toBe("Alive");
  });

  test("a Lease left over from before, and a missing one, are lost after the grace", () => {
    const clock = new ManualClock();
    const presence = new AgentPresence({ clock, graceMilliseconds: 15_000 });
    presence.observe(lease(clock.now() - 3_600_000));
    expect(presence.of(name).state).toBe("Unproven");
    expect(presence.of("dsnap-agent-other").state).toBe("Unproven");
    clock.advance(15_000);
    expect(presence.of(name).state).toBe("Lost");
    expect(presence.of("dsnap-agent-other").state).toBe("Lost");
  });

  test("an agent whose Lease was deleted is lost at once", () => {
    const clock = new ManualClock();
    const presence = new AgentPresence({ clock });
    presence.observe(lease(clock.now()));
    presence.forget(name);
    expect(presence.of(name).state).toBe("Lost");
  });
});
