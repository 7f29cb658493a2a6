// Configuration from a ServiceAccount: in a pod, or from files named by flags. Needs no client-node.

import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import { cacheCredentials } from "./credential-cache.ts";

const serviceAccountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount";

/** The pod's own ServiceAccount. Throws `NotInCluster` elsewhere. */
export function inClusterConfig(
  options: { environment?: NodeJS.ProcessEnv; directory?: string; clock?: Clock } = {},
): ClusterConfig {
  const { environment = process.env, directory = serviceAccountDirectory, clock } = options;
  const host = environment["KUBERNETES_SERVICE_HOST"];
  const port = environment["KUBERNETES_SERVICE_PORT"];
  if (!host || !port) {
    throw new Failure(
      "NotInCluster",
      "KUBERNETES_SERVICE_HOST is not set: not in a pod, so name a kubeconfig or a server",
    );
  }
  const namespaceFile = join(directory, "namespace");
  return tokenConfig({
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    caFile: join(directory, "ca.crt"),
    tokenFile: join(directory, "token"),
    ...(existsSync(namespaceFile) && { namespace: readFileSync(namespaceFile, "utf8").trim() }),
    ...(clock && { clock }),
  });
}

/** A server with a bearer token in a file, which is read again every minute: tokens rotate in place. */
export function tokenConfig(options: {
  server: string;
  caFile?: string;
  tokenFile: string;
  namespace?: string;
  clock?: Clock;
}): ClusterConfig {
  const { server, caFile, tokenFile, namespace, clock = systemClock } = options;
  const load = async () => {
    const [token, ca] = await Promise.all([readText(tokenFile), caFile === undefined ? undefined : readText(caFile)]);
    return { headers: { authorization: `Bearer ${token.trim()}` }, tls: { ca } };
  };
  return { server, credentials: cacheCredentials(load, clock), ...(namespace !== undefined && { namespace }) };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new Failure("CredentialsUnavailable", `cannot read ${path}: ${String(error)}`, {
      cause: error,
      retryable: true,
    });
  }
}
