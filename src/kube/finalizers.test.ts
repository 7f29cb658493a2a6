import { describe, expect, it } from "vitest";
import { FakeApiServer } from "../../test/support/fake-api-server.ts";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { hasFinalizer, removeFinalizer } from "./finalizers.ts";
import type { ApiResource } from "./kube-object.ts";
import { ResourceClient } from "./resource-client.ts";

const widgets: ApiResource = { group: "test.io", version: "v1", kind: "Widget", plural: "widgets", namespaced: true };

describe("finalizers", () => {
  it("are removed without touching those of others", async () => {
    const server = new FakeApiServer({ clock: new FakeClock() });
    const client = new ResourceClient({ api: server, resource: widgets });
    const finalizers = ["other/one", "test.io/mine"];
    const object = server.put(widgets, { metadata: { name: "w", namespace: "ns", finalizers } });
    const removed = await removeFinalizer(client, object, "test.io/mine");
    expect(removed.metadata.finalizers).toEqual(["other/one"]);
    expect(hasFinalizer(removed, "test.io/mine")).toBe(false);
    expect(await removeFinalizer(client, removed, "test.io/mine")).toBe(removed);
  });

  it("are not written over an object that changed since it was read", async () => {
    const server = new FakeApiServer({ clock: new FakeClock() });
    const client = new ResourceClient({ api: server, resource: widgets });
    const object = server.put(widgets, { metadata: { name: "w", namespace: "ns", finalizers: ["test.io/mine"] } });
    await client.mergePatch("w", "ns", { metadata: { finalizers: ["other/two"] } });
    await expect(removeFinalizer(client, object, "test.io/mine")).rejects.toMatchObject({ reason: "Conflict" });
  });
});
