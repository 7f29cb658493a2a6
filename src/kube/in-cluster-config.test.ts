import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { inClusterConfig, tokenConfig } from "./in-cluster-config.ts";
import { kubeConfig } from "./kube-config.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kube-config-"));
});
afterEach(async () => await rm(directory, { recursive: true }));

describe("inClusterConfig", () => {
  it("reads server, namespace, certificate and token where a pod has them", async () => {
    for (const [name, text] of Object.entries({ token: "abc\n", "ca.crt": "PEM", namespace: "here\n" })) {
      await writeFile(join(directory, name), text);
    }
    const environment = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "443" };
    const config = inClusterConfig({ environment, directory });
    expect(config).toMatchObject({ server: "https://[fd00::1]:443", namespace: "here" });
    expect(await config.credentials()).toEqual({ headers: { authorization: "Bearer abc" }, tls: { ca: "PEM" } });
  });

  it("says so outside a pod", () => {
    expect(() => inClusterConfig({ environment: {} })).toThrow("not in a pod");
  });
});

describe("tokenConfig", () => {
  it("reads a rotated token after a minute, or at once when forced", async () => {
    const clock = new FakeClock();
    const tokenFile = join(directory, "token");
    const config = tokenConfig({ server: "https://server", tokenFile, clock });
    const token = async (force?: boolean) => (await config.credentials(force)).headers["authorization"];
    await writeFile(tokenFile, "one");
    expect(await token()).toBe("Bearer one");
    await writeFile(tokenFile, "two");
    await clock.advance(30_000);
    expect(await token()).toBe("Bearer one");
    expect(await token(true)).toBe("Bearer two");
    await writeFile(tokenFile, "three");
    await clock.advance(60_000);
    expect(await token()).toBe("Bearer three");
  });

  it("reports a missing token as a retryable failure and does not remember it", async () => {
    const tokenFile = join(directory, "token");
    const config = tokenConfig({ server: "https://server", tokenFile });
    await expect(config.credentials()).rejects.toMatchObject({ reason: "CredentialsUnavailable", retryable: true });
    await writeFile(tokenFile, "late");
    expect((await config.credentials()).headers).toEqual({ authorization: "Bearer late" });
  });
});

describe("kubeConfig", () => {
  const file = (user: string) => `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://one:6443", certificate-authority-data: ${Buffer.from("CA").toString("base64")}}}]
users: [{name: u, user: ${user}}]
contexts: [{name: main, context: {cluster: c, user: u, namespace: team}}]
current-context: main
`;

  it("takes server, namespace, certificates and token from the file", async () => {
    const path = join(directory, "config");
    await writeFile(path, file("{token: secret}"));
    const config = await kubeConfig({ path });
    expect(config).toMatchObject({ server: "https://one:6443", namespace: "team" });
    expect(await config.credentials()).toMatchObject({
      headers: { authorization: "Bearer secret" },
      tls: { ca: "CA" },
    });
  });

  it("runs an exec plugin, and reads the file anew when forced", async () => {
    const path = join(directory, "config");
    const credential = {
      apiVersion: "client.authentication.k8s.io/v1",
      kind: "ExecCredential",
      status: { token: "plugin" },
    };
    const exec = {
      apiVersion: credential.apiVersion,
      interactiveMode: "Never",
      command: "echo",
      args: [JSON.stringify(credential)],
    };
    await writeFile(path, file(JSON.stringify({ exec })));
    const clock = new FakeClock();
    const config = await kubeConfig({ path, clock });
    expect((await config.credentials()).headers).toEqual({ authorization: "Bearer plugin" });
    await writeFile(path, file("{username: me, password: pw}"));
    await clock.advance(2_000);
    const basic = `Basic ${Buffer.from("me:pw").toString("base64")}`;
    expect((await config.credentials(true)).headers).toEqual({ authorization: basic });
  });

  it("names a context that does not exist", async () => {
    const path = join(directory, "config");
    await writeFile(path, file("{}"));
    await expect(kubeConfig({ path, context: "other" })).rejects.toThrow('no context "other"');
  });
});
