// The commands this project sends, with the part of each reply that it reads.

import { z } from "zod";
import { Failure } from "../runtime/failure.ts";
import type { ExecuteOptions, QmpConnection } from "./connection.ts";

const nothing = z.unknown();

const blockInfo = z.looseObject({
  device: z.string().default(""),
  qdev: z.string().optional(),
  removable: z.boolean().default(false),
  inserted: z
    .looseObject({
      "node-name": z.string().optional(),
      drv: z.string(),
      file: z.string(),
      ro: z.boolean(),
      active: z.boolean().optional(),
      cache: z.looseObject({ direct: z.boolean(), "no-flush": z.boolean() }).optional(),
    })
    .optional(),
});

const namedNode = z.looseObject({
  "node-name": z.string().optional(),
  drv: z.string(),
  file: z.string(),
  ro: z.boolean(),
  active: z.boolean().optional(),
  detect_zeroes: z.string().optional(),
  cache: z.looseObject({ direct: z.boolean(), "no-flush": z.boolean() }).optional(),
  image: z.looseObject({ "virtual-size": z.number(), "cluster-size": z.number().optional() }).optional(),
  "dirty-bitmaps": z
    .array(
      z.looseObject({
        name: z.string().optional(),
        granularity: z.number(),
        persistent: z.boolean().default(false),
        recording: z.boolean().default(false),
        busy: z.boolean().default(false),
        inconsistent: z.boolean().default(false),
      }),
    )
    .optional(),
});

const migrateInfo = z.looseObject({
  status: z.string().optional(),
  ram: z
    .looseObject({
      transferred: z.number(),
      remaining: z.number(),
      total: z.number(),
      "dirty-sync-count": z.number().default(0),
      "dirty-pages-rate": z.number().default(0),
      "page-size": z.number().default(4096),
      mbps: z.number().default(0),
    })
    .optional(),
  downtime: z.number().optional(),
  "expected-downtime": z.number().optional(),
  "error-desc": z.string().optional(),
  "blocked-reasons": z.array(z.string()).optional(),
});

const job = z.looseObject({ id: z.string(), type: z.string(), status: z.string(), error: z.string().optional() });

/** Command name -> schema of its reply. */
const replies = {
  stop: nothing,
  cont: nothing,
  "query-status": z.looseObject({ status: z.string(), running: z.boolean() }),
  "query-name": z.looseObject({ name: z.string().optional() }),
  "query-uuid": z.looseObject({ UUID: z.string() }),
  "query-memory-size-summary": z.looseObject({ "base-memory": z.number(), "plugged-memory": z.number().default(0) }),
  "query-block": z.array(blockInfo),
  "query-named-block-nodes": z.array(namedNode),
  "query-block-jobs": z.array(z.looseObject({ device: z.string(), type: z.string() })),
  "query-jobs": z.array(job),
  "job-dismiss": nothing,
  "job-complete": nothing,
  "query-blockstats": z.array(
    z.looseObject({
      qdev: z.string().optional(),
      device: z.string().default(""),
      stats: z.looseObject({ rd_operations: z.number(), wr_operations: z.number(), wr_bytes: z.number() }),
    }),
  ),
  "x-debug-query-block-graph": z.looseObject({
    nodes: z.array(z.looseObject({ id: z.number(), type: z.string(), name: z.string() })),
    edges: z.array(z.looseObject({ parent: z.number(), child: z.number(), name: z.string() })),
  }),
  "query-migrate": migrateInfo,
  "query-migrate-capabilities": z.array(z.object({ capability: z.string(), state: z.boolean() })),
  "query-migrate-parameters": z.record(z.string(), z.unknown()),
  "migrate-set-capabilities": nothing,
  "migrate-set-parameters": nothing,
  migrate: nothing,
  migrate_cancel: nothing,
  transaction: nothing,
  "blockdev-create": nothing,
  "blockdev-add": nothing,
  "blockdev-del": nothing,
  "blockdev-reopen": nothing,
  "blockdev-set-active": nothing,
  "block-commit": nothing,
  "qom-list": z.array(z.object({ name: z.string(), type: z.string() })),
  "qom-get": z.unknown(),
  "qom-set": nothing,
  "object-add": nothing,
  "object-del": nothing,
  "query-chardev": z.array(z.looseObject({ label: z.string(), filename: z.string() })),
  "query-commands": z.array(z.object({ name: z.string() })),
} as const;

export type CommandName = keyof typeof replies;
export type Reply<C extends CommandName> = z.output<(typeof replies)[C]>;

/** Sends a command and parses its reply; a reply of another shape is Failure InternalError that names the command. */
export async function call<C extends CommandName>(
  connection: QmpConnection,
  command: C,
  args?: object,
  options: ExecuteOptions = {},
): Promise<Reply<C>> {
  const raw = await connection.execute(command, args, options);
  const schema: z.ZodType<Reply<C>> = replyOf(command);
  const parsed = schema.safeParse(raw);
  if (parsed.success) return parsed.data;
  throw new Failure(
    "InternalError",
    `${command}: QEMU answered in a shape this program does not know: ${parsed.error.message}`,
  );
}

function replyOf<C extends CommandName>(command: C): z.ZodType<Reply<C>> {
  // One boundary cast: TypeScript cannot relate an indexed schema to its own output type.
  return replies[command] as unknown as z.ZodType<Reply<C>>;
}
