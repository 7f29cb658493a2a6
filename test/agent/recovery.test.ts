// An agent that ends while it holds a guest, by SIGKILL or by order, and the one that comes after it.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { ContentSpec, DomainSnapshotContent } from "../../src/api/v1alpha1/domain-snapshot-content.ts";
import { RawMonitor } from "../guest/raw-monitor.ts";
import type { TestGuest } from "../guest/test-guest.ts";
import type { ManagedProcess } from "../stack/managed-process.ts";
import { AgentFixture } from "./agent-fixture.ts";

let fixture: AgentFixture;
beforeAll(async () => {
  fixture = await AgentFixture.start();
}, 180_000);
afterAll(async () => {
  await fixture?.[Symbol.asyncDispose]();
});

const isHeld = ({ status }: DomainSnapshotContent) => status?.phase === "ManualStoragePending";

class Held implements AsyncDisposable {
  readonly domainName: string;
  readonly guest: TestGuest;
  readonly monitor: RawMonitor;
  readonly content: DomainSnapshotContent;
  readonly filesBefore: readonly string[];
  agent: ManagedProcess;
  readonly #configuration: object;

  constructor(
    options: Pick<Held, "domainName" | "guest" | "monitor" | "content" | "filesBefore" | "agent">,
    configuration: object,
  ) {
    this.domainName = options.domainName;
    this.guest = options.guest;
    this.monitor = options.monitor;
    this.content = options.content;
    this.filesBefore = options.filesBefore;
    this.agent = options.agent;
    this.#configuration = configuration;
  }

  get name(): string {
    return this.content.metadata.name;
  }

