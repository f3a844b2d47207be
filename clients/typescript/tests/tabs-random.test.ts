/** Tabs that come, go, freeze and read slowly, at random: each gets every event after its start once, in order. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { CourierConnection, type AnyEvent, type Subscription } from "../src/index.js";
import { aBrowser, FakeBroadcast } from "./fake-browser.js";
import { announcement, at, CHANNEL, FakeSocket } from "./fake-server.js";

const RUNS = Number(process.env.COURIER_TAB_RUNS ?? 25);
const STEPS = 60;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** Numbers that a seed decides: mulberry32. */
function chance(seed: number): (below: number) => number {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** A node with one channel, whose log begins after `kept`. */
class FakeNode {
  last = 0;
  kept = 0;
  readonly sockets: FakeSocket[] = [];
  readonly WebSocket: new (url: string, protocols: string[]) => FakeSocket;
  readonly #cursors = new Map<FakeSocket, { ref: number; offset: number }>();
  readonly #greeted = new Set<FakeSocket>();

  constructor() {
    const { sockets } = this;
    this.WebSocket = class extends FakeSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        sockets.push(this);
      }
    };
  }

  get open(): FakeSocket[] {
    return this.sockets.filter((socket) => !socket.left && !this.#gone.has(socket));
  }

  readonly #gone = new Set<FakeSocket>();

  break(socket: FakeSocket): void {
    this.#gone.add(socket);
    socket.end();
  }

  /** Reads what its subscribers have said, answers, and sends at most so many events to each. */
  turn(most: number): void {
    for (const socket of this.open) {
      if (!this.#greeted.has(socket)) {
        this.#greeted.add(socket);
        const connection_id = "9f2c4e0d1b7a6358";
        socket.say({ type: "courier.connected", connection_id, user_id: "alice", heartbeat_seconds: 3_600 });
      }
      for (const text of socket.sent.splice(0)) this.#hear(socket, text);
      const cursor = this.#cursors.get(socket);
      for (let sent = 0; cursor && sent < most && cursor.offset < this.last; sent++) {
        if (this.#cursors.get(socket) === cursor) socket.say(announcement(++cursor.offset));
      }
    }
  }

  #hear(socket: FakeSocket, text: string): void {
    if (text === "ping") socket.say("pong");
    if (!text.startsWith("{")) return;
    const said = JSON.parse(text) as { type: string; ref: number; since?: string };
    const cursor = this.#cursors.get(socket);
    if (said.type === "courier.unsubscribe") {
      if (cursor?.ref !== said.ref) return;
      this.#cursors.delete(socket);
      socket.say({
        type: "courier.ended",
        ref: said.ref,
        channel: CHANNEL,
        code: 1000,
        reason: "Unsubscribed",
      });
      return;
    }
    expect(cursor, "a second subscription to the channel").toBeUndefined();
    const asked = said.since === undefined ? this.last : Number(said.since.split("-")[1]);
    const offset = Math.max(asked, this.kept);
    const answer = { position: at(offset), recovered: said.since !== undefined && offset === asked };
    this.#cursors.set(socket, { ref: said.ref, offset });
    socket.say({ type: "courier.subscribed", ref: said.ref, channel: CHANNEL, replayed: 0, ...answer });
    if (offset !== asked) socket.gap(at(asked), at(offset));
  }
}

interface Tab {
  connection: CourierConnection;
  subscription: Subscription;
  /** The offset behind which it began, and what it got: an event's offset, or where a gap ends. */
  start: number;
  got: { offset: number; gap: boolean }[];
  air: FakeBroadcast | undefined;
  closed: boolean;
}

class World {
  readonly node = new FakeNode();
  readonly tabs: Tab[] = [];
  readonly errors: unknown[] = [];
  readonly random: (below: number) => number;

  constructor(seed: number) {
    this.random = chance(seed);
  }

  get here(): Tab[] {
    return this.tabs.filter(({ closed }) => !closed);
  }

