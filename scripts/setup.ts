// Everything that the tests and the quickstart need beyond npm packages: made once, then found in the cache.

import { pathToFileURL } from "node:url";
import { cacheDirectory, ensureControlPlaneAssets } from "../test/control-plane/assets.ts";
import { ensureGuestImage } from "../test/guest/image.ts";
import { ensureQemu, qemuVersions } from "../test/guest/qemu.ts";

/** Downloads and builds what is missing. The first run takes minutes, later ones a fraction of a second. */
export async function setUp(progress: (line: string) => void): Promise<void> {
  for (const version of qemuVersions) ensureQemu(version, progress);
  ensureGuestImage(progress);
  await ensureControlPlaneAssets(progress);
}

/** Runs setUp for a command: progress and what is missing go to stderr. */
export async function setUpOrExplain(): Promise<boolean> {
  const start = performance.now();
  let worked = false;
  const progress = (line: string): void => {
    worked = true;
    process.stderr.write(`setup: ${line}\n`);
  };
  try {
    await setUp(progress);
  } catch (error) {
    process.stderr.write(`setup failed: ${error instanceof Error ? error.message : String(error)}\n`);
    process.stderr.write(
      "setup needs Debian 12, Go 1.26 or newer, the network for its first run, and root to install\n",
    );
    return false;
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  if (worked) process.stderr.write(`setup: done in ${seconds} s; kept in ${cacheDirectory()}\n`);
  return true;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  process.exitCode = (await setUpOrExplain()) ? 0 : 1;
}
