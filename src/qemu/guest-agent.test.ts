import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { ScriptedGuestAgent } from "../../test/support/scripted-guest-agent.ts";
import { GuestAgent } from "./guest-agent.ts";

async function scripted(): Promise<ScriptedGuestAgent> {
  const directory = await mkdtemp(join(tmpdir(), "dsnap-qga-"));
  const agent = await ScriptedGuestAgent.listen(join(directory, "agent"));
  onTestFinished(async () => {
    await agent[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });
  return agent;
}

describe("the guest's own agent", () => {
  test("freezes, thaws and sets the clock, past what was left on the channel", async () => {
    const peer = await scripted();
    using agent = await GuestAgent.connect(peer.path);
    expect(await agent.freeze()).toBe(2);
    expect(await agent.thaw()).toBe(2);
    expect(await agent.thaw()).toBe(0);
    await agent.setTime(1_700_000_000_123);
    expect(peer.calls.at(-1)).toMatchObject({ command: "guest-set-time", args: { time: 1_700_000_000_123_000_000 } });
  });

  test("refuses in its own words", async () => {
    const peer = await scripted();
    peer.answer = (command) =>
      command === "guest-fsfreeze-freeze" ? { error: "failed to freeze /data: Device or resource busy" } : undefined;
    using agent = await GuestAgent.connect(peer.path);
    await expect(agent.freeze()).rejects.toMatchObject({
      reason: "QuiesceFailed",
      message: expect.stringContaining("/data: Device or resource busy"),
    });
  });

  test("that does not answer is given up when the caller is", async () => {
    const peer = await scripted();
    peer.answer = () => "hang";
    await expect(GuestAgent.connect(peer.path, AbortSignal.timeout(50))).rejects.toThrow();
  });

  test("that is not there is an error that names the socket", async () => {
    await expect(GuestAgent.connect("/nowhere/agent")).rejects.toMatchObject({
      reason: "QuiesceFailed",
      message: expect.stringContaining("/nowhere/agent"),
    });
  });
});
