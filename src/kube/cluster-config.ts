// Which API server, and as whom: what every way of configuration ends in.

/** PEM texts and TLS names, as node:tls takes them. */
export interface TlsMaterial {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly servername?: string | undefined;
  readonly rejectUnauthorized?: boolean | undefined;
}

/** What a request needs to be let in. */
export interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsMaterial;
}

export interface ClusterConfig {
  /** Base URL, possibly with a path below which the API lies. */
  readonly server: string;
  /** Credentials not older than a minute; `force` (after a 401) reads them anew. */
  credentials(force?: boolean): Promise<Credentials>;
  /** The namespace of the pod or of the kubeconfig's context. */
  readonly namespace?: string;
}
