import { describe, expect, it } from "vitest";
import { FakeApiServer } from "../../test/support/fake-api-server.ts";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { jsonContains, jsonEqual } from "./json-equal.ts";
import type { ApiResource, KubeObject } from "./kube-object.ts";
import { ResourceClient } from "./resource-client.ts";
import { StatusWriter } from "./status-writer.ts";

type Widget = KubeObject & { readonly status?: unknown };
const widgets: ApiResource = { group: "test.io", version: "v1", kind: "Widget", plural: "widgets", namespaced: true };

function setUp() {
  const server = new FakeApiServer({ clock: new FakeClock() });
  const client = new ResourceClient<Widget>({ api: server, resource: widgets });
  const writes = () => server.requests.filter(({ method }) => method === "PATCH").length;
  const writer = new StatusWriter({ client, fieldManager: "me" });
  return { server, client, writes, writer, object: server.put(widgets, { metadata: { name: "w", namespace: "ns" } }) };
}

describe("StatusWriter", () => {
  it("writes a new status once and nothing when it is said again", async () => {
    const { writer, writes, object } = setUp();
    const first = await writer.write(object, { phase: "A", note: undefined });
    const second = await writer.write(first, { phase: "A" });
    expect(second).toBe(first);
    expect(writes()).toBe(1);
  });

  it("writes nothing after a restart if the status says it already", async () => {
    const { client, server, writes } = setUp();
    const object = server.put(widgets, { metadata: { name: "w", namespace: "ns" }, status: { phase: "A" } });
    await new StatusWriter({ client, fieldManager: "me" }).write(object, { phase: "A" });
    expect(writes()).toBe(0);
  });

  it("withdraws a field that it no longer says", async () => {
    const { writer, object } = setUp();
    const first = await writer.write(object, { phase: "A", error: { reason: "X" } });
    const second = await writer.write(first, { phase: "A" });
    expect(second.status).toEqual({ phase: "A" });
  });

  it("leaves fields of other writers alone, and restores its own when they were changed", async () => {
    const { writer, writes, client, object } = setUp();
    const first = await writer.write(object, { phase: "A" });
    const patch = async (status: object) => await client.mergePatch("w", "ns", { status }, { subresource: "status" });
    const withOther = await patch({ other: 1 });
    const before = writes();
    expect(await writer.write(withOther, { phase: "A" })).toBe(withOther);
    expect(writes()).toBe(before);
    const changed = await patch({ phase: "B" });
    expect((await writer.write(changed, { phase: "A" })).status).toEqual({ phase: "A", other: 1 });
    expect(first.status).toEqual({ phase: "A" });
  });

  it("writes although others changed the object since it was read", async () => {
    const { writer, client, object } = setUp();
    await client.mergePatch("w", "ns", { metadata: { labels: { a: "b" } } });
    const written = await writer.write(object, { phase: "A" });
    expect(written).toMatchObject({ metadata: { labels: { a: "b" } }, status: { phase: "A" } });
  });

  it("refuses to write to a namesake", async () => {
    const { writer, server, object } = setUp();
    server.remove(widgets, "w", "ns");
    server.put(widgets, { metadata: { name: "w", namespace: "ns" } });
    await expect(writer.write(object, { phase: "A" })).rejects.toMatchObject({ reason: "Conflict" });
  });
});

describe("jsonEqual and jsonContains", () => {
  it("take an undefined field for none", () => {
    expect(jsonEqual({ a: 1, b: undefined }, { a: 1 })).toBe(true);
    expect(jsonEqual({ a: undefined }, { b: 1 })).toBe(false);
    expect(jsonEqual([1, 2], [2, 1])).toBe(false);
    expect(jsonEqual({ a: null }, {})).toBe(false);
  });

  it("find our items among those of others", () => {
    const whole = { conditions: [{ type: "A", status: "True", at: 1 }, { type: "B" }], phase: "X" };
    expect(jsonContains(whole, { conditions: [{ type: "A", status: "True" }] })).toBe(true);
    expect(jsonContains(whole, { conditions: [{ type: "C" }] })).toBe(false);
  });
});
