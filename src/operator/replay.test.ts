import { describe, expect, test } from "vitest";
import { requestAnnotation } from "./names.ts";
import { replayed } from "./replay.ts";
import { aContent, aSnapshot, snapshotUid } from "./testing/objects.ts";

const annotated = (text: string) => aSnapshot({ metadata: { annotations: { [requestAnnotation]: text } } });

describe("replayed objects", () => {
  test("a copy bears the annotation of its original, whatever its status says", () => {
    const copy = annotated(JSON.stringify({ uid: "99999999-2222-3333-4444-555555555555" }));
    expect(replayed(copy, [])).toContain("99999999");
    expect(replayed({ ...copy, status: { phase: "Pending" } }, [])).toContain("99999999");
    expect(replayed(annotated(JSON.stringify({ uid: snapshotUid })), [])).toBeUndefined();
    expect(replayed(annotated("written by somebody else"), [])).toBeUndefined();
  });

  test("a re-creation finds what was captured under its name, or is still under way", () => {
    const content = aContent();
    const earlier = {
      ...content,
      spec: { ...content.spec, snapshotRef: { ...content.spec.snapshotRef, uid: "other" } },
    };
    expect(replayed(aSnapshot(), [{ ...earlier, status: { phase: "Completed" } }])).toContain("delete that Content");
    expect(replayed(aSnapshot(), [{ ...earlier, status: { phase: "ManualStoragePending" } }])).toBeDefined();
    expect(replayed(aSnapshot(), [{ ...earlier, status: { phase: "Failed" } }])).toBeUndefined();
    expect(replayed(aSnapshot(), [content])).toBeUndefined();
  });

  test("one that is first seen with resume already true is a copy", () => {
    expect(replayed(aSnapshot({ spec: { resume: true } }), [])).toContain("spec.resume: true");
  });

  test("one restored by Velero without its status is not run", () => {
    expect(replayed(aSnapshot({ metadata: { labels: { "velero.io/restore-name": "r" } } }), [])).toContain("restored");
  });

  test("a fresh request, and one with a status, are not replayed", () => {
    expect(replayed(aSnapshot(), [])).toBeUndefined();
    expect(
      replayed(aSnapshot({ spec: { resume: true }, status: { phase: "ManualStoragePending" } }), []),
    ).toBeUndefined();
  });
});
