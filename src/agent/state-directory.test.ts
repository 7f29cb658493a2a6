import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { claimStateDirectory } from "./state-directory.ts";

async function emptyDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "dsnap-state-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  return directory;
}

describe("the agent's state directory", () => {
  test("belongs to one agent at a time", async () => {
    const path = await emptyDirectory();
    {
      await using _first = await claimStateDirectory(path);
      await expect(claimStateDirectory(path)).rejects.toMatchObject({ reason: "AgentRunning" });
    }
    await using second = await claimStateDirectory(path);
    expect(second.path).toBe(path);
  });

  test("keeps journals from other users", async () => {
    await using claimed = await claimStateDirectory(await emptyDirectory());
    expect((await stat(claimed.journalDirectory)).mode & 0o777).toBe(0o700);
  });
});
