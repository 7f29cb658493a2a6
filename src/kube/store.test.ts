import { describe, expect, it } from "vitest";
import type { KubeObject } from "./kube-object.ts";
import { Store } from "./store.ts";

function widget(name: string, version: number, uid = `uid-${name}`): KubeObject {
  return { metadata: { name, namespace: "ns", uid, resourceVersion: String(version) } };
}

describe("Store", () => {
  it("tells a late subscriber what is there already", () => {
    const store = new Store<KubeObject>();
    store.replace([widget("a", 1)], "1");
    const heard: string[] = [];
    store.subscribe((change) => heard.push(`${change.type} ${change.key}`));
    expect(heard).toEqual(["Added ns/a"]);
  });

  it("does not go back behind an own write when older events arrive", () => {
    const store = new Store<KubeObject>();
    store.replace([widget("a", 8)], "8");
    store.put(widget("a", 10));
    store.applyChange(widget("a", 9));
    expect(store.get("ns/a")?.metadata.resourceVersion).toBe("10");
    store.applyChange(widget("a", 10));
    store.applyChange(widget("a", 11));
    expect(store.get("ns/a")?.metadata.resourceVersion).toBe("11");
  });

  it("ignores an own write that the watch has overtaken", () => {
    const store = new Store<KubeObject>();
    store.replace([widget("a", 100)], "100");
    store.put(widget("a", 99));
    expect(store.get("ns/a")?.metadata.resourceVersion).toBe("100");
  });

  it("keeps an own creation that a list begun earlier does not know, but not beyond the next list", () => {
    const store = new Store<KubeObject>();
    store.put(widget("new", 20));
    store.replace([], "19");
    expect(store.get("ns/new")).toBeDefined();
    store.replace([], "19");
    expect(store.get("ns/new")).toBeUndefined();
  });

  it("tells of a namesake as the end of one object and the start of another", () => {
    const store = new Store<KubeObject>();
    store.replace([widget("a", 1, "first")], "1");
    const heard: string[] = [];
    store.subscribe((change) => heard.push(`${change.type} ${change.object.metadata.uid}`));
    store.replace([widget("a", 5, "second")], "5");
    expect(heard).toEqual(["Added first", "Deleted first", "Added second"]);
  });

  it("tells all listeners even if one throws", () => {
    const errors: unknown[] = [];
    const store = new Store<KubeObject>({ onListenerError: (error) => errors.push(error) });
    const heard: string[] = [];
    store.subscribe(() => {
      throw new Error("listener");
    });
    store.subscribe(({ key }) => heard.push(key));
    store.applyChange(widget("a", 1));
    expect(heard).toEqual(["ns/a"]);
    expect(errors).toHaveLength(1);
  });
});
