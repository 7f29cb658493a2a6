// The faults that the real parts cannot be made to have on demand: every command refused, unanswered or cut off, on the
// simulated guest, and the property test's runs.

import { calm as base, keepsPromises } from "../simulation/arbitrary-scenario.ts";
import { errnos } from "../simulation/file-faults.ts";
import { play, type Scenario } from "../simulation/scenario.ts";
import { faultKinds } from "../simulation/simulated-process.ts";

export interface SimulatedCell {
  readonly name: string;
  readonly end: string;
  readonly seconds: number;
  readonly broken: readonly string[];
}

export async function* playSimulatedCells(options: { runs: number }): AsyncGenerator<SimulatedCell> {
  yield* playEveryCommand();
  yield* playEveryFileOperation();
  const startedAt = performance.now();
  const broken: string[] = [];
  await keepsPromises(options.runs, play).catch((error: unknown) => broken.push(String(error)));
  const seconds = (performance.now() - startedAt) / 1000;
  yield { name: `${options.runs} random scenarios on the simulated guest`, end: "played", seconds, broken };
}

async function* playEveryFileOperation(): AsyncGenerator<SimulatedCell> {
  for (const errno of errnos) {
    for (const lasts of [false, true]) {
      const startedAt = performance.now();
      const { operations } = await play(base);
      const broken: string[] = [];
      for (const [at, operation] of operations.entries()) {
        const outcome = await play({ ...base, file: { at, errno, lasts } });
        broken.push(...outcome.broken.map((what) => `${operation} (${at}): ${what}`));
      }
      const seconds = (performance.now() - startedAt) / 1000;
      const how = lasts ? "from each on" : "once, at each";
      yield { name: `${errno} ${how} of ${operations.length} file operations`, end: "played", seconds, broken };
    }
  }
}

async function* playEveryCommand(): AsyncGenerator<SimulatedCell> {
  for (const major of [7, 10] as const) {
    for (const capture of ["paused", "live"] as const) {
      for (const word of ["Released", "Aborted"] as const) {
        const calm: Scenario = { ...base, major, capture, decision: { word, afterSeconds: 5 } };
        const commands = (await play(calm)).commands;
        for (const kind of faultKinds) {
          const startedAt = performance.now();
          const broken: string[] = [];
          const ends = new Map<string, number>();
          for (const [at, command] of commands.entries()) {
            const outcome = await play({ ...calm, lives: [[{ at, kind }]] });
            const end = outcome.report.error?.reason ?? outcome.report.phase;
            ends.set(end, (ends.get(end) ?? 0) + 1);
            broken.push(...outcome.broken.map((what) => `${command} (${at}): ${what}`));
          }
          const end = [...ends].map(([reason, count]) => `${count} ${reason}`).join(", ");
          const seconds = (performance.now() - startedAt) / 1000;
          yield {
            name: `${kind} at each of ${commands.length} commands, ${capture}, ${word}, simulated QEMU ${major}`,
            end,
            seconds,
            broken,
          };
        }
      }
    }
  }
}
