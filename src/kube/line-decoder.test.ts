import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineDecoder } from "./line-decoder.ts";

describe("LineDecoder", () => {
  it("gives the same lines whatever the chunking, multi-byte characters included", () => {
    const line = fc
      .string({ unit: "grapheme", minLength: 1 })
      .filter((text) => text.trim() !== "" && !text.includes("\n"));
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.integer({ min: 1, max: 7 })), (lines, sizes) => {
        const bytes = new TextEncoder().encode(lines.map((text) => `${text}\n`).join(""));
        const decoder = new LineDecoder();
        const decoded: string[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const size = sizes[turn % Math.max(1, sizes.length)] ?? 3;
          decoded.push(...decoder.push(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(decoded).toEqual(lines);
        expect(decoder.isWithinLine).toBe(false);
      }),
    );
  });

  it("tells that a stream ended within a line", () => {
    const decoder = new LineDecoder();
    expect([...decoder.push(Buffer.from('{"a":1}\n{"b"'))]).toEqual(['{"a":1}']);
    expect(decoder.isWithinLine).toBe(true);
  });

  it("refuses a line beyond its bound, even if it never ends", () => {
    const decoder = new LineDecoder({ maxLineBytes: 10 });
    expect([...decoder.push(Buffer.from("12345"))]).toEqual([]);
    expect(() => [...decoder.push(Buffer.from("678901"))]).toThrow("exceeds 10 bytes");
  });

  it("leaves out blank lines, which servers send to keep a connection alive", () => {
    expect([...new LineDecoder().push(Buffer.from("\n \r\na\n\n"))]).toEqual(["a"]);
  });
});
