// The new top images that a report names, as absolute paths.

import { isAbsolute, join } from "node:path";
import type { ContentStatus } from "../api/v1alpha1/domain-snapshot-content.ts";

/** Disk name to overlay, from the moment the disks were switched; reports name overlays relative to the snapshot directory. */
export function switchedImages(report: ContentStatus, snapshotDirectory: string): ReadonlyMap<string, string> {
  const images = new Map<string, string>();
  if (report.disksSwitchedAt === undefined) return images;
  for (const { name, snapshot, overlay } of report.disks ?? []) {
    if (snapshot !== "external" || overlay === undefined) continue;
    images.set(name, isAbsolute(overlay) ? overlay : join(snapshotDirectory, overlay));
  }
  return images;
}
