/** Against real nodes, over real opened of `ws`. The tests run beside one another, since most of them wait. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { CourierClient, CourierConnection, type ClientOptions, type Gap, type State } from "../src/index.js";
import { Balancer, Processes, range, shortToken, token, until, type Node } from "./courier.js";

/** The most that a node may be told to take as one event. */
const LARGEST_EVENT = 16 * 1024 * 1024;
/** A timer and the time of day are not the same clock, and the second may be put right meanwhile. */
const CLOCKS_DIFFER_MS = 20;

const processes = new Processes();
const ends: (() => void)[] = [];
/** Three that share a Redis, and one that keeps its log in memory. Tests that end a node end the others of them. */
let node: Node, drained: Node, killed: Node, forgetful: Node;
let alices: string;

beforeAll(async () => {
  const shared = { REDIS_URL: await processes.redis(), DRAIN_SECONDS: "2", HEARTBEAT_SECONDS: "1" };
  [node, drained, killed, forgetful, alices] = await Promise.all([
    processes.node(shared),
    processes.node(shared),
    processes.node(shared),
    processes.node(),
    token("alice"),
  ]);
});
afterAll(async () => {
  for (const end of ends) end();
  await processes.end();
});

interface Reader {
  client: CourierClient;
  titles: number[];
  ids: string[];
  gaps: Gap[];
  states: State[];
  /** When each of its opened was opened. */
  opened: number[];
  /** The types of Courier's own messages. */
  told: string[];
  isOpen: () => Promise<void>;
}

function reader(options: Partial<ClientOptions> & { channel: string }): Reader {
  const opened: number[] = [];
  const told: string[] = [];
  class Watched extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols);
      opened.push(Date.now());
      this.on("message", (data: Buffer) => {
        const [, type] = /^\{"type":"(courier\.\w+)"/.exec(data.toString()) ?? [];
        if (type) told.push(type);
      });
    }
  }
  const given = options.getToken ? {} : { token: alices };
  const client = new CourierClient({ url: node.url, WebSocket: Watched, ...given, ...options });
  const all: Reader = {
    client,
    titles: [],
    ids: [],
    gaps: [],
    states: [],
    opened,
    told,
    isOpen: () => until(() => client.state.status === "open"),
  };
  client.onMessage((event) => {
    all.ids.push(event.id);
    if (event.type === "system.announcement") all.titles.push(Number(event.title));
  });
  client.onGap((gap) => all.gaps.push(gap));
  client.onState((state) => void all.states.push(state));
  ends.push(() => client.disconnect());
  void client.connect();
  return all;
}

const offsets = (ids: string[]) => ids.map((id) => Number(id.split("-")[1]));

