// The snapshot as libvirt would print it (virDomainSnapshotDefFormat), for people and tools that read that.

import { XMLBuilder } from "fast-xml-parser";
import type { SnapshotContext } from "./context.ts";

const builder = new XMLBuilder({
  ignoreAttributes: false,
  attributeNamePrefix: "@",
  format: true,
  suppressEmptyNode: true,
});

export function domainSnapshotXml(context: SnapshotContext): string {
  const { job, prepared, report } = context;
  const memory =
    prepared.memoryFile === undefined
      ? { "@snapshot": "no" }
      : { "@snapshot": "external", "@file": prepared.memoryFile };
  const disks = prepared.disks.map((disk) => {
    const mode = job.plan.disks.find((planned) => planned.name === disk.name)?.snapshot ?? "none";
    const overlay = prepared.overlays.find((candidate) => candidate.disk.name === disk.name);
    if (overlay === undefined) return { "@name": disk.name, "@snapshot": mode === "none" ? "no" : mode };
    return {
      "@name": disk.name,
      "@snapshot": "external",
      "@type": "file",
      driver: { "@type": "qcow2" },
      source: { "@file": overlay.path },
    };
  });
  return String(
    builder.build({
      domainsnapshot: {
        name: job.name,
        ...(job.plan.description !== undefined && { description: job.plan.description }),
        state: report.domainStateBefore === "Running" ? "running" : "paused",
        creationTime: Math.floor(Date.parse(report.startedAt ?? "") / 1000),
        memory,
        disks: { disk: disks },
        domain: { uuid: prepared.uuid },
      },
    }),
  );
}
