import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DomainSnapshot } from "../../src/api/v1alpha1/domain-snapshot.ts";
import type { ContentStatus, DomainSnapshotContent } from "../../src/api/v1alpha1/domain-snapshot-content.ts";
import { contentName } from "../../src/operator/names.ts";
import { namespace, node, OperatorFixture, time } from "./operator-fixture.ts";

let cluster: OperatorFixture;

beforeAll(async () => {
  cluster = await OperatorFixture.start();
  await cluster.renewLease(node, 600);
  cluster.startOperator({ agentGraceMilliseconds: 1_000 });
}, 180_000);

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

const conditionOf = (snapshot: DomainSnapshot, type: string) =>
  snapshot.status?.conditions?.find((c) => c.type === type);
const statusOf = (snapshot: DomainSnapshot, type: string) => conditionOf(snapshot, type)?.status ?? "absent";

/** A guest of its own for each test, since a domain takes one snapshot at a time. */
async function aRequest(name: string, ...spec: Parameters<OperatorFixture["request"]>[2][]): Promise<DomainSnapshot> {
  await cluster.publishDomain(`db-${name}`);
  return await cluster.request(name, `db-${name}`, ...spec);
}

/** Plays the agent up to the hold; returns what it reported. */
async function hold(content: DomainSnapshotContent): Promise<ContentStatus> {
  const status: ContentStatus = {
    phase: "ManualStoragePending",
    step: "hold",
    domainStateBefore: "Running",
    startedAt: time(),
    pausedAt: time(),
    memorySavedAt: time(),
    disksSwitchedAt: time(),
    manualStoragePendingAt: time(),
    holdDeadline: time(),
    memory: { file: "m.mem", format: "file", sizeBytes: 4096, progressPercent: 100 },
  };
  await cluster.report(content, status);
  return status;
}

const completed = (held: ContentStatus): ContentStatus => ({
  ...held,
  phase: "Completed",
  step: "finish",
  resumedAt: time(),
  completedAt: time(),
  pause: { totalMilliseconds: 20, beforeHoldMilliseconds: 8, holdMilliseconds: 10, resumeMilliseconds: 2 },
});

const rolledBack = (held: ContentStatus, reason = "Aborted"): ContentStatus => {
  const { memory: _memory, ...rest } = held;
  return {
    ...rest,
    phase: "Failed",
    resumedAt: time(),
    completedAt: time(),
    error: { reason, message: "rolled back", step: "hold" },
  };
};