  /** The next agent on the same state directory. */
  async startAgain(): Promise<void> {
    this.agent = await startAgent(this.domainName, this.#configuration);
  }

  async files(): Promise<string[]> {
    return await filesOf(this.domainName);
  }

  async journals(): Promise<string[]> {
    return await readdir(join(fixture.directory, `state-${this.domainName}`, "journal"));
  }

  /** The guest runs, and what it reads is what it wrote. */
  async expectRunning(): Promise<void> {
    await this.guest.waitForMoreTicks();
    expect(await this.monitor.runState()).toBe("running");
    expect(this.guest.mismatch(["vda", "vdb"])).toBeUndefined();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.monitor[Symbol.dispose]();
    await this.agent.stop("SIGKILL");
    await this.guest.stop();
  }
}

async function startAgent(domainName: string, configuration: object): Promise<ManagedProcess> {
  const agent = await fixture.startAgent([fixture.domain(domainName)], `state-${domainName}`, configuration);
  onTestFinished(({ task }) => {
    if (task.result?.state === "fail") console.error(agent.log.slice(-4000));
  });
  return agent;
}

async function filesOf(domainName: string): Promise<string[]> {
  const all = await readdir(join(fixture.directory, domainName), { recursive: true });
  return all.filter((name) => !/\.(log|qmp|sock|serial|console)$/.test(name)).toSorted();
}

/** A guest held by an agent, for a Content. */
async function hold(domainName: string, spec: Partial<ContentSpec> = {}, configuration: object = {}): Promise<Held> {
  const guest = await fixture.startGuest(domainName);
  const monitor = await RawMonitor.connect(guest.testMonitorPath);
  const agent = await startAgent(domainName, configuration);
  await fixture.awaitDomain(domainName, "published", (domain) => domain.status?.state !== undefined);
  const filesBefore = await filesOf(domainName);
  const name = await fixture.createContent(domainName, spec);
  const content = await fixture.awaitContent(name, "held", isHeld);
  return new Held({ domainName, guest, monitor, content, filesBefore, agent }, configuration);
}

describe("an agent that is killed while it holds a guest", () => {
  test("is followed by one that keeps the same hold to the same deadline, and completes it on release", {
    timeout: 120_000,
  }, async () => {
    await using held = await hold("released");
    await held.agent.stop("SIGKILL");
    await held.startAgain();
    // The status says nothing new: what tells of the successor is its Lease and that it acts.
    await fixture.setDesired(held.name, "Released");
    const { status } = await fixture.ended(held.name);
    expect(status?.error).toBeUndefined();
    expect(status?.phase).toBe("Completed");
    expect(status?.holdDeadline).toBe(held.content.status?.holdDeadline);
    expect(status?.pausedAt).toBe(held.content.status?.pausedAt);
    expect(status?.pause?.totalMilliseconds).toBeGreaterThan(0);
    expect(status?.manifest).toBeDefined();
    await held.expectRunning();
    await expect.poll(() => held.journals()).toEqual([]);
  });

  test("is followed by one that takes an aborted snapshot back", { timeout: 120_000 }, async () => {
    await using held = await hold("aborted");
    await held.agent.stop("SIGKILL");
    await fixture.setDesired(held.name, "Aborted");
    await held.startAgain();
    const { status } = await fixture.ended(held.name);
    expect(status?.error?.reason).toBe("Aborted");
    await held.expectRunning();
    await expect.poll(() => held.journals()).toEqual([]);
    expect(await held.files()).toEqual(held.filesBefore);
  });

  test("is followed by one that takes back what was deleted meanwhile", { timeout: 120_000 }, async () => {
    await using held = await hold("deleted");
    await held.agent.stop("SIGKILL");
    await fixture.view.contents.client.delete(held.name);
    await held.startAgain();
    await held.expectRunning();
    await expect.poll(() => held.journals(), { timeout: 20_000 }).toEqual([]);
    expect(await held.files()).toEqual(held.filesBefore);
  });

  test("is followed by one that lets the guest run at the deadline, with no API server", {
    timeout: 120_000,
  }, async () => {
    await using held = await hold("expired", { hold: { timeoutSeconds: 15, onTimeout: "Resume" } });
    await held.agent.stop("SIGKILL");
    await fixture.plane.stopApiServer();
    try {
      await held.startAgain();
      await held.expectRunning();
    } finally {
      await fixture.plane.startApiServer();
    }
    const { status } = await fixture.ended(held.name);
    expect(status?.error?.reason).toBe("HoldExpired");
    const late = Date.parse(status?.resumedAt ?? "") - Date.parse(held.content.status?.holdDeadline ?? "");
    console.info(`the guest ran ${late} ms after its deadline, its agent having been killed in the hold`);
    expect(late).toBeGreaterThan(-1000);
    expect((await held.files()).length).toBeGreaterThan(held.filesBefore.length);
  });

  test("is followed by one that says GuestLost when QEMU was started again meanwhile", {
    timeout: 120_000,
  }, async () => {
    await using held = await hold("replaced");
    await held.agent.stop("SIGKILL");
    await held.guest.stop();
    const again = await fixture.startGuest("replaced");
    onTestFinished(() => again.stop());
    await held.startAgain();
    const { status } = await fixture.ended(held.name);
    expect(status?.error?.reason).toBe("GuestLost");
    const overlay = status?.disks?.find(({ name }) => name === "vdb")?.overlay ?? "missing";
    expect(await held.files()).toContain(overlay.split("/").at(-1));
    await again.waitForMoreTicks();
  });

  test("is followed by one that notices a guest that ran in between", { timeout: 120_000 }, async () => {
    await using held = await hold("resumed");
    await held.agent.stop("SIGKILL");
    await held.monitor.execute("cont");
    await held.guest.waitForMoreTicks();
    await held.monitor.execute("stop");
    await held.startAgain();
    expect((await fixture.ended(held.name)).status?.error?.reason).toBe("HoldLost");
    await held.expectRunning();
  });
});

describe("an agent that is told to leave while it holds a guest", () => {
  test("leaves the hold to its successor", { timeout: 120_000 }, async () => {
    await using held = await hold("left");
    await held.agent.stop("SIGTERM");
    expect(await held.agent.exited).toBe(0);
    expect(await held.monitor.runState()).not.toBe("running");
    await held.startAgain();
    await fixture.setDesired(held.name, "Released");
    const { status } = await fixture.ended(held.name);
    expect(status?.phase).toBe("Completed");
    expect(status?.holdDeadline).toBe(held.content.status?.holdDeadline);
    await held.expectRunning();
  });

  test("with releaseOnShutdown lets the guest run first", { timeout: 120_000 }, async () => {
    await using held = await hold("let-go", {}, { releaseOnShutdown: true });
    await held.agent.stop("SIGTERM");
    expect(await held.agent.exited).toBe(0);
    expect((await fixture.ended(held.name)).status?.error?.reason).toBe("Aborted");
    await held.expectRunning();
  });
});
