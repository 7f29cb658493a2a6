// npm links the commands of dependencies into node_modules/.bin, but not the checkout's own: this does (npm's `prepare`).

import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const directory = join(root, "node_modules", ".bin");
mkdirSync(directory, { recursive: true });
for (const [name, target] of Object.entries(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).bin)) {
  const link = join(directory, name);
  if (existsSync(link)) continue;
  rmSync(link, { force: true });
  symlinkSync(relative(directory, join(root, target)), link);
}
