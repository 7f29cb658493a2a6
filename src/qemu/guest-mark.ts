// A mark in QEMU itself: a started-again QEMU behind the same socket, with the same UUID, does not bear it.

import { call } from "../qmp/commands.ts";
import { QmpError } from "../qmp/qmp-error.ts";
import type { Guest } from "./guest.ts";

/** A throttle group without members costs nothing, exists in every QEMU, and is not part of a migration. */
const markType = "throttle-group";

/** Name of a snapshot's mark; QEMU's ids begin with a letter. */
export function markId(uid: string): string {
  return `dsnap-${uid}`;
}

/** Puts the mark on the guest; safe to repeat. */
export async function addMark(guest: Guest, id: string, signal?: AbortSignal): Promise<void> {
  if (await hasMark(guest, id, signal)) return;
  await call(guest.connection, "object-add", { "qom-type": markType, id }, { signal });
}

/** Whether this QEMU process is the one that was marked. */
export async function hasMark(guest: Guest, id: string, signal?: AbortSignal): Promise<boolean> {
  const objects = await call(guest.connection, "qom-list", { path: "/objects" }, { signal });
  return objects.some(({ name }) => name === id);
}

/** Takes the mark away; safe to repeat. */
export async function removeMark(guest: Guest, id: string): Promise<void> {
  try {
    await call(guest.connection, "object-del", { id });
  } catch (error) {
    if (!(error instanceof QmpError) || (await hasMark(guest, id))) throw error;
  }
}
