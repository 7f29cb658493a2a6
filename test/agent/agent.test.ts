import { existsSync } from "node:fs";
import { readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import type { Domain } from "../../src/api/v1alpha1/domain.ts";
import { RawMonitor } from "../guest/raw-monitor.ts";
import type { TestGuest } from "../guest/test-guest.ts";
import type { ManagedProcess } from "../stack/managed-process.ts";
import { AgentFixture, guestUuid } from "./agent-fixture.ts";

let fixture: AgentFixture;
beforeAll(async () => {
  fixture = await AgentFixture.start();
}, 180_000);
afterAll(async () => {
  await fixture?.[Symbol.asyncDispose]();
});

const condition = (domain: Domain, type: string) => domain.status?.conditions?.find((other) => other.type === type);
const isReady = (domain: Domain) => condition(domain, "Ready")?.status === "True";
const readyReason = (domain: Domain) => condition(domain, "Ready")?.reason;

/** A guest and an agent for it, both ended with the test. */
async function running(
  name: string,
  extra: Readonly<Record<string, unknown>> = {},
): Promise<{ guest: TestGuest; agent: ManagedProcess }> {
  const guest = await fixture.startGuest(name);
  onTestFinished(() => guest.stop());
  const agent = await startAgent(name, extra);
  await fixture.awaitDomain(name, "published", (domain) => domain.status?.state !== undefined);
  return { guest, agent };
}

async function startAgent(name: string, extra: Readonly<Record<string, unknown>> = {}): Promise<ManagedProcess> {
  const agent = await fixture.startAgent([fixture.domain(name, extra)]);
  onTestFinished((context) => {
    if (context.task.result?.state === "fail") console.error(agent.log.slice(-4000));
    return agent.stop();
  });
  return agent;
}

describe("a published Domain", () => {
  test("shows the guest and follows it: stopped, continued, gone, back", { timeout: 120_000 }, async () => {
    const { guest } = await running("follow");
    const published = await fixture.awaitDomain("follow", "ready", isReady);
    expect(published.spec).toEqual({ nodeName: "node-1", uuid: guestUuid });
    expect(published.status).toMatchObject({ state: "Running", captureModes: ["live", "paused"] });
    expect(published.status?.qemuVersion).toMatch(/^7\.2\./);
    expect(published.status?.memoryBytes).toBe(256 * 1024 * 1024);
    expect(published.status?.disks?.map(({ name, format, empty }) => ({ name, format, empty }))).toEqual([
      { name: "vda", format: "raw", empty: false },
      { name: "vdb", format: "qcow2", empty: false },
      { name: "sda", format: undefined, empty: true },
    ]);
    {
      using monitor = await RawMonitor.connect(guest.testMonitorPath);
      await monitor.execute("stop");
      await fixture.awaitDomain("follow", "paused", (domain) => domain.status?.state === "Paused");
      await monitor.execute("cont");
      await fixture.awaitDomain("follow", "running", (domain) => domain.status?.state === "Running");
      await monitor.execute("quit");
    }
    const gone = await fixture.awaitDomain("follow", "not ready", (domain) => !isReady(domain));
    expect(readyReason(gone)).toBe("MonitorUnavailable");
    expect(gone.status?.disks).toHaveLength(3);
    const again = await fixture.startGuest("follow");
    onTestFinished(() => again.stop());
    await fixture.awaitDomain(
      "follow",
      "ready again",
      (domain) => isReady(domain) && domain.status?.state === "Running",
    );
  });

  test("is put back when somebody deletes it or its agent was thought lost", { timeout: 90_000 }, async () => {
    await running("healed");
    const before = await fixture.awaitDomain("healed", "ready", isReady);
    await fixture.view.domains.client.delete("healed", "shop");
    const lost = {
      type: "Ready",
      status: "Unknown",
      reason: "AgentLost",
      message: "",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    };
    await fixture.awaitDomain(
      "healed",
      "new",
      (domain) => domain.metadata.uid !== before.metadata.uid && isReady(domain),
    );
    await fixture.view.domains.client.applyStatus(
      { metadata: { namespace: "shop", name: "healed" }, status: { conditions: [lost] } },
      { fieldManager: "domain-snapshot-operator", force: true },
    );
    await fixture.awaitDomain("healed", "ready again", isReady);
  });

  test("says that another client holds the monitor", { timeout: 90_000 }, async () => {
    const guest = await fixture.startGuest("busy");
    onTestFinished(() => guest.stop());
    const other = await RawMonitor.connect(guest.monitorPath);
    await startAgent("busy", { uuid: guestUuid });
    const busy = await fixture.awaitDomain("busy", "published", (domain) => readyReason(domain) !== undefined);
    expect(readyReason(busy)).toBe("MonitorBusy");
    other[Symbol.dispose]();
    await fixture.awaitDomain("busy", "ready", isReady);
  });

  test("refuses a guest with another UUID", { timeout: 90_000 }, async () => {
    await running("other", { uuid: "5f3c1c0e-8a52-4b0e-9d0f-0d6b1f6c1a99" });
    const domain = await fixture.awaitDomain("other", "refused", (seen) => readyReason(seen) === "IdentityMismatch");
    expect(condition(domain, "Ready")?.message).toContain(guestUuid);
    expect(domain.status?.state).toBe("Unknown");
  });

  test("of a shared monitor leaves it to others between looks", { timeout: 90_000 }, async () => {
    const { guest } = await running("lent", { monitor: "shared" });
    await fixture.awaitDomain("lent", "ready", isReady);
    using other = await RawMonitor.connect(guest.monitorPath);
    expect(await other.runState()).toBe("running");
  });
});

describe("a Content", () => {
  test.each(["dedicated", "shared"])(
    "is carried out: held until it is released, then completed (%s monitor)",
    { timeout: 120_000 },
    async (monitor) => {
      const domainName = `snap-${monitor}`;
      const { guest, agent } = await running(domainName, { monitor });
      await fixture.awaitDomain(domainName, "ready", isReady);
      const name = await fixture.createContent(domainName);
      const held = await fixture.awaitContent(name, "held or ended", ({ status }) =>
        ["ManualStoragePending", "Failed", "Completed"].includes(status?.phase ?? ""),
      );
      expect(held.status?.error).toBeUndefined();
      expect(held.status?.phase).toBe("ManualStoragePending");
      expect(held.status?.observedGeneration).toBe(held.metadata.generation);
      using monitorOfTest = await RawMonitor.connect(guest.testMonitorPath);
      expect(await monitorOfTest.runState()).not.toBe("running");
      const domain = await fixture.awaitDomain(domainName, "paused", (seen) => seen.status?.state === "Paused");
      expect(domain.status?.activeSnapshot).toBe(name);

      await fixture.setDesired(name, "Released");
      const completed = await fixture.ended(name);
      expect(completed.status?.error).toBeUndefined();
      expect(completed.status).toMatchObject({ phase: "Completed", domainStateBefore: "Running" });
      expect(completed.status?.pause?.totalMilliseconds).toBeGreaterThan(0);
      expect(await monitorOfTest.runState()).toBe("running");
      await guest.waitForMoreTicks();
      expect(guest.mismatch(["vda", "vdb"])).toBeUndefined();
      expect(
        existsSync(join(fixture.directory, domainName, "snapshots", completed.status?.memory?.file ?? "missing")),
      ).toBe(true);

      const after = await fixture.awaitDomain(
        domainName,
        "itself again",
        ({ status }) => status?.activeSnapshot === undefined && status?.state === "Running",
      );
      expect(condition(after, "DiskImageChanged")).toMatchObject({ status: "True", reason: "NotAnnounced" });
      expect(condition(after, "DiskImageChanged")?.message).toContain(join(fixture.directory, domainName, "vdb."));

      const writes = await fixture.agentWrites("domainsnapshotcontents", name);
      console.info(`${monitor}: ${writes.length} status writes, agent RSS ${agent.residentMebibytes()} MiB`);
      expect(writes.length).toBeLessThanOrEqual(5);
    },
  );

  test("aborted or deleted while held leaves the guest running and its disks where they were", {
    timeout: 120_000,
  }, async () => {
    const { guest } = await running("aborted");
    const files = await readdir(join(fixture.directory, "aborted"));
    const isHeld = ({ status }: { status?: { phase?: string | undefined } | undefined }) =>
      status?.phase === "ManualStoragePending";
    const first = await fixture.createContent("aborted");
    await fixture.awaitContent(first, "held", isHeld);
    await fixture.setDesired(first, "Aborted");
    expect((await fixture.ended(first)).status?.error?.reason).toBe("Aborted");
    await guest.waitForMoreTicks();

    const second = await fixture.createContent("aborted");
    await fixture.awaitContent(second, "held", isHeld);
    await fixture.view.contents.client.delete(second);
    await guest.waitForMoreTicks();
    using monitor = await RawMonitor.connect(guest.testMonitorPath);
    expect(await monitor.runState()).toBe("running");
    expect(await readdir(join(fixture.directory, "aborted"))).toEqual(files);
    const domain = await fixture.awaitDomain(
      "aborted",
      "itself again",
      ({ status }) => status?.activeSnapshot === undefined,
    );
    expect(condition(domain, "DiskImageChanged")).toBeUndefined();
  });

  test("whose hold is shortened ends at the new deadline", { timeout: 90_000 }, async () => {
    const { guest } = await running("shortened");
    const name = await fixture.createContent("shortened");
    const held = await fixture.awaitContent(name, "held", ({ status }) => status?.phase === "ManualStoragePending");
    await fixture.view.contents.client.mergePatch(name, undefined, { spec: { hold: { timeoutSeconds: 2 } } });
    const { status } = await fixture.ended(name);
    expect(status?.error?.reason).toBe("HoldExpired");
    expect(status?.holdDeadline).not.toBe(held.status?.holdDeadline);
    await guest.waitForMoreTicks();
  });

  test("is held on while the API server is away, and ended by its deadline all the same", {
    timeout: 120_000,
  }, async () => {
    const { guest } = await running("alone");
    using monitor = await RawMonitor.connect(guest.testMonitorPath);
    const name = await fixture.createContent("alone");
    const isHeld = ({ status }: { status?: { phase?: string | undefined } | undefined }) =>
      status?.phase === "ManualStoragePending";
    await fixture.awaitContent(name, "held", isHeld);
    await fixture.plane.restartApiServer("SIGKILL");
    expect(await monitor.runState()).not.toBe("running");
    await fixture.setDesired(name, "Released");
    expect((await fixture.ended(name)).status?.phase).toBe("Completed");

    const second = await fixture.createContent("alone", { hold: { timeoutSeconds: 3, onTimeout: "Resume" } });
    await fixture.awaitContent(second, "held", isHeld);
    await fixture.plane.stopApiServer();
    try {
      await guest.waitForMoreTicks();
      expect(await monitor.runState()).toBe("running");
    } finally {
      await fixture.plane.startApiServer();
    }
    expect((await fixture.ended(second)).status?.error?.reason).toBe("HoldExpired");
  });

  test("with a diskChangeCommand tells it the new image, and the Domain needs no warning", {
    timeout: 90_000,
  }, async () => {
    const told = join(fixture.directory, "told.json");
    await running("told", { diskChangeCommand: ["/bin/sh", "-c", `cat >>'${told}'`] });
    const name = await fixture.createContent("told");
    await fixture.awaitContent(name, "held", ({ status }) => status?.phase === "ManualStoragePending");
    const overlay = /^\/.*\/vdb\.[^/]+$/;
    expect(JSON.parse(await readFile(told, "utf8"))).toMatchObject({
      domain: { namespace: "shop", name: "told", uuid: guestUuid },
      disk: "vdb",
      oldPath: join(fixture.directory, "told", "vdb.qcow2"),
      newPath: expect.stringMatching(overlay),
    });
    await fixture.setDesired(name, "Released");
    expect((await fixture.ended(name)).status?.phase).toBe("Completed");
    const domain = await fixture.awaitDomain(
      "told",
      "itself again",
      ({ status }) => status?.activeSnapshot === undefined,
    );
    expect(condition(domain, "DiskImageChanged")).toBeUndefined();
  });

  test("that cannot be carried out says why and leaves guest and files as they were", {
    timeout: 120_000,
  }, async () => {
    const { guest } = await running("refused");
    const existing = join(fixture.directory, "refused", "snapshots", "precious.mem");
    await writeFile(existing, "precious");
    await symlink(fixture.directory, join(fixture.directory, "refused", "snapshots", "way-out"));
    const attempts = [
      ["FileExists", { memory: { snapshot: "external", file: "precious.mem" } }],
      ["PathNotAllowed", { memory: { snapshot: "external", file: "/etc/precious.mem" } }],
      ["PathNotAllowed", { memory: { snapshot: "external", file: "way-out/precious.mem" } }],
      [
        "IdentityMismatch",
        { domain: { namespace: "shop", name: "refused", uuid: "5f3c1c0e-8a52-4b0e-9d0f-0d6b1f6c1a99" } },
      ],
      ["DomainNotFound", { domain: { namespace: "shop", name: "nobody", uuid: guestUuid } }],
      ["Replayed", { desired: "Released" }],
      ["Aborted", { desired: "Aborted" }],
    ] as const;
    for (const [reason, spec] of attempts) {
      const { status } = await fixture.ended(await fixture.createContent("refused", spec));
      expect(status?.phase).toBe("Failed");
      expect(status?.error?.reason).toBe(reason);
      expect(status?.error?.message.length).toBeGreaterThan(10);
    }
    expect(await readFile(existing, "utf8")).toBe("precious");
    expect(await readdir(join(fixture.directory, "refused", "snapshots"))).toEqual(["precious.mem", "way-out"]);
    await guest.waitForMoreTicks();
    expect(guest.mismatch(["vda", "vdb"])).toBeUndefined();
  });
});

describe("the agent's process", () => {
  test("is alone on its state directory, and leaves in order when asked", { timeout: 60_000 }, async () => {
    const first = await fixture.startAgent([], "alone");
    onTestFinished(() => first.stop());
    await expect.poll(() => first.log, { timeout: 30_000 }).toContain("agent started");
    const second = await fixture.startAgent([], "alone");
    onTestFinished(() => second.stop());
    expect(await second.exited).toBe(1);
    expect(second.log).toContain("AgentRunning");
    await first.stop();
    expect(await first.exited).toBe(0);
  });
});
