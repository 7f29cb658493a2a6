import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineFramer } from "./line-framer.ts";

describe("LineFramer", () => {
  it("gives the same lines whatever the chunks", () => {
    const line = fc.string({ unit: "binary" }).map((text) => JSON.stringify(text));
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat({ max: 40 })), (lines, cuts) => {
        const bytes = Buffer.from(lines.map((text) => `${text}\r\n`).join(""));
        const framer = new LineFramer();
        const seen: string[] = [];
        let offset = 0;
        for (const cut of cuts) {
          seen.push(...framer.push(bytes.subarray(offset, offset + cut)));
          offset += cut;
        }
        seen.push(...framer.push(bytes.subarray(offset)));
        expect(seen).toEqual(lines);
      }),
    );
  });

  it("refuses a line that never ends", () => {
    const framer = new LineFramer({ maxLineBytes: 100 });
    framer.push(Buffer.alloc(60, "a"));
    expect(() => framer.push(Buffer.alloc(60, "a"))).toThrow(/not a QMP socket/);
  });
});
