/**
 * As many clients as a hundred pages have, through a rolling restart of the nodes that they are on.
 * `COURIER_CLIENTS=500` asks for more of them, and gives them longer to come back.
 */
import { randomUUID } from "node:crypto";
import { afterAll, expect, test } from "vitest";
import { WebSocket } from "ws";

import { CourierClient, type Gap } from "../src/index.js";
import { Balancer, Processes, range, shortToken, until, type Node } from "./courier.js";

const CLIENTS = Number(process.env.COURIER_CLIENTS ?? 100);
const DRAIN_SECONDS = Math.ceil(CLIENTS * 0.03);
const CHANNELS = range(1, 5).map((number) => `backtest.rolling${number}`);
const PAUSE_MS = 20;
const SLICES = 10;
/** A timer and the time of day are not the same clock, and the second may be put right meanwhile. */
const CLOCKS_DIFFER_MS = 20;

const processes = new Processes();
const ends: (() => void)[] = [];
afterAll(async () => {
  for (const end of ends) end();
  await processes.end();
});

/** A node that leaves, and how long after its SIGTERM the slot was of each client that came back, in milliseconds. */
interface Restart {
  beganAt: number;
  backAfter: number[];
}

interface Page {
  client: CourierClient;
  titles: number[];
  gaps: Gap[];
  /** How many times it came back before its slot. */
  early: number;
}

/** A client that tells the last of the restarts when it comes back from it. */
function page(url: string, number: number, restarts: Restart[]): Page {
  const client = new CourierClient({
    url,
    channel: CHANNELS[number % CHANNELS.length]!,
    token: shortToken(`user${number}`, 600),
    WebSocket,
  });
  const all: Page = { client, titles: [], gaps: [], early: 0 };
  let left: Restart | undefined;
  let slot = 0;
  client.onMessage((event) => {
    if (event.type === "system.announcement") all.titles.push(Number(event.title));
  });
  client.onGap((gap) => all.gaps.push(gap));
  client.onState((state) => {
    if (state.status === "waiting" && state.reason.startsWith("Server shutting down")) {
      left = restarts.at(-1);
      slot = state.retryAt!;
    }
    if (state.status !== "connecting" || !left) return;
    // When it was to come back: a busy machine keeps clients that come one by one, and lets them go together.
    left.backAfter.push(slot - left.beganAt);
    if (Date.now() < slot - CLOCKS_DIFFER_MS) all.early++;
    left = undefined;
  });
  ends.push(() => client.disconnect());
  void client.connect();
  return all;
}

/** Publishes one announcement, again and again with the same key until a node has taken it. */
async function publish(url: string, channel: string, title: number): Promise<void> {
  const headers = {
    "Content-Type": "application/json",
    "X-Service-Name": "tests",
    "Idempotency-Key": randomUUID(),
  };
  const event = { type: "system.announcement", source: "tests", message: "m", severity: "info" };
  const body = JSON.stringify({ ...event, title: `${title}` });
  await until(async () => {
    const signal = AbortSignal.timeout(5_000);
    const answer = await fetch(`${url}/publish/${channel}`, { method: "POST", headers, body, signal });
    await answer.text();
    return answer.ok;
  });
}

/** How many were to come back in each slice of the window, which begins with the first, and after it. */
function slices({ backAfter }: Restart): number[] {
  const first = Math.min(...backAfter);
  const counts = Array<number>(SLICES + 1).fill(0);
  for (const ms of backAfter)
    counts[Math.min(Math.floor(((ms - first) * SLICES) / (DRAIN_SECONDS * 1_000)), SLICES)]!++;
  return counts;
}

function histogram(restart: Restart): string {
  const counts = slices(restart);
  const scale = Math.min(1, 50 / Math.max(...counts));
  const bars = counts.map((count, slice) => {
    const from = ((slice * DRAIN_SECONDS) / SLICES).toFixed(1).padStart(5);
    return `${from} s  ${"█".repeat(Math.ceil(count * scale))} ${count}`;
  });
  return [`${restart.backAfter.length} of ${CLIENTS} clients came back after`, ...bars].join("\n");
}

test(
  "two nodes are restarted, one after the other: clients come back one by one, and miss nothing",
  async () => {
    const variables = {
      REDIS_URL: await processes.redis(),
      DRAIN_SECONDS: `${DRAIN_SECONDS}`,
      RETURNS_A_SECOND: "1", // spread over all of the drain
    };
    const [first, second] = await Promise.all([processes.node(variables), processes.node(variables)]);
    const balancer = await Balancer.to(first, second);
    ends.push(() => balancer.end());
    const restarts: Restart[] = [];
    const pages = range(1, CLIENTS).map((number) => page(balancer.url, number, restarts));
    const areOpen = () => until(() => pages.every(({ client }) => client.state.status === "open"));
    await areOpen();

    let published = 0;
    const publishAll = () => {
      published++;
      return Promise.all(CHANNELS.map((channel) => publish(balancer.url, channel, published)));
    };
    const over = new AbortController();
    const publishing = (async () => {
      while (!over.signal.aborted) {
        await publishAll();
        await new Promise((done) => setTimeout(done, PAUSE_MS));
      }
    })();

    async function restart(leaving: Node, staying: Node): Promise<Node> {
      balancer.lead(staying);
      restarts.push({ beganAt: Date.now(), backAfter: [] });
      const [, successor] = await Promise.all([leaving.end("SIGTERM"), processes.node(variables)]);
      return successor;
    }
    await until(() => published > 10);
    const successor = await restart(first, second);
    const last = await restart(second, successor);
    balancer.lead(successor, last);
    await areOpen();
    over.abort();
    await publishing;
    await publishAll(); // who misses all others gets this one
    await until(() => pages.every(({ titles }) => titles.at(-1) === published));

    for (const { titles, gaps, early } of pages) {
      expect(titles).toEqual(range(1, published));
      expect(gaps).toEqual([]);
      expect(early).toBe(0);
    }
    console.log(restarts.map(histogram).join("\n\n"));
    for (const restart of restarts) {
      expect(restart.backAfter.length).toBeGreaterThan(CLIENTS / 3);
      expect(Math.max(...slices(restart))).toBeLessThanOrEqual(restart.backAfter.length / 4);
    }
  },
  120_000 + 4 * DRAIN_SECONDS * 1_000, // a hundred clients share a busy machine with what else runs
);
