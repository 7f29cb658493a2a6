// `npm test`: set-up, static checks, unit tests, integration tests (--all: the slow tier too); every part runs even when
// one fails, and the last line counts them all.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setUpOrExplain } from "./setup.ts";
import { type Count, countVitest } from "./vitest-count.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const all = process.argv.includes("--all");

/** A check that passes or fails as a whole. */
const checks: Readonly<Record<string, readonly string[]>> = {
  typecheck: ["tsc", "--noEmit"],
  "lint (biome)": ["biome", "check", "."],
  "lint (oxlint, type-aware)": ["oxlint", "--type-aware", "src", "test", "scripts", "bench"],
  "dead code (knip)": ["knip"],
  "generated files": ["node", "scripts/generate-crds.ts", "--check"],
};

const projects = all ? ["unit", "integration", "slow"] : ["unit", "integration"];

/** Runs a program of node_modules/.bin; true if it ended well. */
async function run(argv: readonly string[]): Promise<boolean> {
  const [name, ...args] = argv;
  const child = spawn(join(root, "node_modules", ".bin", name ?? ""), args, { cwd: root, stdio: "inherit" });
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => resolve(code === 0));
  });
}

async function timed(title: string, work: () => Promise<Count>): Promise<Count> {
  process.stdout.write(`\n== ${title}\n`);
  const start = performance.now();
  const count = await work();
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  process.stdout.write(`== ${title}: ${count.failed === 0 ? "ok" : "FAILED"} (${seconds} s)\n`);
  return count;
}

async function runProject(project: string, directory: string): Promise<Count> {
  const report = join(directory, `${project}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const succeeded = await run(["vitest", "run", "--project", project, "--passWithNoTests", ...reporters]);
  return await countVitest(report, succeeded);
}

const counts: Count[] = [];
counts.push(await timed("set-up", async () => verdict(await setUpOrExplain())));
for (const [title, argv] of Object.entries(checks)) {
  counts.push(await timed(title, async () => verdict(await run(argv))));
}
const directory = await mkdtemp(join(tmpdir(), "dsnap-test-"));
for (const project of projects) counts.push(await timed(`${project} tests`, () => runProject(project, directory)));
await rm(directory, { recursive: true, force: true });

const passed = counts.reduce((sum, count) => sum + count.passed, 0);
const failed = counts.reduce((sum, count) => sum + count.failed, 0);
process.exitCode = failed === 0 ? 0 : 1;
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);

function verdict(succeeded: boolean): Count {
  return succeeded ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}
