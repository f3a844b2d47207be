/** Tabs that share a socket. What becomes of them in a real browser is in the repository's tests/browser. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { CourierConnection, type SharedOptions, type Subscription } from "../src/index.js";
import { aBrowser, FakeBroadcast } from "./fake-browser.js";
import { at, CHANNEL, FakeServer } from "./fake-server.js";

let server: FakeServer;
let tabs: CourierConnection[];
let errors: unknown[];

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockRestore();
  aBrowser();
  server = new FakeServer();
  tabs = [];
  errors = [];
});
afterEach(() => {
  tabs.forEach((tab) => tab.close());
  vi.unstubAllGlobals();
  vi.useRealTimers();
  expect(errors).toEqual([]);
});

const pass = async (ms: number) => {
  await vi.dynamicImportSettled();
  await vi.advanceTimersByTimeAsync(ms);
};

function aTab(options: Partial<SharedOptions> = {}): CourierConnection {
  const tab = new CourierConnection({
    url: "https://courier.example",
    WebSocket: server.WebSocket,
    onError: (error) => errors.push(error),
    ...("getToken" in options ? {} : { token: "t1" }),
    shareAcrossTabs: "alice",
    ...options,
  });
  tabs.push(tab);
  return tab;
}

interface Read {
  tab: CourierConnection;
  subscription: Subscription;
  got: (number | string)[];
}

/** A tab that reads a channel. */
async function reads(since?: string, options: Partial<SharedOptions> = {}): Promise<Read> {
  const tab = aTab(options);
  const got: (number | string)[] = [];
  const subscription = tab.subscribe(CHANNEL, { since, onGap: ({ reason }) => void got.push(reason) });
  subscription.onMessage((event) => got.push(Number(event.id.split("-")[1])));
  await pass(0);
  return { tab, subscription, got };
}

/** Tabs that read the channel from its next event on; the first one leads. */
async function open(count: number): Promise<Read[]> {
  const all = [await reads()];
  server.socket.join();
  while (all.length < count) all.push(await reads());
  await pass(0);
  return all;
}

async function events(...offsets: number[]): Promise<void> {
  for (const offset of offsets) server.socket.event(offset);
  await pass(0);
}

async function answered(message: { position?: string; recovered?: boolean } = {}): Promise<void> {
  server.socket.answer(message);
  await pass(0);
}

const asked = () => server.socket.subscribes.map(({ since }) => since);
const statuses = (all: Read[]) => all.map(({ subscription }) => subscription.state.status);
const gotten = (all: Read[]) => all.map(({ got }) => got);

describe("tabs of one key", () => {
  test("share a socket, and a subscription a channel", async () => {
    const all = await open(3);
    await events(1, 2);
    expect(server.sockets).toHaveLength(1);
    expect(asked()).toEqual([undefined]);
    expect(statuses(all)).toEqual(["open", "open", "open"]);
    expect(gotten(all)).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
    ]);
    expect(all.map(({ subscription }) => subscription.position)).toEqual([at(2), at(2), at(2)]);
  });

  test("one that comes later begins with the next event", async () => {
    const [first] = await open(1);
    await events(1);
    const second = await reads();
    await events(2);
    expect([first!.got, second.got]).toEqual([[1, 2], [2]]);
  });

  test("keep the subscription while one of them has it, and the socket while one has any", async () => {
    const [first, second] = await open(2);
    second!.subscription.unsubscribe();
    await pass(0);
    expect(server.socket.unsubscribes).toEqual([]);
    first!.tab.subscribe("global");
    await pass(0);
    first!.subscription.unsubscribe();
    await pass(0);
    expect(server.socket.unsubscribes).toHaveLength(1);
    expect(server.socket.left).toBe(false);
    first!.tab.close();
    await pass(0);
    expect(server.socket.left).toBe(true);
    await pass(60_000);
    expect(server.sockets).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("another key, or another server, is another socket", async () => {
    await open(1);
    await reads(undefined, { shareAcrossTabs: "bob" });
    await reads(undefined, { url: "https://other.example" });
    expect(server.sockets).toHaveLength(3);
  });

  test.each(["locks", "channels"])("without %s each has a socket of its own", async (what) => {
    if (what === "locks") vi.stubGlobal("navigator", {});
    else vi.stubGlobal("BroadcastChannel", undefined);
    await reads();
    await reads();
    expect(server.sockets).toHaveLength(2);
  });

  test("where locks are not allowed, each has a socket of its own", async () => {
    const request = () => Promise.reject(new DOMException("Opaque origin", "SecurityError"));
    vi.stubGlobal("navigator", { locks: { request } });
    const all = [await reads(), await reads()];
    server.sockets.forEach((socket) => socket.join());
    await events(1);
    expect(server.sockets).toHaveLength(2);
    expect(all[1]!.got).toEqual([1]);
  });

  test("a key that is no text is refused", () => {
    expect(() => aTab({ shareAcrossTabs: 7 as unknown as string })).toThrow(
      /^`shareAcrossTabs` must be a string; got number/,
    );
  });

  test("a tab that is closed before it could share opens nothing", async () => {
    const tab = aTab();
    tab.subscribe(CHANNEL);
    await Promise.resolve();
    tab.close();
    await pass(1_000);
    expect(server.sockets).toHaveLength(0);
  });
});

