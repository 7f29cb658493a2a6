import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { silentLog } from "../../test/support/silent-log.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";
import { KubeClient } from "./kube-client.ts";
import type { ApiResource } from "./kube-object.ts";
import type { WatchEvent } from "./watch-event.ts";

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

type Handler = (request: IncomingMessage & { body: string }, response: ServerResponse) => void;

/** A client and an HTTP server that answers with the handlers in turn, the last one for ever. */
async function serve(handlers: Handler[], clock: Clock = systemClock) {
  const seen: { line: string; headers: IncomingMessage["headers"]; body: string }[] = [];
  const sockets = new Set<unknown>();
  const server = createServer((request, response) => {
    sockets.add(request.socket);
    let body = "";
    request.setEncoding("utf8").on("data", (chunk: string) => {
      body += chunk;
    });
    request.on("end", () => {
      const handler = handlers[Math.min(seen.length, handlers.length - 1)];
      seen.push({ line: `${request.method} ${request.url}`, headers: request.headers, body });
      handler?.(Object.assign(request, { body }), response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  let token = 0;
  const config = {
    server: `http://127.0.0.1:${(server.address() as AddressInfo).port}/base/`,
    credentials: async (force = false) => {
      if (force) token += 1;
      return { headers: { authorization: `Bearer t${token}` }, tls: {} };
    },
  };
  const client = new KubeClient({ config, log: silentLog, clock, userAgent: "test/1" });
  cleanups.push(async () => {
    await client.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { client, seen, sockets };
}

const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Handler =>
  (_request, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
  };

const widgets: ApiResource = { group: "test.io", version: "v1", kind: "Widget", plural: "widgets", namespaced: true };
const widget = { metadata: { name: "w", namespace: "ns", resourceVersion: "7" } };

describe("KubeClient", () => {
  it("keeps the path of the server's URL, escapes names, and says who it is", async () => {
    const { client, seen } = await serve([json(200, widget)]);
    await client.resource(widgets).get("a/b", "ns");
    expect(seen[0]?.line).toBe("GET /base/apis/test.io/v1/namespaces/ns/widgets/a%2Fb");
    expect(seen[0]?.headers).toMatchObject({ authorization: "Bearer t0", "user-agent": "test/1" });
  });

  it("shares few connections between many requests", async () => {
    const { client, sockets } = await serve([json(200, widget)]);
    const resource = client.resource(widgets);
    await Promise.all(Array.from({ length: 100 }, () => resource.get("w", "ns")));
    expect(sockets.size).toBeLessThanOrEqual(8);
  });

  it("tries once more with fresh credentials after a 401", async () => {
    const { client, seen } = await serve([json(401, { code: 401 }), json(200, widget)]);
    await client.resource(widgets).get("w", "ns");
    expect(seen.map(({ headers }) => headers.authorization)).toEqual(["Bearer t0", "Bearer t1"]);
  });

  it("gives up after a second 401", async () => {
    const { client, seen } = await serve([json(401, { code: 401, reason: "Unauthorized" })]);
    await expect(client.resource(widgets).get("w", "ns")).rejects.toMatchObject({
      reason: "Unauthorized",
      status: 401,
    });
    expect(seen).toHaveLength(2);
  });

  it("waits as long as the server asks for, a bounded number of times", async () => {
    const clock = new FakeClock();
    const busy = json(429, { code: 429, reason: "TooManyRequests" }, { "retry-after": "2" });
    const { client, seen } = await serve([busy, busy, json(200, widget)], clock);
    const getting = client.resource(widgets).get("w", "ns");
    for (let turn = 1; turn <= 2; turn += 1) {
      await expect.poll(() => clock.sleeping).toBe(1);
      expect(seen).toHaveLength(turn);
      await clock.advance(2_000);
    }
    expect((await getting)?.metadata.name).toBe("w");

    const never = await serve([busy], clock);
    const outcome = expect(never.client.resource(widgets).get("w", "ns")).rejects.toMatchObject({
      retryAfterSeconds: 2,
    });
    for (let turn = 1; turn <= 4; turn += 1) {
      await expect.poll(() => clock.sleeping).toBe(1);
      await clock.advance(2_000);
    }
    await outcome;
    expect(never.seen).toHaveLength(5);
  });

  it("turns a refusal into an ApiError with the API's reason and causes", async () => {
    const causes = [{ reason: "FieldValueInvalid", message: "must be small", field: "spec.size" }];
    const status = { kind: "Status", code: 422, reason: "Invalid", message: "Widget is invalid", details: { causes } };
    const { client } = await serve([json(422, status)]);
    const refused = client.resource(widgets).create(widget);
    await expect(refused).rejects.toMatchObject({ status: 422, reason: "Invalid", retryable: false, causes });
  });

  it("reports a page that is no Status by its status and first words", async () => {
    const { client } = await serve([(_request, response) => response.writeHead(502).end("<html>bad gateway</html>")]);
    const failed = client.resource(widgets).create(widget);
    await expect(failed).rejects.toMatchObject({
      status: 502,
      retryable: true,
      message: expect.stringContaining("bad gateway"),
    });
  });

  it("calls a lost connection Unreachable, and passes on why the caller aborted", async () => {
    const { client } = await serve([(request) => request.socket.destroy(), () => undefined]);
    const resource = client.resource(widgets);
    await expect(resource.get("w", "ns")).rejects.toMatchObject({ reason: "Unreachable", status: 0, retryable: true });
    const abort = new AbortController();
    const getting = resource.get("w", "ns", { signal: abort.signal });
    abort.abort(new Error("no longer needed"));
    await expect(getting).rejects.toThrow("no longer needed");
  });

  it("answers undefined and false for what is not there", async () => {
    const { client } = await serve([json(404, { code: 404, reason: "NotFound" })]);
    expect(await client.resource(widgets).get("w", "ns")).toBeUndefined();
    expect(await client.resource(widgets).delete("w", "ns")).toBe(false);
  });

  it("lists all pages, and fills in what items of a list lack", async () => {
    const { client, seen } = await serve([
      json(200, { metadata: { resourceVersion: "9", continue: "next" }, items: [widget] }),
      json(200, { metadata: { resourceVersion: "9" }, items: [{ metadata: { name: "v" } }] }),
    ]);
    const all = await client.resource(widgets).list({ fieldSelector: "spec.nodeName=n1" });
    expect(all.map(({ apiVersion, kind, metadata }) => [apiVersion, kind, metadata.name])).toEqual([
      ["test.io/v1", "Widget", "w"],
      ["test.io/v1", "Widget", "v"],
    ]);
    expect(seen[1]?.line).toContain("limit=500&continue=next&fieldSelector=spec.nodeName%3Dn1");
  });

  it("sends only name and status when it applies a status", async () => {
    const { client, seen } = await serve([json(200, widget)]);
    const object = {
      metadata: { name: "w", namespace: "ns", uid: "u", labels: { a: "b" } },
      spec: { x: 1 },
      status: { ok: true },
    };
    await client.resource(widgets).applyStatus(object, { fieldManager: "me", force: true });
    expect(seen[0]?.line).toBe("PATCH /base/apis/test.io/v1/namespaces/ns/widgets/w/status?fieldManager=me&force=true");
    expect(seen[0]?.headers["content-type"]).toBe("application/apply-patch+yaml");
    expect(JSON.parse(seen[0]?.body ?? "")).toEqual({
      apiVersion: "test.io/v1",
      kind: "Widget",
      metadata: { name: "w", namespace: "ns" },
      status: { ok: true },
    });
  });

  it("yields a watch's events whatever the chunking, and throws when it is cut within one", async () => {
    const lines = [
      { type: "ADDED", object: widget },
      { type: "BOOKMARK", object: { metadata: { resourceVersion: "12" } } },
    ].map((event) => `${JSON.stringify(event)}\n`);
    const { client, seen } = await serve([
      async (_request, response) => {
        response.writeHead(200);
        const text = `${lines.join("")}{"type":"ADD`;
        for (let at = 0; at < text.length; at += 20) {
          response.write(text.slice(at, at + 20));
          await new Promise((resolve) => setImmediate(resolve));
        }
        response.end();
      },
    ]);
    const events: WatchEvent[] = [];
    const watching = async () => {
      const options = { resourceVersion: "5", timeoutSeconds: 290 };
      for await (const event of client.resource(widgets).watch(options)) events.push(event);
    };
    await expect(watching()).rejects.toMatchObject({ reason: "Unreachable" });
    expect(events).toEqual([
      { type: "ADDED", object: widget },
      { type: "BOOKMARK", resourceVersion: "12" },
    ]);
    expect(seen[0]?.line).toContain("watch=true&allowWatchBookmarks=true");
  });

  it("ends a watch when the signal aborts or the client closes", async () => {
    const { client } = await serve([(_request, response) => void response.writeHead(200).write("\n")]);
    const abort = new AbortController();
    const next = (signal?: AbortSignal) =>
      client
        .resource(widgets)
        .watch({ resourceVersion: "5", timeoutSeconds: 290, signal })
        [Symbol.asyncIterator]()
        .next();
    const aborted = expect(next(abort.signal)).rejects.toThrow("enough");
    abort.abort(new Error("enough"));
    await aborted;
    const closed = expect(next()).rejects.toMatchObject({ reason: "Unreachable" });
    await client.close();
    await closed;
  });
});
