import { execFile, spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { createHmac } from "node:crypto";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const COURIER = process.env.COURIER_BIN ?? `${ROOT}.venv/bin/courier`;
const SECRET = "a secret of thirty-two bytes or so, for tests";

/** Real processes that a test has started. */
export class Processes {
  readonly #running: ChildProcess[] = [];

  /** A node that is ready. */
  async node(variables: Record<string, string> = {}): Promise<Node> {
    if (!existsSync(COURIER)) {
      throw new Error(
        `There is no ${COURIER}: run \`make .venv/ready\` first, or name another one in COURIER_BIN`,
      );
    }
    const bind = `127.0.0.1:${await freePort()}`;
    const child = this.#spawn(COURIER, ["serve", "--bind", bind], environment(variables));
    const node = new Node(bind, child);
    await until(async () => (await fetch(`${node.url}/health/ready`)).ok);
    return node;
  }

  /** A Redis that keeps nothing on disk; its URL. */
  async redis(): Promise<string> {
    const port = await freePort();
    const child = this.#spawn(
      "redis-server",
      ["--port", `${port}`, "--save", "", "--appendonly", "no"],
      process.env,
    );
    await new Promise<void>((resolve, reject) => {
      child.on("error", () => reject(new Error("Install Redis 7.0 or newer first (Debian: redis-server)")));
      child.stdout!.on("data", (text: Buffer) => {
        if (text.includes("Ready to accept connections")) resolve();
      });
    });
    return `redis://127.0.0.1:${port}`;
  }

  async end(): Promise<void> {
    await Promise.all(this.#running.map((child) => ended(child, "SIGKILL")));
  }

  #spawn(command: string, given: string[], env: NodeJS.ProcessEnv): ChildProcess {
    const child = spawn(command, given, { cwd: ROOT, env, stdio: ["ignore", "pipe", "ignore"] });
    child.stdout.resume();
    this.#running.push(child);
    return child;
  }
}

/** A running node. */
export class Node {
  readonly url: string;
  readonly port: number;
  readonly #child: ChildProcess;

  constructor(bind: string, child: ChildProcess) {
    this.url = `http://${bind}`;
    this.port = Number(bind.split(":")[1]);
    this.#child = child;
  }

  /** Publishes announcements with these titles, in one request. */
  async publish(channel: string, titles: readonly number[]): Promise<void> {
    const events = titles.map((title) => ({
      channel,
      data: {
        type: "system.announcement",
        source: "tests",
        title: `${title}`,
        message: "m",
        severity: "info",
      },
    }));
    const headers = { "Content-Type": "application/json", "X-Service-Name": "tests" };
    const body = JSON.stringify({ events });
    const answer = await fetch(`${this.url}/publish/batch`, { method: "POST", headers, body });
    const { published } = (await answer.json()) as { published?: number };
    if (published !== titles.length) throw new Error(`${answer.status}: ${published} published`);
  }

  /** Publishes one announcement with this message. */
  async announce(channel: string, message: string): Promise<void> {
    const event = { type: "system.announcement", source: "tests", title: "t", message, severity: "info" };
    const headers = { "Content-Type": "application/json", "X-Service-Name": "tests" };
    const body = JSON.stringify(event);
    const answer = await fetch(`${this.url}/publish/${channel}`, { method: "POST", headers, body });
    if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
  }

  /** Signals it, and waits until it has ended. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    await ended(this.#child, signal);
  }
}

/** What a client reaches nodes through, as through a balancer: it leads to some, and later to others. */
export class Balancer {
  readonly url: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async to(...nodes: Node[]): Promise<Balancer> {
    const server = createServer();
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const balancer = new Balancer(server);
    balancer.lead(...nodes);
    return balancer;
  }

  /** Leads new connections to these nodes, in turn; where there is none, nowhere. */
  lead(...nodes: Node[]): void {
    let turn = 0;
    this.#server.removeAllListeners("connection").on("connection", (from) => {
      if (nodes.length === 0) {
        from.destroy();
        return;
      }
      const to = connect(nodes[turn++ % nodes.length]!.port, "127.0.0.1");
      for (const [one, other] of [
        [from, to],
        [to, from],
      ] as const) {
        this.#sockets.add(one);
        one.pipe(other);
        one.on("error", () => other.destroy());
        one.on("close", () => other.destroy());
      }
    });
  }

  /** Carries nothing more on the connections that there are, and tells nobody. */
  freeze(): void {
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  /** Ends all connections that there are. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  end(): void {
    this.#server.close();
    this.cut();
  }
}

/** A subscriber's token, as `courier token user` makes it. */
export async function token(user: string): Promise<string> {
  const given = ["token", "user", user];
  const { stdout } = await promisify(execFile)(COURIER, given, { cwd: ROOT, env: environment({}) });
  return stdout.trim();
}

/** The same, made here, since the life of a short one begins at once (RFC 7519, HS256 of RFC 7518). */
export function shortToken(user: string, seconds: number): string {
  const iat = Math.floor(Date.now() / 1_000);
  const claims = { user_id: user, wallet_address: "", iat, exp: iat + seconds };
  const parts = [{ alg: "HS256", typ: "JWT" }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString("base64url"),
  );
  const signed = parts.join(".");
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

/** Asks again and again until it is so; what it throws meanwhile counts as no. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (;;) {
    try {
      if (await isSo()) return;
    } catch {
      // not yet
    }
    await new Promise((done) => setTimeout(done, 20));
  }
}

export const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

function environment(variables: Record<string, string>): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("COURIER_"));
  const ours = { JWT_SECRET: SECRET, RATE_LIMIT: "0", ...variables };
  const named = Object.entries(ours).map(([name, value]) => [`COURIER_${name}`, value]);
  return Object.fromEntries([...kept, ...named]) as NodeJS.ProcessEnv;
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  await new Promise((resolve) => {
    child.once("exit", resolve);
    child.kill(signal);
  });
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((listening) => probe.listen(0, "127.0.0.1", listening));
  const { port } = probe.address() as AddressInfo;
  await new Promise((closed) => probe.close(closed));
  return port;
}
