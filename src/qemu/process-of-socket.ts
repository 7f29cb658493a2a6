// The process that listens on a unix socket, found through /proc where that is visible (Node has no SO_PEERCRED).

import { readdir, readFile, readlink } from "node:fs/promises";

/** The pid, or undefined where /proc does not show it: another pid namespace, another user's descriptors. */
export async function processOfSocket(path: string): Promise<number | undefined> {
  const inodes = await listeningInodes(path);
  if (inodes.size === 0) return undefined;
  for (const entry of await readdir("/proc").catch(() => [])) {
    if (!/^\d+$/.test(entry)) continue;
    const command = await readFile(`/proc/${entry}/comm`, "utf8").catch(() => "");
    if (!command.startsWith("qemu")) continue;
    for (const descriptor of await readdir(`/proc/${entry}/fd`).catch(() => [])) {
      const inode = /^socket:\[(\d+)\]$/.exec(await readlink(`/proc/${entry}/fd/${descriptor}`).catch(() => ""))?.[1];
      if (inode !== undefined && inodes.has(inode)) return Number(entry);
    }
  }
  return undefined;
}

/** Columns of /proc/net/unix: Num RefCount Protocol Flags Type St Inode Path; flag 0x10000 marks a listener. */
async function listeningInodes(path: string): Promise<Set<string>> {
  const table = await readFile("/proc/net/unix", "utf8").catch(() => "");
  const inodes = new Set<string>();
  for (const line of table.split("\n")) {
    const columns = line.trim().split(/\s+/);
    const inode = columns[6];
    if (inode !== undefined && columns[3] === "00010000" && columns.slice(7).join(" ") === path) inodes.add(inode);
  }
  return inodes;
}