describe("another position", () => {
  test("older events come for the tab that wants them, and twice for nobody", async () => {
    const [first] = await open(1);
    await events(1, 2, 3);
    const second = await reads(at(1));
    expect(second.subscription.state.status).toBe("connecting");
    await events(4); // of the first subscription, on its way
    await answered();
    await events(2, 3, 4, 5);
    expect(asked()).toEqual([undefined, at(1)]);
    expect([first!.got, second.got]).toEqual([
      [1, 2, 3, 4, 5],
      [2, 3, 4, 5],
    ]);
    expect(first!.subscription.state.status).toBe("open");
  });

  test("a tab that comes during that begins with the next event", async () => {
    await open(1);
    await events(1, 2, 3);
    await reads(at(0));
    await answered();
    await events(1);
    const third = await reads();
    await events(2, 3, 4);
    expect(third.got).toEqual([4]);
  });

  test("a connection that breaks during that: every tab has everything once", async () => {
    const [first] = await open(1);
    await events(1, 2, 3);
    const second = await reads(at(0));
    await answered();
    await events(1);
    server.socket.end();
    await vi.advanceTimersByTimeAsync(500);
    server.socket.join();
    await answered();
    await answered();
    await events(...(asked().at(-1) === at(1) ? [2, 3] : []), 4);
    expect([first!.got, second.got]).toEqual([
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ]);
  });

  test("the gap of one is not that of the others, and they miss nothing for it", async () => {
    const [first] = await open(1);
    await events(1, 2, 3);
    const second = await reads(at(9, "oldepoch"));
    await answered({ position: at(5), recovered: false });
    server.socket.gap(at(9, "oldepoch"), at(5), "unknown_position");
    await events(6); // comes again
    await answered();
    await events(4, 5, 6, 7);
    expect(asked()).toEqual([undefined, at(9, "oldepoch"), at(3)]);
    expect([first!.got, second.got]).toEqual([
      [1, 2, 3, 4, 5, 6, 7],
      ["unknown_position", 6, 7],
    ]);
  });

  test("where the log has dropped what comes next for all, the gap is for all", async () => {
    const [first] = await open(1);
    await events(1, 2, 3);
    const second = await reads(at(0));
    await answered();
    await events(1);
    const third = await reads(at(0));
    await answered({ position: at(6), recovered: false });
    server.socket.gap(at(0), at(6));
    await answered({ position: at(6), recovered: false });
    server.socket.gap(at(1), at(6));
    await events(7);
    expect(asked()).toEqual([undefined, at(0), at(0), at(1)]);
    expect([first!.got, second.got, third.got]).toEqual([
      [1, 2, 3, "hole", 7],
      [1, "expired", 7],
      ["expired", 7],
    ]);
  });

  test("a `since` that cannot be read is refused, and the others go on", async () => {
    const [first] = await open(1);
    await events(1);
    const second = await reads("yesterday");
    server.socket.endOne(CHANNEL, 1008, "Unreadable since");
    await answered();
    await events(2);
    expect(second.subscription.state).toMatchObject({ status: "refused", reason: "Unreadable since" });
    expect([first!.got, second.got]).toEqual([[1, 2], []]);
  });
});