  async pass(ms: number): Promise<void> {
    await vi.dynamicImportSettled();
    await vi.advanceTimersByTimeAsync(ms);
  }

  async open(): Promise<void> {
    const { random, node } = this;
    const since = random(2) ? undefined : at(random(node.last + 1));
    const connection = new CourierConnection({
      url: "https://courier.example",
      token: "t1",
      WebSocket: node.WebSocket,
      onError: (error) => this.errors.push(error),
      shareAcrossTabs: "alice",
    });
    const before = FakeBroadcast.all.length;
    const subscription = connection.subscribe(CHANNEL, { since });
    const tab: Tab = { connection, subscription, start: -1, got: [], air: undefined, closed: false };
    this.tabs.push(tab);
    const slow = random(4) === 0;
    subscription.onMessage((event: AnyEvent) => {
      tab.got.push({ offset: Number(event.id.split("-")[1]), gap: false });
      return slow ? new Promise((done) => setTimeout(done, 50)) : undefined;
    });
    subscription.onGap(
      (gap) => void tab.got.push({ offset: Number(gap.resumed_from.split("-")[1]), gap: true }),
    );
    if (since !== undefined) tab.start = Number(since.split("-")[1]);
    subscription.onState(({ status }) => {
      if (status === "open" && tab.start < 0) tab.start = Number(subscription.position!.split("-")[1]);
    });
    await this.pass(0);
    tab.air = FakeBroadcast.all[before];
  }

  async step(): Promise<void> {
    const { random, node, here } = this;
    const tab = here[random(Math.max(here.length, 1))];
    switch (random(12)) {
      case 0:
        if (here.length < 5) await this.open();
        break;
      case 1:
        if (tab && random(2)) {
          tab.closed = true;
          tab.connection.close();
        }
        break;
      case 2: {
        const [socket] = node.open;
        if (socket) node.break(socket);
        break;
      }
      case 3:
        if (tab?.air) tab.air.frozen = true;
        break;
      case 4:
        tab?.air?.thaw();
        break;
      case 5:
        await this.pass(random(4_000));
        break;
      case 6:
        if (random(3) === 0) node.kept = Math.max(node.kept, random(node.last + 1));
        break;
      case 7:
      case 8:
        node.last += random(6);
        break;
      default:
        node.turn(random(4));
        await this.pass(random(3));
    }
  }

  async rest(): Promise<void> {
    for (const { air } of this.here) air?.thaw();
    this.node.last += 1; // what was missed at the end shows in the next event
    for (let turn = 0; turn < 60; turn++) {
      this.node.turn(1_000);
      await this.pass(1_000);
    }
  }
}

test(`${RUNS} runs of ${STEPS} steps`, { timeout: 1_000_000 }, async () => {
  for (let seed = 1; seed <= RUNS; seed++) {
    aBrowser();
    const world = new World(seed);
    for (let step = 0; step < STEPS; step++) await world.step();
    await world.rest();
    for (const [number, { start, got, closed, subscription }] of world.tabs.entries()) {
      const name = `seed ${seed}, tab ${number}`;
      let seen = start;
      for (const { offset, gap } of got) {
        if (gap) expect(offset, `${name}: a gap that goes back`).toBeGreaterThan(seen);
        else expect(offset, `${name}: ${JSON.stringify(got)} from ${start}`).toBe(seen + 1);
        seen = offset;
      }
      if (closed) continue;
      expect(subscription.state.status, name).toBe("open");
      expect(seen, `${name} has everything`).toBe(world.node.last);
    }
    expect(world.node.open.length, `seed ${seed}: sockets`).toBe(world.here.length > 0 ? 1 : 0);
    expect(world.errors).toEqual([]);
    for (const { connection } of world.tabs) connection.close();
    await world.pass(0);
    expect(vi.getTimerCount(), `seed ${seed}: timers`).toBeLessThanOrEqual(world.node.sockets.length);
    vi.clearAllTimers();
  }
});
