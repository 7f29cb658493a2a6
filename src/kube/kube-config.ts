// Configuration from a kubeconfig file. client-node parses it and runs its auth (exec plugins, OIDC, certificates), nothing
// else: it is imported only when called, since it costs half a second and 80 MB.

import type { RequestOptions } from "node:https";
import { type Clock, systemClock } from "../runtime/clock.ts";
import { Failure } from "../runtime/failure.ts";
import type { ClusterConfig, Credentials } from "./cluster-config.ts";
import { cacheCredentials } from "./credential-cache.ts";

/** Loads a kubeconfig: the file named, else KUBECONFIG, else ~/.kube/config, else the pod's ServiceAccount. */
export async function kubeConfig(
  options: { path?: string; context?: string; clock?: Clock } = {},
): Promise<ClusterConfig> {
  const { clock = systemClock } = options;
  const { KubeConfig } = await import("@kubernetes/client-node");
  const load = () => {
    const config = new KubeConfig();
    try {
      if (options.path === undefined) config.loadFromDefault();
      else config.loadFromFile(options.path);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new Failure("InvalidKubeConfig", `kubeconfig ${options.path ?? ""}: ${message}`, { cause: error });
    }
    if (options.context !== undefined) {
      if (config.getContextObject(options.context) === null) {
        throw new Failure("InvalidKubeConfig", `the kubeconfig has no context "${options.context}"`);
      }
      config.setCurrentContext(options.context);
    }
    return config;
  };

  let current = load();
  const cluster = current.getCurrentCluster();
  if (cluster === null) throw new Failure("InvalidKubeConfig", "the kubeconfig's current context names no cluster");
  if (cluster.proxyUrl) throw new Failure("InvalidKubeConfig", "proxy-url in a kubeconfig is not supported");
  const namespace = current.getContextObject(current.getCurrentContext())?.namespace;

  const credentials = async (force: boolean): Promise<Credentials> => {
    // A refused credential may come from a file that was replaced since: read everything anew.
    if (force) current = load();
    const request: RequestOptions = {};
    await current.applyToHTTPSOptions(request);
    return credentialsOf(request);
  };
  return {
    server: cluster.server,
    credentials: cacheCredentials(credentials, clock),
    ...(namespace !== undefined && { namespace }),
  };
}

function credentialsOf(request: RequestOptions): Credentials {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers ?? {})) {
    if (value !== undefined) headers[name.toLowerCase()] = String(value);
  }
  if (typeof request.auth === "string")
    headers["authorization"] = `Basic ${Buffer.from(request.auth).toString("base64")}`;
  return {
    headers,
    tls: {
      ca: pem(request.ca),
      cert: pem(request.cert),
      key: pem(request.key),
      servername: request.servername,
      rejectUnauthorized: request.rejectUnauthorized,
    },
  };
}

function pem(material: unknown): string | undefined {
  return typeof material === "string" || Buffer.isBuffer(material) ? material.toString() : undefined;
}
