import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { blockedBy } from "./domain-turn.ts";
import { aContent, aSnapshot } from "./testing/objects.ts";

const request = (name: string, second: number, status?: DomainSnapshot["status"]) =>
  aSnapshot({
    metadata: { name, uid: `uid-${name}`, creationTimestamp: `2026-01-01T00:00:0${second}Z` },
    ...(status === undefined ? {} : { status }),
  });

describe("whose turn it is", () => {
  test("the older one goes first, the later one is told whom it waits for", () => {
    const [first, second] = [request("a", 1), request("b", 2)];
    expect(blockedBy(first, [second, first], [])).toBeUndefined();
    expect(blockedBy(second, [second, first], [])).toContain("DomainSnapshot a");
  });

  test("a terminal one blocks nobody, whatever its Content says", () => {
    const [first, second] = [request("a", 1, { phase: "Failed" }), request("b", 2)];
    const content = aContent(undefined, { snapshotRef: { namespace: "shop", name: "a", uid: "uid-a" } });
    expect(blockedBy(second, [first, second], [content])).toBeUndefined();
  });

  test("one that already runs goes first even if it is younger", () => {
    const [older, younger] = [request("a", 1), request("b", 2)];
    const running = {
      ...aContent({ phase: "Preparing" }, { snapshotRef: { namespace: "shop", name: "b", uid: "uid-b" } }),
    };
    running.metadata = { name: "dsnap-uid-b" };
    expect(blockedBy(older, [older, younger], [running])).toContain("DomainSnapshot b");
  });

  test("a Content whose DomainSnapshot is gone blocks until its agent reports the end", () => {
    const snapshot = request("b", 2);
    expect(blockedBy(snapshot, [snapshot], [aContent({ phase: "Preparing" })])).toContain("DomainSnapshotContent");
    expect(blockedBy(snapshot, [snapshot], [aContent({ phase: "Failed" })])).toBeUndefined();
  });

  test("snapshots of other domains do not matter", () => {
    const other = aSnapshot({ spec: { domainRef: { name: "db-2" } }, metadata: { name: "a", uid: "uid-a" } });
    expect(blockedBy(request("b", 2), [other], [])).toBeUndefined();
  });

  test("among any number of waiting requests exactly one may start", () => {
    const requests = fc.uniqueArray(fc.record({ name: fc.stringMatching(/^[a-z]{1,3}$/), second: fc.nat(3) }), {
      selector: (r) => r.name,
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(requests, (list) => {
        const all = list.map(({ name, second }) => request(name, second));
        expect(all.filter((snapshot) => blockedBy(snapshot, all, []) === undefined)).toHaveLength(1);
      }),
    );
  });
});
