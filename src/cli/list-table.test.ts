// The table of `list`.

import { expect, test } from "vitest";
import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { formatBytes, listTable } from "./list-table.ts";

const snapshot: DomainSnapshot = {
  apiVersion: "domainsnapshot.io/v1alpha1",
  kind: "DomainSnapshot",
  metadata: { name: "nightly", namespace: "shop", creationTimestamp: "2026-01-01T00:00:00Z" },
  spec: { domainRef: { name: "db" }, capture: "paused", quiesce: "Never", deletionPolicy: "Retain" },
  status: { phase: "Completed", nodeName: "node-1", pause: { totalMilliseconds: 12.34 }, memory: { sizeBytes: 1536 } },
};
const nowMilliseconds = Date.parse("2026-01-01T00:01:00Z");

test("the table is aligned as kubectl's", () => {
  expect(listTable([snapshot], { wide: false, namespaces: false, nowMilliseconds })).toEqual([
    "NAME      DOMAIN   PHASE       CAPTURE   PAUSED   READY   AGE",
    "nightly   db       Completed   paused    12.3ms           60s",
  ]);
});

test("wide adds node, memory and reason; all namespaces put theirs first", () => {
  const [header, row] = listTable([snapshot], { wide: true, namespaces: true, nowMilliseconds });
  expect(header).toMatch(/^NAMESPACE +NAME .* AGE +NODE +MEMORY +REASON$/);
  expect(row).toMatch(/^shop +nightly .* 60s +node-1 +1\.5Ki$/);
});

test("sizes are in binary units", () => {
  expect([undefined, 0, 1023, 512 * 1024 ** 2].map(formatBytes)).toEqual(["", "0", "1023", "512.0Mi"]);
});
