// `create`: a manifest, checked here first, becomes a DomainSnapshot.

import { readFile } from "node:fs/promises";
import { text as readAll } from "node:stream/consumers";
import type { DomainSnapshot } from "../api/v1alpha1/domain-snapshot.ts";
import { parseManifest } from "../api/v1alpha1/manifest.ts";
import { Failure } from "../runtime/failure.ts";
import type { Cluster } from "./connect.ts";
import { fieldManager } from "./field-manager.ts";

/** Reads the manifest ("-" is stdin); throws a Failure `InvalidSpec`. */
export async function readManifest(file: string): Promise<DomainSnapshot> {
  let text: string;
  try {
    text = file === "-" ? await readAll(process.stdin) : await readFile(file, "utf8");
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Failure("InvalidSpec", `-f: cannot read ${file}: ${message}`, { cause: error });
  }
  return parseManifest(text, { source: file });
}

/** The namespace a manifest goes to: its own, unless the flag contradicts it. */
export function namespaceOf(manifest: DomainSnapshot, flag: string | undefined, otherwise: string): string {
  const own = manifest.metadata.namespace;
  if (own !== undefined && flag !== undefined && own !== flag) {
    throw new Failure("InvalidSpec", `the manifest is for namespace ${own}, -n says ${flag}; leave one out`);
  }
  return own ?? flag ?? otherwise;
}

/** Creates it in the cluster's namespace; status and server-set metadata of an exported manifest are left out. */
export async function createSnapshot(cluster: Cluster, manifest: DomainSnapshot): Promise<DomainSnapshot> {
  const { name, labels, annotations } = manifest.metadata;
  const metadata = { name, namespace: cluster.namespace, labels, annotations };
  return await cluster.snapshots.create({ metadata, spec: manifest.spec }, { fieldManager });
}
