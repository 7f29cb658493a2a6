import { describe, expect, test } from "vitest";
import { judgeImages } from "./image-record.ts";

const record = { instance: "qemu-1", images: { vdb: "/images/vdb.snap" } };
const at = (instance: string, path: string) => ({ instance, images: new Map([["vdb", path]]) });

describe("an image that nobody was told of", () => {
  test("stays open as long as the same QEMU runs on it", () => {
    expect(judgeImages(record, at("qemu-1", "/images/vdb.snap"))).toMatchObject({ is: "unannounced" });
  });

  test("is settled when the same QEMU was moved off it", () => {
    expect(judgeImages(record, at("qemu-1", "/images/vdb.qcow2"))).toEqual({ is: "settled" });
  });

  test("is settled when another QEMU was started from it", () => {
    expect(judgeImages(record, at("qemu-2", "/images/vdb.snap"))).toEqual({ is: "settled" });
  });

  test("is an alarm when another QEMU was started from the old one", () => {
    const verdict = judgeImages(record, at("qemu-2", "/images/vdb.qcow2"));
    expect(verdict).toEqual({ is: "stale", images: new Map([["vdb", "/images/vdb.snap"]]) });
  });
});