describe("what Courier says", () => {
  test("of a channel is for all tabs: each comes back by itself", async () => {
    const all = await open(2);
    server.socket.endOne(CHANNEL, 1013, "Try again later");
    await pass(0);
    expect(statuses(all)).toEqual(["waiting", "waiting"]);
    await vi.advanceTimersByTimeAsync(500);
    await answered();
    await events(1);
    expect(statuses(all)).toEqual(["open", "open"]);
    expect(gotten(all)).toEqual([[1], [1]]);
  });

  test("a gap is told in every tab", async () => {
    const all = await open(2);
    await events(1);
    server.socket.gap(at(1), at(4), "overrun");
    await events(5);
    expect(gotten(all)).toEqual([
      [1, "overrun", 5],
      [1, "overrun", 5],
    ]);
  });

  test("a token that is refused is the leader's: the next tab tries its own", async () => {
    const all = await open(2);
    server.socket.end(1008, "Token expired"); // there is no `getToken`
    await pass(0);
    expect(statuses(all)).toEqual(["refused", "connecting"]);
    expect(server.sockets).toHaveLength(2);
    server.socket.join();
    await events(1);
    expect(all[1]!.got).toEqual([1]);
    all[0]!.subscription.retry();
    await pass(0);
    await answered();
    await events(1, 2);
    expect(gotten(all)).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(statuses(all)).toEqual(["open", "open"]);
    expect(server.sockets).toHaveLength(2);
  });
});

describe("the leader", () => {
  test("that goes is followed by another, at the positions reached", async () => {
    const all = await open(3);
    await events(1, 2);
    all[0]!.tab.close();
    await pass(0);
    expect(server.sockets).toHaveLength(2);
    server.socket.join();
    await pass(0);
    expect(asked()).toEqual([at(2)]);
    await events(3);
    expect(gotten(all)).toEqual([
      [1, 2],
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });

  test("that gives no answer is followed by another within 3 s; when it runs again, it leads no more", async () => {
    const all = await open(3);
    await events(1);
    const [air] = FakeBroadcast.all;
    air!.frozen = true;
    await vi.advanceTimersByTimeAsync(2_500);
    expect(server.sockets).toHaveLength(2);
    server.socket.join();
    await events(2);
    air!.thaw();
    await pass(5_000);
    await answered();
    await events(2, 3);
    expect(server.sockets.map(({ left }) => left)).toEqual([true, false]);
    expect(gotten(all)).toEqual([
      [1, 2, 3],
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });

  test("that is robbed and does not know it yet troubles nobody", async () => {
    const all = await open(2);
    FakeBroadcast.all[0]!.frozen = true;
    await vi.advanceTimersByTimeAsync(2_300);
    expect(server.sockets).toHaveLength(2);
    server.socket.join();
    await vi.advanceTimersByTimeAsync(0);
    server.sockets[0]!.end(); // what it says of that is not what the others are at
    await vi.advanceTimersByTimeAsync(100);
    expect(statuses(all)[1]).toBe("open");
    FakeBroadcast.all[0]!.thaw();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(server.sockets[1]!.left).toBe(false);
    expect(statuses(all)).toEqual(["open", "open"]);
  });

  test("two that rob it at once: the last one leads, and is not robbed in turn", async () => {
    const all = await open(3);
    vi.spyOn(Math, "random").mockReturnValueOnce(0.9).mockReturnValueOnce(0.1);
    const deaf = [FakeBroadcast.all[0]!, FakeBroadcast.all[2]!];
    deaf.forEach((air) => (air.frozen = true));
    await vi.advanceTimersByTimeAsync(2_300);
    expect(server.sockets).toHaveLength(3);
    deaf.forEach((air) => air.thaw());
    server.socket.join();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(server.sockets.map(({ left }) => left)).toEqual([true, true, false]);
    expect(statuses(all)).toEqual(["open", "open", "open"]);
  });

  test("that answers keeps the lead, however long nothing comes", async () => {
    const all = await open(3);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(server.sockets).toHaveLength(1);
    expect(statuses(all)).toEqual(["open", "open", "open"]);
  });

  test("that is kept for a way back leaves at once, and follows when it is shown again", async () => {
    const page = new EventTarget();
    vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
    vi.stubGlobal("removeEventListener", page.removeEventListener.bind(page));
    const [first] = await open(1);
    vi.stubGlobal("addEventListener", undefined);
    const [second] = [await reads()];
    await events(1);
    page.dispatchEvent(new Event("pagehide"));
    await pass(0);
    expect(first!.subscription.state.status).toBe("waiting");
    expect(server.sockets).toHaveLength(2);
    server.socket.join();
    await events(2);
    page.dispatchEvent(new Event("pageshow"));
    await pass(0);
    await answered();
    await events(2, 3);
    expect([first!.got, second.got]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });
});