describe.concurrent("a real node", () => {
  test("ten channels on one socket come once and in order while the socket is cut and channels come and go", async () => {
    const sockets: WebSocket[] = [];
    class Counted extends WebSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        sockets.push(this);
      }
    }
    const connection = new CourierConnection({ url: node.url, token: alices, WebSocket: Counted });
    ends.push(() => connection.close());
    const channels = range(1, 10).map((number) => `backtest.ten-${number}`);
    const ids = new Map<string, number[]>();
    const gaps: Gap[] = [];
    const follow = (channel: string, since?: string) => {
      const subscription = connection.subscribe(channel, { since, onGap: (gap) => gaps.push(gap) });
      const mine = ids.get(channel) ?? [];
      ids.set(channel, mine);
      subscription.onMessage(({ id }) => mine.push(offsets([id])[0]!));
      return subscription;
    };
    const all = channels.map((channel) => follow(channel));
    await until(() => all.every(({ state }) => state.status === "open"));
    for (const turn of range(0, 4)) {
      const published = Promise.all(
        channels.map((channel) => node.publish(channel, range(turn * 20 + 1, turn * 20 + 20))),
      );
      if (turn === 1) sockets.at(-1)!.terminate();
      if (turn === 2) {
        const { position } = all[0]!;
        all[0]!.unsubscribe();
        all[0] = follow(channels[0]!, position);
      }
      await published;
    }
    await until(() => [...ids.values()].every((mine) => mine.length >= 100));
    for (const mine of ids.values()) expect(mine).toEqual(range(1, 100));
    expect(gaps).toEqual([]);
    expect(sockets).toHaveLength(2);
  });

  test("a thousand events come once and in order, and the position is the last one's", async () => {
    const { client, titles, ids, gaps, isOpen } = reader({ channel: "backtest.order" });
    await isOpen();
    for (const first of range(0, 9))
      await node.publish("backtest.order", range(first * 100 + 1, first * 100 + 100));
    await until(() => titles.length >= 1_000);
    expect(titles).toEqual(range(1, 1_000));
    expect(offsets(ids)).toEqual(range(1, 1_000));
    expect(client.position).toBe(ids.at(-1));
    expect(gaps).toEqual([]);
  });

  test("what was published while it was away comes first when it is back", async () => {
    const { client, titles, gaps, isOpen } = reader({ channel: "backtest.away" });
    await isOpen();
    await node.publish("backtest.away", range(1, 3));
    await until(() => titles.length === 3);
    client.disconnect();
    await node.publish("backtest.away", range(4, 9));
    void client.connect();
    await isOpen();
    await node.publish("backtest.away", range(10, 12));
    await until(() => titles.length >= 12);
    expect(titles).toEqual(range(1, 12));
    expect(gaps).toEqual([]);
    const later = reader({ channel: "backtest.away", since: client.position! });
    await later.isOpen();
    await node.publish("backtest.away", [13]);
    await until(() => later.titles.length > 0);
    expect(later.titles).toEqual([13]);
  });

  test("a channel on which nothing had come: what comes while it is away is not lost", async () => {
    const balancer = await Balancer.to(node);
    ends.push(() => balancer.end());
    const { client, titles, gaps, isOpen } = reader({ channel: "backtest.quiet", url: balancer.url });
    await isOpen();
    const joined = client.position;
    expect(joined).toMatch(/^[a-z0-9]{8}-\d+$/);
    balancer.lead();
    balancer.cut();
    await until(() => client.state.status !== "open");
    await node.publish("backtest.quiet", [1, 2]);
    expect(client.position).toBe(joined);
    balancer.lead(node);
    await until(() => titles.length >= 2);
    expect(titles).toEqual([1, 2]);
    expect(gaps).toEqual([]);
  });

  test.each(["auth0|5f7c8ec7", "urn:acme:7", "~a@b+c"])(
    "the channel of a user whom an identity provider calls %s",
    async (user) => {
      const channel = `user.${user}`;
      const own = { channel, token: shortToken(user, 3_600) };
      const { client, titles, isOpen } = reader(own);
      await isOpen();
      await node.publish(channel, [1]);
      await until(() => titles.length > 0);
      client.disconnect();
      await node.publish(channel, [2, 3]);
      const later = reader({ ...own, since: client.position! });
      await until(() => later.titles.length >= 2);
      expect([titles, later.titles, later.gaps]).toEqual([[1], [2, 3], []]);
    },
  );

  test("an event as large as a node may take", async () => {
    const large = await processes.node({ MAX_EVENT_BYTES: `${LARGEST_EVENT}` });
    const sizes: number[] = [];
    const { client, isOpen } = reader({ channel: "global", url: large.url });
    client.onMessage((event) => {
      if (event.type === "system.announcement") sizes.push(event.message.length);
    });
    await isOpen();
    const length = LARGEST_EVENT - 200;
    await large.announce("global", "m".repeat(length));
    await until(() => sizes.length > 0);
    expect(sizes).toEqual([length]);
  });

  test.each([
    ["user.bob", {}, "Unauthorized access to channel"],
    ["nonsense", {}, "Unknown channel"],
    ["global", { since: "yesterday" }, "Unreadable since"],
    ["global", { token: "no.to.ken" }, "Invalid token"],
  ])("%s with %j is refused: %s", async (channel, options, reason) => {
    const { client, opened } = reader({ channel, ...options });
    await until(() => client.state.status === "refused");
    expect(client.state).toEqual({ status: "refused", code: 1008, reason });
    expect(opened).toHaveLength(1);
  });

  test("a node that was killed, and one after it that knows nothing of its log: the gap is told", async () => {
    const balancer = await Balancer.to(forgetful);
    ends.push(() => balancer.end());
    const { titles, gaps, isOpen } = reader({ channel: "backtest.forgotten", url: balancer.url });
    await isOpen();
    await forgetful.publish("backtest.forgotten", range(1, 3));
    await until(() => titles.length === 3);
    balancer.lead(node);
    await forgetful.end("SIGKILL");
    await until(() => gaps.length > 0);
    await isOpen();
    await node.publish("backtest.forgotten", range(4, 6));
    await until(() => titles.length >= 6);
    expect(titles).toEqual(range(1, 6));
    expect(gaps.map((gap) => gap.reason)).toEqual(["unknown_position"]);
  });

  test("nodes that share a Redis, one drained and one killed: it comes back and misses nothing", async () => {
    const channel = "backtest.rolling";
    const balancer = await Balancer.to(drained);
    ends.push(() => balancer.end());
    const { titles, gaps, states, told, opened, isOpen } = reader({ channel, url: balancer.url });
    await isOpen();
    await drained.publish(channel, range(1, 100));
    balancer.lead(killed);
    const before = Date.now();
    await drained.end("SIGTERM");
    await until(() => opened.length === 2);
    expect(told).toContain("courier.drain");
    const waiting = states.find((state) => state.status === "waiting");
    expect(waiting).toMatchObject({ reason: "Server shutting down for maintenance" });
    expect(waiting!.retryAt).toBeGreaterThan(before);
    expect(opened[1]).toBeGreaterThanOrEqual(waiting!.retryAt! - CLOCKS_DIFFER_MS);
    await node.publish(channel, range(101, 200));
    await until(() => titles.length >= 200);

    balancer.lead(node);
    await killed.end("SIGKILL");
    await node.publish(channel, range(201, 300));
    await until(() => titles.length >= 300);
    expect(titles).toEqual(range(1, 300));
    expect(gaps).toEqual([]);
    expect(opened).toHaveLength(3);
  });

  test("a connection that is dead without a word is noticed, and nothing is missed", async () => {
    const balancer = await Balancer.to(node);
    ends.push(() => balancer.end());
    const { titles, gaps, states, isOpen } = reader({ channel: "backtest.dead", url: balancer.url });
    await isOpen();
    balancer.freeze();
    await node.publish("backtest.dead", range(1, 3));
    await until(() => titles.length >= 3);
    expect(titles).toEqual(range(1, 3));
    expect(gaps).toEqual([]);
    expect(states).toContainEqual(expect.objectContaining({ reason: "No answer to a ping" }));
  });

  test("a token that ends is replaced on the same connection", async () => {
    const tokens = [shortToken("alice", 4), alices];
    const asked: (string | undefined)[] = [];
    const getToken = (stale?: string) => {
      asked.push(stale);
      return tokens.shift()!;
    };
    const [first] = tokens;
    const { told, opened } = reader({ channel: "user.alice", getToken });
    await until(() => told.includes("courier.refreshed"));
    expect(told).toEqual(["courier.joined", "courier.token_expiring", "courier.refreshed"]);
    expect(asked).toEqual([undefined, first]);
    expect(opened).toHaveLength(1);
  });

  test("a token that ends and cannot be replaced: the client says so, and stops", async () => {
    const { client, states, opened } = reader({ channel: "user.alice", token: shortToken("alice", 3) });
    await until(() => client.state.status === "refused");
    expect(client.state).toEqual({ status: "refused", code: 1008, reason: "Token expired" });
    expect(states.map((state) => state.status)).toEqual(["connecting", "open", "refused"]);
    expect(opened).toHaveLength(1);
  });

  test("a handler that is slow gets all, once and in order, over as many connections as it takes", async () => {
    const { client, titles, gaps, isOpen, opened } = reader({ channel: "backtest.slow" });
    client.onMessage((event) =>
      event.id.endsWith("7") ? new Promise((done) => setTimeout(done, 1)) : undefined,
    );
    await isOpen();
    for (const first of range(0, 4))
      await node.publish("backtest.slow", range(first * 500 + 1, first * 500 + 500));
    await until(() => titles.length >= 2_500);
    expect(titles).toEqual(range(1, 2_500));
    expect(gaps).toEqual([]);
    expect(opened.length).toBeGreaterThan(1);
  });

  test("a quiet connection is kept by the heartbeat", async () => {
    const { client, opened, isOpen } = reader({ channel: "global" });
    await isOpen();
    await new Promise((done) => setTimeout(done, 3_000)); // three of the node's heartbeats
    expect(client.state.status).toBe("open");
    expect(opened).toHaveLength(1);
  });
});
