// A part of the fault matrix in every `npm test`; the whole of it is `npm run faults`.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { allCells, type Cell, cellName } from "./cells.ts";
import { FaultLab } from "./lab.ts";

let lab: FaultLab;
beforeAll(async () => {
  lab = await FaultLab.start();
}, 900_000);
afterAll(async () => {
  await lab?.[Symbol.asyncDispose]();
});

/** In this order: the first leaves vdb on an overlay, whose base no later rollback may touch. */
const sample: readonly Cell[] = [
  { capture: "paused", step: "hold", fault: "agentKilled", moment: "after" },
  { capture: "live", step: "switchDisks", fault: "linkCut", moment: "after" },
  { capture: "live", step: "saveMemory", fault: "agentKilled", moment: "after" },
  { capture: "paused", step: "switchDisks", fault: "agentKilled", moment: "after" },
  { capture: "paused", step: "announce", fault: "commandError", moment: "before" },
  { capture: "live", step: "resume", fault: "linkCut", moment: "after" },
  { capture: "paused", step: "finish", fault: "agentKilled", moment: "before" },
  { capture: "live", step: "hold", fault: "apiServerStopped", moment: "before" },
  { capture: "paused", step: "hold", fault: "operatorKilled", moment: "before" },
  { capture: "live", step: "switchDisks", fault: "qemuKilled", moment: "after" },
];

describe("whatever fails, the guest comes back and nothing is lost", () => {
  test.each(sample.map((cell) => [cellName(cell), cell] as const))("%s", { timeout: 180_000 }, async (_name, cell) => {
    const { broken, end } = await lab.play(cell);
    expect(broken, `ended as ${end}`).toEqual([]);
  });

  test("the matrix holds every fault at every step", () => {
    const cells = allCells();
    expect(new Set(cells.map(cellName)).size).toBe(cells.length);
    for (const cell of sample) expect(cells.map(cellName)).toContain(cellName(cell));
  });
});
