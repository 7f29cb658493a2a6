// Finds guests by their monitor sockets in a directory: fs.watch for speed, a slow rescan because watches lose events.

import { watch } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { objectName } from "../api/v1alpha1/fields.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/log.ts";
import type { DiscoveryConfiguration, DomainConfiguration } from "./configuration.ts";

const rescanMilliseconds = 30_000;
/** A guest that starts creates several files; one scan for all of them. */
const settleMilliseconds = 100;

const validName = objectName("Name of a Domain.");

/** The guest a file name stands for; undefined if it does not match, or its name could not be a Kubernetes name. */
export function matchSocket(discovery: DiscoveryConfiguration, fileName: string): DomainConfiguration | undefined {
  const [before = "", after = ""] = discovery.pattern.split("{name}");
  if (!fileName.startsWith(before) || !fileName.endsWith(after)) return undefined;
  const name = fileName.slice(before.length, fileName.length - after.length);
  if (!validName.safeParse(name).success) return undefined;
  const { directory, pattern: _pattern, snapshotDirectory, ...rest } = discovery;
  return {
    ...rest,
    name,
    socket: join(directory, fileName),
    snapshotDirectory: snapshotDirectory.replace("{name}", name),
  };
}

/** The guests whose sockets are in the directory now. Only sockets count: a symlink could lead anywhere. */
export async function scan(discovery: DiscoveryConfiguration): Promise<DomainConfiguration[]> {
  const found: DomainConfiguration[] = [];
  for (const fileName of (await readdir(discovery.directory)).sort()) {
    const domain = matchSocket(discovery, fileName);
    if (domain === undefined) continue;
    const status = await lstat(domain.socket).catch(() => undefined);
    if (status?.isSocket()) found.push(domain);
  }
  return found;
}

/**
 * Calls `onDomain` once for each guest that appears, and `onScanned` after each scan. A guest whose socket goes stays known:
 * its publisher says that it is away.
 */
export async function discover(options: {
  discovery: DiscoveryConfiguration;
  onDomain: (domain: DomainConfiguration) => void;
  onScanned: () => void;
  clock: Clock;
  log: Logger;
  signal: AbortSignal;
}): Promise<void> {
  const { discovery, onDomain, onScanned, clock, log, signal } = options;
  const known = new Set<string>();
  while (!signal.aborted) {
    const changed = new AbortController();
    const stopWatching = watchDirectory(discovery.directory, () => changed.abort(), signal);
    try {
      for (const domain of await scan(discovery)) {
        if (known.has(domain.name)) continue;
        known.add(domain.name);
        log.info({ domain: `${domain.namespace}/${domain.name}`, socket: domain.socket }, "guest discovered");
        onDomain(domain);
      }
    } catch (error) {
      log.warn({ directory: discovery.directory, error: String(error) }, "cannot scan for guests; trying again");
    }
    onScanned();
    await clock.sleep(rescanMilliseconds, AbortSignal.any([changed.signal, signal])).catch(() => {});
    stopWatching();
    await clock.sleep(settleMilliseconds, signal).catch(() => {});
  }
}

function watchDirectory(directory: string, onChange: () => void, signal: AbortSignal): () => void {
  try {
    const watcher = watch(directory, { persistent: false, signal }, onChange);
    // A directory that vanishes ends its watch; the rescan goes on.
    watcher.on("error", () => {});
    return () => watcher.close();
  } catch {
    return () => {};
  }
}