describe("the whole path", () => {
  test("a request is planned, held, released and completed within its budget of API writes", async () => {
    const request = await aRequest("whole");
    const seen = await cluster.snapshot("whole", "seen", (s) => s.status !== undefined);
    expect(seen.status).toMatchObject({ phase: "Pending", observedGeneration: 1 });
    expect([statusOf(seen, "Ready"), statusOf(seen, "Reconciling")]).toEqual(["Unknown", "True"]);

    const content = await cluster.content(request);
    expect(content.spec).toMatchObject({
      nodeName: node,
      capture: "paused",
      desired: "Held",
      deletionPolicy: "Retain",
    });
    expect(content.spec.disks.map((disk) => [disk.name, disk.snapshot])).toEqual([
      ["vda", "manual"],
      ["vdb", "external"],
      ["sda", "none"],
    ]);
    await cluster.report(content, { phase: "SavingMemory", startedAt: time(), pausedAt: time() });
    await cluster.phase("whole", "SavingMemory");
    const held = await hold(content);
    const onHold = await cluster.phase("whole", "ManualStoragePending");
    expect(
      ["ManualStoragePending", "MemorySaved", "DisksSwitched", "GuestPaused"].map((type) => statusOf(onHold, type)),
    ).toEqual(["True", "True", "True", "True"]);
    expect([statusOf(onHold, "Ready"), statusOf(onHold, "Reconciling"), statusOf(onHold, "Stalled")]).toEqual([
      "False",
      "absent",
      "absent",
    ]);
    await cluster.plane.kubectl([
      "wait",
      "--for=condition=ManualStoragePending",
      "dsnap/whole",
      "-n",
      namespace,
      "--timeout=5s",
    ]);

    await cluster.patch("whole", { resume: true });
    await cluster.content(request, "released", ({ spec }) => spec.desired === "Released");
    await cluster.report(content, completed(held));
    const done = await cluster.phase("whole", "Completed");
    await cluster.plane.kubectl([
      "wait",
      "--for=jsonpath={.status.phase}=Completed",
      "dsnap/whole",
      "-n",
      namespace,
      "--timeout=5s",
    ]);
    expect(done.status).toMatchObject({
      observedGeneration: 2,
      requestedBy: "storage-hook",
      nodeName: node,
      contentName: content.metadata.name,
      pause: { totalMilliseconds: 20 },
    });
    expect(done.status?.resumeRequestedAt).toBeDefined();
    expect([statusOf(done, "Ready"), statusOf(done, "Reconciling"), statusOf(done, "Stalled")]).toEqual([
      "True",
      "absent",
      "absent",
    ]);

    const writes = await cluster.writesOf(request);
    const ofOperator = writes.filter((event) => event.user.username.endsWith(":domain-snapshot-operator"));
    expect(
      ofOperator.map(({ verb, objectRef }) => `${verb} ${objectRef.resource}/${objectRef.subresource ?? ""}`),
    ).toHaveLength(7);
    expect(writes.length).toBeLessThanOrEqual(14);
    expect((await cluster.eventReasons("whole")).sort()).toEqual([
      "Completed",
      "ManualStoragePending",
      "ResumeRequested",
      "SnapshotStarted",
    ]);
  });

  test("a hold that is kept paused past its deadline stays pending, stalled, and can still be resumed", async () => {
    const request = await aRequest("kept", { hold: { timeoutSeconds: 1, onTimeout: "KeepPaused" } });
    const content = await cluster.content(request);
    const held = await hold(content);
    await cluster.phase("kept", "ManualStoragePending");
    await cluster.report(content, { ...held, holdExpired: true });
    const expired = await cluster.snapshot("kept", "expired", (s) => statusOf(s, "HoldExpired") === "True");
    expect(expired.status?.phase).toBe("ManualStoragePending");
    expect(statusOf(expired, "Stalled")).toBe("True");
    await cluster.patch("kept", { resume: true });
    await cluster.content(request, "released", ({ spec }) => spec.desired === "Released");
    await cluster.report(content, completed({ ...held, holdExpired: true }));
    expect(statusOf(await cluster.phase("kept", "Completed"), "Ready")).toBe("True");
  });

  test("a longer hold reaches the agent during the hold", async () => {
    const request = await aRequest("longer", { hold: { timeoutSeconds: 60, onTimeout: "Resume" } });
    await hold(await cluster.content(request));
    await cluster.phase("longer", "ManualStoragePending");
    await cluster.patch("longer", { hold: { timeoutSeconds: 900 } });
    const content = await cluster.content(request, "longer", ({ spec }) => spec.hold.timeoutSeconds === 900);
    expect(content.spec.hold.onTimeout).toBe("Resume");
  });
});

describe("resume and abort", () => {
  test("an early resume is refused with the phase, and the hold stands", async () => {
    const request = await aRequest("early");
    const content = await cluster.content(request);
    await cluster.report(content, { phase: "SavingMemory", startedAt: time() });
    await cluster.phase("early", "SavingMemory");
    await expect(cluster.patch("early", { resume: true })).rejects.toThrow(/SavingMemory/);
    await hold(content);
    await cluster.phase("early", "ManualStoragePending");
    expect((await cluster.content(request)).spec.desired).toBe("Held");
  });

  test("an abort in the hold is passed on and ends Failed/Aborted", async () => {
    const request = await aRequest("abort");
    const content = await cluster.content(request);
    const held = await hold(content);
    await cluster.phase("abort", "ManualStoragePending");
    await cluster.patch("abort", { abort: true });
    await cluster.content(request, "aborted", ({ spec }) => spec.desired === "Aborted");
    await cluster.report(content, rolledBack(held));
    const failed = await cluster.phase("abort", "Failed");
    expect(failed.status).toMatchObject({ error: { reason: "Aborted" }, requestedBy: "storage-hook" });
    expect(failed.status?.abortRequestedAt).toBeDefined();
    expect([statusOf(failed, "Ready"), statusOf(failed, "Stalled"), statusOf(failed, "MemorySaved")]).toEqual([
      "False",
      "True",
      "False",
    ]);
  });

  test("one created with resume: true is Replayed and gets no Content", async () => {
    const request = await aRequest("replayed", { resume: true });
    const failed = await cluster.phase("replayed", "Failed");
    expect(conditionOf(failed, "Ready")?.reason).toBe("Replayed");
    expect(cluster.admin.contents.store.get(contentName(request.metadata.uid ?? ""))).toBeUndefined();
    expect(await cluster.writesOf(request)).toHaveLength(1);
  });
});

