import { appendFile, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock as clock } from "../runtime/clock.ts";
import { lockDomain } from "./domain-lock.ts";
import { closeJournal, Journal, journaledUids, readJournal } from "./journal.ts";

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "dsnap-journal-"));
});

afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

describe("Journal", () => {
  it("gives back what was written, and takes a torn last line for what a crash leaves", async () => {
    const directory = join(root, "journals");
    const journal = await Journal.create({ directory, uid: "u", clock });
    await journal.append("intent", "pause");
    await journal.append("result", "pause", { ranBefore: true });
    await appendFile(journal.path, '{"at":"2026');
    expect(await readJournal(journal.path)).toMatchObject([
      { event: "intent", step: "pause" },
      { event: "result", step: "pause", data: { ranBefore: true } },
    ]);
    await appendFile(journal.path, '"}{\n{"at":"now","event":"undo"}\n');
    await expect(readJournal(journal.path)).rejects.toThrow(/line 3/);
  });

  it("goes on behind the last whole line after a crash", async () => {
    const directory = join(root, "journals");
    {
      const journal = await Journal.create({ directory, uid: "u", clock });
      await journal.append("begin");
      await appendFile(journal.path, '{"at":"2026-1');
    }
    const journal = await Journal.reopen({ path: join(directory, "u.jsonl"), clock });
    await journal.append("intent", "pause");
    expect(await readJournal(journal.path)).toMatchObject([{ event: "begin" }, { event: "intent", step: "pause" }]);
  });

  it("is the agent's alone, and one for each snapshot", async () => {
    const directory = join(root, "journals");
    const journal = await Journal.create({ directory, uid: "u", clock });
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await stat(journal.path)).mode & 0o777).toBe(0o600);
    await expect(Journal.create({ directory, uid: "u", clock })).rejects.toMatchObject({ reason: "FileExists" });
    expect(await journaledUids(directory)).toEqual(["u"]);
    await closeJournal({ directory, uid: "u" });
    expect(await readdir(directory)).toEqual([]);
  });
});

describe("the lock of a domain", () => {
  it("refuses a second snapshot of the guest, naming the first, until that has ended", async () => {
    const uuid = "5f3c1c0e-8a52-4b0e-9d0f-0d6b1f6c1a01";
    const first = await lockDomain({ directory: root, uuid, purpose: "ns/first", journal: join(root, "a") });
    await expect(
      lockDomain({ directory: root, uuid, purpose: "ns/second", journal: join(root, "b") }),
    ).rejects.toMatchObject({
      reason: "DomainBusy",
      message: expect.stringContaining("ns/first"),
    });
    await first[Symbol.asyncDispose]();
    await using _second = await lockDomain({ directory: root, uuid, purpose: "ns/second", journal: join(root, "b") });
  });
});
