// Counts what the API server was asked to write, from its own audit log.

import { readFile } from "node:fs/promises";
import { z } from "zod";

const auditEvent = z.object({
  verb: z.string(),
  user: z.object({ username: z.string() }),
  objectRef: z.object({
    resource: z.string(),
    namespace: z.string().optional(),
    name: z.string().optional(),
    subresource: z.string().optional(),
  }),
  responseStatus: z.object({ code: z.number() }).optional(),
});

export type AuditEvent = z.output<typeof auditEvent>;

/** Every accepted write to our group so far, oldest first. */
export async function acceptedWrites(auditLogPath: string): Promise<AuditEvent[]> {
  const lines = (await readFile(auditLogPath, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
  return lines
    .map((line) => auditEvent.parse(JSON.parse(line)))
    .filter((event) => (event.responseStatus?.code ?? 0) < 300);
}

/** Writes that the operator and the agents made on DomainSnapshots and Contents: what one snapshot costs the API server. */
export function snapshotWrites(events: readonly AuditEvent[]): AuditEvent[] {
  return events.filter(
    (event) =>
      event.user.username.startsWith("system:serviceaccount:") &&
      ["domainsnapshots", "domainsnapshotcontents"].includes(event.objectRef.resource),
  );
}
