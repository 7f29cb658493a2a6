import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { contentName } from "../../src/operator/names.ts";
import { namespace, node, OperatorFixture } from "./operator-fixture.ts";
import { aRequest, completed, conditionOf, hold, rolledBack, statusOf } from "./puppet-agent.ts";

let cluster: OperatorFixture;

beforeAll(async () => {
  cluster = await OperatorFixture.start();
  await cluster.renewLease(node, 600);
  cluster.startOperator({ agentGraceMilliseconds: 1_000 });
}, 180_000);

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
}, 60_000);

describe("one active snapshot per domain", () => {
  test("the later one waits as Pending/DomainBusy and starts when the first has ended", async () => {
    const first = await aRequest(cluster, "busy-1");
    const content = await cluster.content(first);
    const second = await cluster.request("busy-2", "db-busy-1");
    const waiting = await cluster.snapshot(
      "busy-2",
      "waiting",
      (s) => conditionOf(s, "Ready")?.reason === "DomainBusy",
    );
    expect(waiting.status?.phase).toBe("Pending");
    const held = await hold(cluster, content);
    await cluster.phase("busy-1", "ManualStoragePending");
    expect(cluster.admin.contents.store.get(contentName(second.metadata.uid ?? ""))).toBeUndefined();
    await cluster.report(content, rolledBack(held, "HoldExpired"));
    await cluster.phase("busy-1", "Failed");
    await cluster.content(second);
  });
});

describe("deletion", () => {
  test("in the hold it aborts, waits for the agent's word, then removes Content and request", async () => {
    const request = await aRequest(cluster, "deleted");
    const content = await cluster.content(request);
    const held = await hold(cluster, content);
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
    const request = await aRequest(cluster, name, { deletionPolicy });
    const content = await cluster.content(request);
    await cluster.report(content, completed(await hold(cluster, content)));
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
    const request = await aRequest(cluster, "by-hand");
    const content = await cluster.content(request);
    const held = await hold(cluster, content);
    await cluster.phase("by-hand", "ManualStoragePending");
    await cluster.admin.contents.client.delete(content.metadata.name);
    expect(await cluster.admin.contents.client.get(content.metadata.name)).toBeDefined();
    await cluster.report(content, rolledBack(held));
    expect((await cluster.phase("by-hand", "Failed")).status?.error?.reason).toBe("Aborted");
    await cluster.gone("contents", content.metadata.name);
  });

  test("a request whose finalizer was stripped leaves a Content that is aborted, then removed", async () => {
    const request = await aRequest(cluster, "stripped");
    const content = await cluster.content(request);
    const held = await hold(cluster, content);
    await cluster.phase("stripped", "ManualStoragePending");
    await cluster.admin.snapshots.client.mergePatch("stripped", namespace, { metadata: { finalizers: [] } });
    await cluster.admin.snapshots.client.delete("stripped", namespace);
    await cluster.content(request, "aborted", ({ spec }) => spec.desired === "Aborted");
    await cluster.report(content, rolledBack(held));
    await cluster.gone("contents", content.metadata.name);
  });

  test("an abort of one that still waits ends it without a Content", async () => {
    await cluster.content(await aRequest(cluster, "queue-1"));
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
    await hold(cluster, content);
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
    const request = await aRequest(cluster, "restart");
    const content = await cluster.content(request);
    const held = await hold(cluster, content);
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
