// Writes the CRDs and the reference pages; with --check it writes nothing and exits 1 when a committed file differs.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { generatedFiles } from "../src/api/generated-files.ts";

const check = process.argv.includes("--check");

for (const { path, text } of generatedFiles()) {
  const file = fileURLToPath(new URL(`../${path}`, import.meta.url));
  const before = await readFile(file, "utf8").catch(() => undefined);
  if (before === text) continue;
  if (check) {
    process.stderr.write(`${path} does not match src/api: run npm run generate and commit the result\n`);
    process.exitCode = 1;
    continue;
  }
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  process.stdout.write(`wrote ${path}\n`);
}
