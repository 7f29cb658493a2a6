// The engine on a file system that fails: every operation, with every error, once or from then on.

import { describe, expect, test } from "vitest";
import { calm } from "./arbitrary-scenario.ts";
import { errnos } from "./file-faults.ts";
import { play, type Scenario } from "./scenario.ts";

describe("the engine on a simulated guest", () => {
  test.for(errnos)(
    "keeps its promises whichever file operation fails with %s, once or from then on",
    { timeout: 120_000 },
    async (errno) => {
      for (const base of [calm, { ...calm, major: 10, capture: "live", announce: true } satisfies Scenario]) {
        const { operations } = await play(base);
        expect(operations.length).toBeGreaterThan(80);
        for (const [at, operation] of operations.entries()) {
          for (const lasts of [false, true]) {
            const { broken, report, story } = await play({ ...base, file: { at, errno, lasts } });
            const what = `${operation} (${at}, ${lasts ? "lasting" : "once"}): ${report.phase} ${report.error?.reason}: ${report.error?.message}`;
            expect(broken, `${what}\n${story.join("\n")}`).toEqual([]);
          }
        }
      }
    },
  );
});
