import { describe, expect, it } from "vitest";
import { FakeApiServer } from "../../test/support/fake-api-server.ts";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { addFinalizer, hasFinalizer, removeFinalizer } from "./finalizers.ts";
import type { ApiResource } from "./kube-object.ts";
import { ResourceClient } from "./resource-client.ts";

const widgets: ApiResource = { group: "test.io", version: "v1", kind: "Widget", plural: "widgets", namespaced: true };

describe("finalizers", () => {
  it("are added beside those of others and removed without touching them", async () => {
    const server = new FakeApiServer({ clock: new FakeClock() });
    const client = new ResourceClient({ api: server, resource: widgets });
    const object = server.put(widgets, { metadata: { name: "w", namespace: "ns", finalizers: ["other/one"] } });
    const added = await addFinalizer(client, object, "test.io/mine");
    expect(added.metadata.finalizers).toEqual(["other/one", "test.io/mine"]);
    expect(await addFinalizer(client, added, "test.io/mine")).toBe(added);
    const removed = await removeFinalizer(client, added, "test.io/mine");
    expect(removed.metadata.finalizers).toEqual(["other/one"]);
    expect(hasFinalizer(removed, "test.io/mine")).toBe(false);
  });

  it("are not written over an object that changed since it was read", async () => {
    const server = new FakeApiServer({ clock: new FakeClock() });
    const client = new ResourceClient({ api: server, resource: widgets });
    const object = server.put(widgets, { metadata: { name: "w", namespace: "ns" } });
    await client.mergePatch("w", "ns", { metadata: { finalizers: ["other/two"] } });
    await expect(addFinalizer(client, object, "test.io/mine")).rejects.toMatchObject({ reason: "Conflict" });
  });
});
