// The nodes below a guest device: filters, the format node, its protocol node and its backing file.

import { call, type Reply } from "../qmp/commands.ts";
import type { QmpConnection } from "../qmp/connection.ts";

/** Drivers that pass data through: an overlay goes below them, or the guest's writes would bypass them. */
const filters: ReadonlySet<string> = new Set([
  "throttle",
  "copy-on-read",
  "blklogwrites",
  "blkverify",
  "compress",
  "preallocate",
]);

export type NamedNode = Reply<"query-named-block-nodes">[number];

export class BlockGraph {
  readonly #nodes: ReadonlyMap<string, NamedNode>;
  readonly #children: ReadonlyMap<string, ReadonlyMap<string, string>>;
  readonly #parents: ReadonlyMap<string, readonly string[]>;

  private constructor(nodes: readonly NamedNode[], graph: Reply<"x-debug-query-block-graph">) {
    this.#nodes = new Map(
      nodes.flatMap((node) => (node["node-name"] === undefined ? [] : [[node["node-name"], node]])),
    );
    const names = new Map(graph.nodes.map((node) => [node.id, node.name]));
    const children = new Map<string, Map<string, string>>();
    const parents = new Map<string, string[]>();
    for (const edge of graph.edges) {
      const parent = names.get(edge.parent) ?? "";
      const child = names.get(edge.child) ?? "";
      children.set(parent, (children.get(parent) ?? new Map()).set(edge.name, child));
      parents.set(child, [...(parents.get(child) ?? []), parent]);
    }
    this.#children = children;
    this.#parents = parents;
  }

  static async read(connection: QmpConnection, signal?: AbortSignal): Promise<BlockGraph> {
    const [nodes, graph] = await Promise.all([
      call(connection, "query-named-block-nodes", { flat: true }, { signal }),
      call(connection, "x-debug-query-block-graph", undefined, { signal }),
    ]);
    return new BlockGraph(nodes, graph);
  }

  node(name: string): NamedNode | undefined {
    return this.#nodes.get(name);
  }

  get names(): string[] {
    return [...this.#nodes.keys()];
  }

  /** The child under an edge name such as "file" or "backing". */
  child(name: string, edge: string): string | undefined {
    return this.#children.get(name)?.get(edge);
  }

  /** Nodes and devices that use the node. */
  parents(name: string): readonly string[] {
    return this.#parents.get(name) ?? [];
  }

  /** The first node at or below `name` that is no filter. */
  formatNode(name: string): string {
    let current = name;
    for (let depth = 0; depth < 32; depth += 1) {
      if (!filters.has(this.node(current)?.drv ?? "")) return current;
      const below = this.child(current, "file") ?? this.child(current, "filtered");
      if (below === undefined) return current;
      current = below;
    }
    return current;
  }

  /** Whether `ancestor` is `name` itself or lies in the chain of backing files below it. */
  chainHolds(name: string, ancestor: string): boolean {
    for (let current: string | undefined = name; current !== undefined; current = this.child(current, "backing")) {
      if (current === ancestor) return true;
    }
    return false;
  }
}
