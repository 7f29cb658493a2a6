// quiesce: the guest's own agent freezes before the pause and thaws after the resume, whatever happens in between.

import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ScriptedGuestAgent } from "../support/scripted-guest-agent.ts";
import { EngineFixture, type Script } from "./engine-fixture.ts";

let fixture: EngineFixture;
let agent: ScriptedGuestAgent;
beforeAll(async () => {
  fixture = await EngineFixture.start("7.2");
}, 900_000);
afterAll(async () => {
  await fixture?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  agent = await ScriptedGuestAgent.listen(join(fixture.directory, "guest.agent"));
});
afterEach(async () => {
  await agent[Symbol.asyncDispose]();
});

async function snapshot(quiesce: "BestEffort" | "Required", script: Script = {}) {
  return await fixture.snapshot({
    ...script,
    request: { quiesce, memory: undefined, ...script.request },
    domain: { guestAgentPath: agent.path, ...script.domain },
  });
}

const at = (time: string | undefined) => Date.parse(time ?? "");
const callsOf = (command: string) => agent.calls.filter((call) => call.command === command);

describe("a quiesced snapshot", () => {
  test("is frozen before the pause, thawed after the resume, and the guest's clock is set", async () => {
    const { report } = await snapshot("Required");
    expect(report.error).toBeUndefined();
    expect(report).toMatchObject({ phase: "Completed", quiesced: true });
    const [frozen] = callsOf("guest-fsfreeze-freeze");
    const [thawed] = callsOf("guest-fsfreeze-thaw");
    expect(frozen?.at).toBeLessThanOrEqual(at(report.pausedAt));
    expect(thawed?.at).toBeGreaterThanOrEqual(Math.floor(at(report.resumedAt)));
    expect(agent.frozen).toBe(false);
    expect(Number(callsOf("guest-set-time")[0]?.args["time"]) / 1e6).toBeGreaterThan(at(report.resumedAt) - 1000);
    await fixture.expectRunning();
  });

  test("that is aborted is thawed once the guest runs again", async () => {
    const { report } = await snapshot("Required", { onHold: () => "Aborted" });
    expect(report.error?.reason).toBe("Aborted");
    expect(callsOf("guest-fsfreeze-thaw")[0]?.at).toBeGreaterThanOrEqual(Math.floor(at(report.resumedAt)));
    expect(agent.frozen).toBe(false);
    await fixture.expectRunning();
  });

  test("whose hold expires is thawed as well", async () => {
    const { report } = await snapshot("Required", {
      hold: { timeoutSeconds: 1, onTimeout: "Resume" },
      onHold: () => undefined,
    });
    expect(report.error?.reason).toBe("HoldExpired");
    expect(agent.frozen).toBe(false);
    await fixture.expectRunning();
  });

  test("that is Required fails before the pause when the agent refuses, and is thawed all the same", async () => {
    const before = await fixture.footprint();
    agent.answer = (command) => (command === "guest-fsfreeze-freeze" ? { error: "not allowed" } : undefined);
    const { report } = await snapshot("Required");
    expect(report.error).toMatchObject({ reason: "QuiesceFailed", message: expect.stringContaining("not allowed") });
    expect(report.pausedAt).toBeUndefined();
    expect(callsOf("guest-fsfreeze-thaw").length).toBeGreaterThan(0);
    expect(await fixture.footprint()).toEqual(before);
  });

  test("that is BestEffort goes on without an agent, and says so", async () => {
    await agent[Symbol.asyncDispose]();
    const { report } = await snapshot("BestEffort");
    expect(report).toMatchObject({
      phase: "Completed",
      quiesced: false,
      quiesceMessage: expect.stringContaining(agent.path),
    });
    await fixture.expectRunning();
  });

  test("that is BestEffort waits a bounded time for an agent that hangs", { timeout: 60_000 }, async () => {
    agent.answer = () => "hang";
    const { report } = await snapshot("BestEffort");
    expect(report).toMatchObject({
      phase: "Completed",
      quiesced: false,
      quiesceMessage: expect.stringContaining("not answered within 10 s"),
    });
    // The freeze came before the pause: a guest agent that hangs costs no pause.
    expect(report.pause?.beforeHoldMilliseconds).toBeLessThan(9000);
    await fixture.expectRunning();
  });

  test("is thawed by a later try when the first one fails", { timeout: 60_000 }, async () => {
    agent.answer = (command, call) =>
      command === "guest-fsfreeze-thaw" && call === 1 ? { error: "try again" } : undefined;
    const { report } = await snapshot("Required");
    expect(report.phase).toBe("Completed");
    expect(callsOf("guest-fsfreeze-thaw").length).toBe(2);
    expect(agent.frozen).toBe(false);
  });

  test("of a paused guest is refused when it is Required: it cannot freeze itself", async () => {
    await fixture.monitor.execute("stop");
    try {
      const { report } = await snapshot("Required");
      expect(report.error?.reason).toBe("QuiesceFailed");
      expect(agent.count("guest-fsfreeze-freeze")).toBe(0);
    } finally {
      await fixture.monitor.execute("cont");
    }
  });
});