describe("refusals that need no guest", () => {
  test("an unknown domain", async () => {
    await cluster.request("nowhere", "no-such-domain");
    const failed = await cluster.phase("nowhere", "Failed");
    expect(failed.status?.error).toMatchObject({ reason: "DomainNotFound" });
    expect(failed.status?.error?.message).toContain("kubectl get domains");
  });

  test("an unknown disk", async () => {
    await aRequest("disk", { disks: [{ name: "vdz", snapshot: "manual" }] });
    expect((await cluster.phase("disk", "Failed")).status?.error?.reason).toBe("InvalidDisk");
  });

  test("a domain on a node without an agent", async () => {
    await cluster.publishDomain("db-remote", "node-without-agent");
    const request = await cluster.request("remote", "db-remote");
    const failed = await cluster.phase("remote", "Failed");
    expect(failed.status?.error?.reason).toBe("AgentLost");
    expect(cluster.admin.contents.store.get(contentName(request.metadata.uid ?? ""))).toBeUndefined();
  });
});

describe("one active snapshot per domain", () => {
  test("the later one waits as Pending/DomainBusy and starts when the first has ended", async () => {
    const first = await aRequest("busy-1");
    const content = await cluster.content(first);
    const second = await cluster.request("busy-2", "db-busy-1");
    const waiting = await cluster.snapshot(
      "busy-2",
      "waiting",
      (s) => conditionOf(s, "Ready")?.reason === "DomainBusy",
    );
    expect(waiting.status?.phase).toBe("Pending");
    const held = await hold(content);
    await cluster.phase("busy-1", "ManualStoragePending");
    expect(cluster.admin.contents.store.get(contentName(second.metadata.uid ?? ""))).toBeUndefined();
    await cluster.report(content, rolledBack(held, "HoldExpired"));
    await cluster.phase("busy-1", "Failed");
    await cluster.content(second);
  });
});

describe("deletion", () => {
  test("in the hold it aborts, waits for the agent's word, then removes Content and request", async () => {
    const request = await aRequest("deleted");
    const content = await cluster.content(request);
    const held = await hold(content);
    await cluster.phase("deleted", "ManualStoragePending");
    await cluster.admin.snapshots.client.delete("deleted", namespace);
    await cluster.content(request, "aborted", ({ spec }) => spec.desired === "Aborted");
    expect(await cluster.admin.snapshots.client.get("deleted", namespace)).toBeDefined();
    await cluster.report(content, rolledBack(held));
    await cluster.gone("snapshots", `${namespace}/deleted`);
    await cluster.gone("contents", content.metadata.name);
  });

  test.each([
    ["Retain" as const, true],
    ["Delete" as const, false],
  ])("after completion with %s the Content is kept: %s", async (deletionPolicy, kept) => {
    const name = `policy-${deletionPolicy.toLowerCase()}`;
    const request = await aRequest(name, { deletionPolicy });
    const content = await cluster.content(request);
    await cluster.report(content, completed(await hold(content)));
    await cluster.phase(name, "Completed");
    await cluster.admin.snapshots.client.delete(name, namespace);
    await cluster.gone("snapshots", `${namespace}/${name}`);
    if (!kept) return await cluster.gone("contents", content.metadata.name);
    expect(await cluster.admin.contents.client.get(content.metadata.name)).toBeDefined();
    await cluster.admin.contents.client.delete(content.metadata.name);
    await cluster.gone("contents", content.metadata.name);
  });
});

