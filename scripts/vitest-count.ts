// Counts what vitest's JSON report says. A file that could not be loaded, or a run that broke, counts as a failure too.

import { readFile } from "node:fs/promises";
import { z } from "zod";

export interface Count {
  readonly passed: number;
  readonly failed: number;
}

const report = z.looseObject({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  testResults: z.array(z.looseObject({ status: z.string(), assertionResults: z.array(z.unknown()) })),
});

/** `succeeded` is the exit status: an unhandled error fails a run in which every test passed. */
export async function countVitest(path: string, succeeded: boolean): Promise<Count> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return succeeded ? { passed: 0, failed: 0 } : { passed: 0, failed: 1 };
  const { numPassedTests, numFailedTests, testResults } = report.parse(JSON.parse(text));
  const broken = testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
  const failed = numFailedTests + broken;
  return { passed: numPassedTests, failed: failed === 0 && !succeeded ? 1 : failed };
}
