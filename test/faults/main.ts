// `npm run faults`: every fault at every step in every capture mode; one line a cell, then "cells N, failed M".

import { parseArgs } from "node:util";
import { allCells, cellName } from "./cells.ts";
import { FaultLab } from "./lab.ts";
import { playSimulatedCells } from "./simulated-cells.ts";

const { values: flags } = parseArgs({
  options: {
    /** Only cells whose name holds this text, such as "agentKilled" or "hold, live". */
    only: { type: "string" },
    /** Every how-manieth cell of the real system. */
    every: { type: "string", default: "1" },
    /** Runs of the property test on the simulated guest. */
    runs: { type: "string", default: "10000" },
    list: { type: "boolean", default: false },
  },
});
const only = flags.only;
const every = Number(flags.every);
const cells = allCells().filter(
  (cell, index) => index % every === 0 && (only === undefined || cellName(cell).includes(only)),
);
if (flags.list) {
  for (const cell of cells) process.stdout.write(`${cellName(cell)}\n`);
  process.exit(0);
}

const began = performance.now();
let played = 0;
let failed = 0;
const show = (name: string, end: string, seconds: number, broken: readonly string[]) => {
  played += 1;
  if (broken.length > 0) failed += 1;
  process.stdout.write(`${broken.length === 0 ? "ok  " : "FAIL"} ${name}: ${end} (${seconds.toFixed(1)} s)\n`);
  for (const what of broken) process.stdout.write(`       ${what}\n`);
};

const startLab = async () => await FaultLab.start((line) => process.stdout.write(`     ${line}\n`));
let lab = await startLab();
for (const cell of cells) {
  try {
    const { end, seconds, broken } = await lab.play(cell);
    show(cellName(cell), end, seconds, broken);
  } catch (error) {
    // The system could not be made whole again: the cells after it get a new one.
    show(cellName(cell), "broken system", 0, [String(error).slice(0, 300)]);
    await lab[Symbol.asyncDispose]();
    lab = await startLab();
  }
}
for (const away of ["nothing", "operatorKilled", "apiServerStopped", "agentKilled"] as const) {
  if (only !== undefined && !"deadline".includes(only)) break;
  const { end, seconds, broken } = await lab.playDeadline(away);
  show(`deadline with ${away === "nothing" ? "everything there" : away}`, end, seconds, broken);
}
await lab[Symbol.asyncDispose]();
if (only === undefined) {
  for await (const { name, end, seconds, broken } of playSimulatedCells({ runs: Number(flags.runs) }))
    show(name, end, seconds, broken);
}
process.stdout.write(
  `${((performance.now() - began) / 60_000).toFixed(1)} minutes\ncells ${played}, failed ${failed}\n`,
);
process.exitCode = failed === 0 ? 0 : 1;