describe("what people do by force", () => {
  test("a Content deleted by hand in the hold ends its request Failed/Aborted and goes once its agent has reported", async () => {
    const request = await aRequest("by-hand");
    const content = await cluster.content(request);
    const held = await hold(content);
    await cluster.phase("by-hand", "ManualStoragePending");
    await cluster.admin.contents.client.delete(content.metadata.name);
    expect(await cluster.admin.contents.client.get(content.metadata.name)).toBeDefined();
    await cluster.report(content, rolledBack(held));
    expect((await cluster.phase("by-hand", "Failed")).status?.error?.reason).toBe("Aborted");
    await cluster.gone("contents", content.metadata.name);
  });

  test("a request whose finalizer was stripped leaves a Content that is aborted, then removed", async () => {
    const request = await aRequest("stripped");
    const content = await cluster.content(request);
    const held = await hold(content);
    await cluster.phase("stripped", "ManualStoragePending");
    await cluster.admin.snapshots.client.mergePatch("stripped", namespace, { metadata: { finalizers: [] } });
    await cluster.admin.snapshots.client.delete("stripped", namespace);
    await cluster.content(request, "aborted", ({ spec }) => spec.desired === "Aborted");
    await cluster.report(content, rolledBack(held));
    await cluster.gone("contents", content.metadata.name);
  });

  test("an abort of one that still waits ends it without a Content", async () => {
    await cluster.content(await aRequest("queue-1"));
    const second = await cluster.request("queue-2", "db-queue-1");
    await cluster.snapshot("queue-2", "waiting", (s) => conditionOf(s, "Ready")?.reason === "DomainBusy");
    await cluster.patch("queue-2", { abort: true });
    expect((await cluster.phase("queue-2", "Failed")).status?.error?.reason).toBe("Aborted");
    expect(cluster.admin.contents.store.get(contentName(second.metadata.uid ?? ""))).toBeUndefined();
  });
});

describe("processes that come and go", () => {
  test("an agent that goes away before it began fails the request, whose Content tells it to stay away", async () => {
    const die = cluster.keepLease("node-gone");
    await cluster.publishDomain("db-gone", "node-gone");
    const request = await cluster.request("gone", "db-gone");
    const content = await cluster.content(request);
    await die();
    expect((await cluster.phase("gone", "Failed")).status?.error?.reason).toBe("AgentLost");
    await cluster.content(request, "aborted", ({ spec }) => spec.desired === "Aborted");
    await cluster.admin.snapshots.client.delete("gone", namespace);
    await cluster.gone("snapshots", `${namespace}/gone`);
    await cluster.gone("contents", content.metadata.name);
  });

  test("an agent that stops renewing is told by a condition while the hold stands, and its Domain is marked", async () => {
    const die = cluster.keepLease("node-fading");
    await cluster.publishDomain("db-fading", "node-fading");
    const request = await cluster.request("fading", "db-fading");
    const content = await cluster.content(request);
    await hold(content);
    await cluster.phase("fading", "ManualStoragePending");
    await die();
    const lost = await cluster.snapshot("fading", "lost", (s) => conditionOf(s, "Ready")?.reason === "AgentLost");
    expect(lost.status?.phase).toBe("ManualStoragePending");
    expect(statusOf(lost, "Ready")).toBe("Unknown");
    expect(statusOf(lost, "ManualStoragePending")).toBe("True");
    await cluster.domain("db-fading", "marked", (d) => d.status?.conditions?.[0]?.reason === "AgentLost");
    await cluster.renewLease("node-fading", 600);
    const found = await cluster.snapshot(
      "fading",
      "found",
      (s) => conditionOf(s, "Ready")?.reason === "ManualStoragePending",
    );
    expect(statusOf(found, "Ready")).toBe("False");
  });

  test("an operator that was away while the user asked takes up the hold and records the request", async () => {
    const request = await aRequest("restart");
    const content = await cluster.content(request);
    const held = await hold(content);
    await cluster.phase("restart", "ManualStoragePending");
    await cluster.stopOperator();
    await cluster.patch("restart", { resume: true });
    cluster.startOperator({ agentGraceMilliseconds: 1_000 });
    await cluster.content(request, "released", ({ spec }) => spec.desired === "Released");
    await cluster.patch("restart", { resume: false });
    await cluster.report(content, completed(held));
    expect((await cluster.phase("restart", "Completed")).status?.requestedBy).toBe("storage-hook");
  });
});
