// The way in from a fresh clone: plain JavaScript for any Node >= 20 and without dependencies. It installs the packages
// when they are missing or stale, then runs a TypeScript program with the project's own Node.
//
// node scripts/enter.mjs <program.ts> [arguments]

import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const projectNode = join(root, "node_modules", ".bin", "node");

const [program, ...args] = process.argv.slice(2);
if (program === undefined) fail("usage: node scripts/enter.mjs <program.ts> [arguments]");
if (Number(process.versions.node.split(".")[0]) < 20) {
  fail(
    `Node ${process.versions.node} is too old: install Node 20 or newer (the project brings its own Node 24 by npm)`,
  );
}
const reason = whyInstall();
if (reason !== undefined) install(reason);
await import("./link-commands.mjs");
process.exitCode = await runProgram(program, args);

/** What is wrong with node_modules, or undefined: every package of the lock file must be there in its version. */
function whyInstall() {
  const installed = packagesOf(join(root, "node_modules", ".package-lock.json"));
  if (installed === undefined || !existsSync(projectNode)) return "node_modules is missing";
  const wanted = packagesOf(join(root, "package-lock.json"));
  if (wanted === undefined) fail("package-lock.json cannot be read: this is no complete checkout");
  for (const [path, { version, optional, integrity }] of Object.entries(wanted)) {
    if (path === "" || (optional === true && installed[path] === undefined)) continue;
    const found = installed[path];
    if (found?.version !== version || found?.integrity !== integrity) return `${path} is not at ${version}`;
  }
  return spawnSync(projectNode, ["--version"]).status === 0 ? undefined : "the project's Node does not run";
}

function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8")).packages;
  } catch {
    return undefined;
  }
}

function install(why) {
  process.stderr.write(`setup: npm install (${why})\n`);
  // Not `npm ci`: it insists on the tools' binaries for every other platform, which a registry need not have. With
  // --no-save the versions and checksums of the lock file hold as well.
  const npm = spawnSync("npm", ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (npm.error !== undefined) fail(`npm cannot be started (${npm.error.message}): install npm beside Node`);
  if (npm.status !== 0) fail("npm install failed (see above): the npm registry must be reachable for the first run");
  if (!existsSync(projectNode)) {
    fail(
      "npm install left no node_modules/.bin/node: install scripts must be allowed (npm config ignore-scripts=false)",
    );
  }
}

/** Hands the terminal over; signals reach the program, whose exit code is ours. */
async function runProgram(path, programArgs) {
  const child = spawn(projectNode, ["--disable-warning=ExperimentalWarning", path, ...programArgs], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, PATH: `${dirname(projectNode)}:${process.env.PATH}` },
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  return await new Promise((resolve) => {
    child.once("error", (error) => fail(`${path} cannot be started: ${error.message}`));
    child.once("exit", (code) => resolve(code ?? 1));
  });
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
