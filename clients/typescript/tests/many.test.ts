import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { CourierConnection, type ConnectionOptions, type State, type Subscription } from "../src/index.js";
import { at, CHANNEL, FakeServer } from "./fake-server.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const moment = () => vi.advanceTimersByTimeAsync(0);

function aConnection(options: Partial<ConnectionOptions> = {}) {
  const server = new FakeServer();
  const errors: unknown[] = [];
  const connection = new CourierConnection({
    url: "https://courier.example",
    WebSocket: server.WebSocket,
    onError: (error) => errors.push(error),
    ...("getToken" in options ? {} : { token: "t1" }),
    ...options,
  });
  return { server, connection, errors };
}

/** The offsets of the events and the reasons of the gaps that a subscription gets, as they come. */
function got(subscription: Subscription): (number | string)[] {
  const found: (number | string)[] = [];
  subscription.onMessage((event) => found.push(Number(event.id.split("-")[1])));
  subscription.onGap((gap) => found.push(gap.reason));
  return found;
}

function statuses(subscription: Subscription): State["status"][] {
  const found: State["status"][] = [];
  subscription.onState(({ status }) => found.push(status));
  return found;
}

describe("the socket", () => {
  test("is one for all channels, and there is none while nothing is subscribed", async () => {
    const { server, connection } = aConnection();
    expect(connection.state.status).toBe("idle");
    await moment();
    expect(server.sockets).toHaveLength(0);
    const first = connection.subscribe(CHANNEL);
    const second = connection.subscribe("global", { since: at(7) });
    await moment();
    expect(server.sockets).toHaveLength(1);
    expect(server.socket.url.pathname).toBe("/ws");
    server.socket.join();
    expect(server.socket.subscribes).toEqual([
      { type: "courier.subscribe", ref: 1, channel: CHANNEL },
      { type: "courier.subscribe", ref: 2, channel: "global", since: at(7) },
    ]);
    expect([first.state.status, second.state.status]).toEqual(["open", "open"]);
    expect([first.position, second.position]).toEqual([at(0), at(7)]);
    first.unsubscribe();
    await moment();
    expect(server.socket.unsubscribes).toEqual([{ type: "courier.unsubscribe", ref: 1 }]);
    expect(server.socket.left).toBe(false);
    second.unsubscribe();
    await moment();
    expect(server.socket.left).toBe(true);
    expect(connection.state.status).toBe("idle");
  });

  test("is not opened for what goes in the same moment", async () => {
    const { server, connection } = aConnection();
    connection.subscribe(CHANNEL).unsubscribe();
    await moment();
    expect(server.sockets).toHaveLength(0);
  });

  test("comes back, and each channel goes on where it was", async () => {
    const { server, connection } = aConnection();
    const first = got(connection.subscribe(CHANNEL));
    const second = got(connection.subscribe("global"));
    await moment();
    server.socket.join();
    server.socket.event(1);
    server.socket.event(1, undefined, "global");
    server.socket.event(2, undefined, "global");
    server.socket.end();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(server.sockets).toHaveLength(2);
    server.socket.join();
    expect(server.socket.subscribes.map(({ channel, since }) => [channel, since])).toEqual([
      [CHANNEL, at(1)],
      ["global", at(2)],
    ]);
    server.socket.event(2);
    server.socket.event(2); // twice
    server.socket.event(3, undefined, "global");
    expect(first).toEqual([1, 2]);
    expect(second).toEqual([1, 2, 3]);
  });

  test("that is refused refuses all, and a new subscription tries again", async () => {
    const { server, connection } = aConnection();
    const first = connection.subscribe(CHANNEL);
    await moment();
    server.socket.end(1008, "Origin not allowed");
    expect(first.state).toEqual({ status: "refused", code: 1008, reason: "Origin not allowed" });
    connection.subscribe("global");
    await moment();
    server.socket.join();
    expect(server.sockets).toHaveLength(2);
    expect(first.state.status).toBe("open");
  });

  test("takes one new token for all its channels", async () => {
    const getToken = vi.fn((stale?: string) => (stale ? "t2" : "t1"));
    const { server, connection } = aConnection({ getToken });
    connection.subscribe(CHANNEL);
    connection.subscribe("global");
    await moment();
    server.socket.join();
    server.socket.say({ type: "courier.token_expiring", seconds_left: 60 });
    await moment();
    expect(server.socket.said("courier.refresh")).toEqual([{ type: "courier.refresh", token: "t2" }]);
  });

  test("is left at the end of all", async () => {
    const { server, connection } = aConnection();
    const subscription = connection.subscribe(CHANNEL);
    await moment();
    server.socket.join();
    connection.close();
    expect(server.socket.left).toBe(true);
    expect(subscription.state.status).toBe("closed");
  });
});

describe("a subscription", () => {
  test("that comes and goes within a moment is subscribed once", async () => {
    const { server, connection } = aConnection();
    for (let turn = 0; turn < 5; turn++) connection.subscribe(CHANNEL).unsubscribe();
    let last = connection.subscribe(CHANNEL);
    await moment();
    server.socket.join();
    for (let turn = 0; turn < 5; turn++) {
      last.unsubscribe();
      last = connection.subscribe(CHANNEL);
    }
    const events = got(last);
    await moment();
    expect(last.state.status).toBe("open");
    server.socket.event(1);
    expect(events).toEqual([1]);
    expect(server.socket.subscribes).toHaveLength(1);
    expect(server.socket.unsubscribes).toHaveLength(0);
  });

  test("that comes and goes before Courier has answered is subscribed once", async () => {
    const { server, connection } = aConnection();
    connection.subscribe("global");
    await moment();
    server.socket.join();
    connection.subscribe(CHANNEL).unsubscribe();
    await moment();
    expect(server.socket.subscribes).toHaveLength(1);
    const first = connection.subscribe(CHANNEL);
    await moment();
    first.unsubscribe();
    const second = connection.subscribe(CHANNEL);
    const events = got(second);
    await moment();
    server.socket.answer();
    server.socket.event(1);
    expect(events).toEqual([1]);
    expect(server.socket.subscribes).toHaveLength(2);
    expect(server.socket.unsubscribes).toHaveLength(0);
  });

  test("from another place is another one, and gets nothing of the one before", async () => {
    const { server, connection } = aConnection();
    const first = connection.subscribe(CHANNEL);
    await moment();
    server.socket.join();
    first.unsubscribe();
    const events = got(connection.subscribe(CHANNEL, { since: at(3) }));
    await moment();
    server.socket.event(9); // of the first one
    server.socket.answer({ position: at(3), recovered: true });
    server.socket.event(4);
    expect(server.socket.unsubscribes).toEqual([{ type: "courier.unsubscribe", ref: 1 }]);
    expect(events).toEqual([4]);
  });

  test("loses nothing that comes between its end and the next one", async () => {
    const { server, connection } = aConnection();
    const first = connection.subscribe(CHANNEL);
    await moment();
    server.socket.join();
    first.unsubscribe();
    server.socket.event(1);
    const events = got(connection.subscribe(CHANNEL, { since: at(0) }));
    await moment();
    server.socket.answer();
    server.socket.event(1);
    expect(events).toEqual([1]);
  });

  test("twice of one channel is an error", () => {
    const { connection } = aConnection();
    connection.subscribe(CHANNEL);
    expect(() => connection.subscribe(CHANNEL)).toThrow("user.alice is subscribed already");
  });

  test("that Courier refuses is refused alone, until it is tried again", async () => {
    const { server, connection } = aConnection();
    const mine = connection.subscribe(CHANNEL);
    const theirs = connection.subscribe("user.bob");
    await moment();
    server.socket.join();
    server.socket.endOne("user.bob", 1008, "Unauthorized access to channel");
    expect([mine.state.status, theirs.state.status]).toEqual(["open", "refused"]);
    server.socket.end();
    await vi.advanceTimersByTimeAsync(1_000);
    server.socket.join();
    expect(server.socket.subscribes.map(({ channel }) => channel)).toEqual([CHANNEL]);
    expect(theirs.state.status).toBe("refused");
    theirs.retry();
    await moment();
    server.socket.answer();
    expect(theirs.state.status).toBe("open");
  });

  test("that Courier ends for now comes back behind what it has", async () => {
    const { server, connection } = aConnection();
    const subscription = connection.subscribe(CHANNEL);
    const seen = statuses(subscription);
    const events = got(subscription);
    await moment();
    server.socket.join();
    server.socket.event(1);
    server.socket.endOne(CHANNEL, 4008, "Too slow");
    expect(subscription.state).toMatchObject({ status: "waiting", reason: "Too slow" });
    await vi.advanceTimersByTimeAsync(1_000);
    expect(server.socket.subscribes.at(-1)).toMatchObject({ ref: 2, since: at(1) });
    server.socket.answer({ position: at(4), recovered: false });
    server.socket.gap(at(1), at(4));
    server.socket.event(5);
    expect(events).toEqual([1, "expired", 5]);
    expect(seen).toEqual(["open", "waiting", "connecting", "open"]);
    expect(server.sockets).toHaveLength(1);
  });

  test("whose handler throws harms neither its channel nor another", async () => {
    const { server, connection, errors } = aConnection();
    const first = connection.subscribe(CHANNEL);
    first.onMessage(() => {
      throw new Error("mine");
    });
    const [mine, theirs] = [got(first), got(connection.subscribe("global"))];
    await moment();
    server.socket.join();
    for (const channel of [CHANNEL, "global"]) server.socket.event(1, undefined, channel);
    expect([mine, theirs]).toEqual([[1], [1]]);
    expect(first.position).toBe(at(1));
    expect(errors).toEqual([new Error("mine")]);
  });

  test("moves its position when its handlers have run, and waits for no other's", async () => {
    const { server, connection } = aConnection();
    const slow = connection.subscribe(CHANNEL);
    const quick = connection.subscribe("global");
    let done: () => void = () => undefined;
    slow.onMessage(() => new Promise<void>((resolve) => (done = resolve)));
    quick.onMessage(() => undefined);
    await moment();
    server.socket.join();
    for (const channel of [CHANNEL, "global"]) server.socket.event(1, undefined, channel);
    expect([slow.position, quick.position]).toEqual([at(0), at(1)]);
    done();
    await moment();
    expect(slow.position).toBe(at(1));
  });

  test("whose handlers are behind is left until they are not, and the others go on", async () => {
    const { server, connection } = aConnection();
    const slow = connection.subscribe(CHANNEL);
    const events = got(connection.subscribe("global"));
    const handled: string[] = [];
    slow.onMessage(async ({ id }) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      handled.push(id);
    });
    await moment();
    server.socket.join();
    for (let offset = 1; offset <= 1_100; offset++) server.socket.event(offset);
    expect(slow.state).toMatchObject({ status: "waiting", reason: "Handlers are behind" });
    server.socket.event(1, undefined, "global");
    expect(events).toEqual([1]);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(server.socket.unsubscribes).toHaveLength(1);
    const { since } = server.socket.subscribes.at(-1)!;
    server.socket.answer();
    for (let offset = Number(since!.split("-")[1]) + 1; offset <= 1_100; offset++)
      server.socket.event(offset);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(handled).toEqual(Array.from({ length: 1_100 }, (_, index) => at(index + 1)));
  });

  test("that has ended calls no handler", async () => {
    const { server, connection } = aConnection();
    const subscription = connection.subscribe(CHANNEL);
    const events = got(subscription);
    await moment();
    server.socket.join();
    subscription.unsubscribe();
    server.socket.event(1);
    await moment();
    server.socket.event(2);
    expect(events).toEqual([]);
  });

  test("tells its gaps to `onGap`", async () => {
    const { server, connection } = aConnection();
    const reasons: string[] = [];
    connection.subscribe(CHANNEL, { since: at(1), onGap: ({ reason }) => reasons.push(reason) });
    await moment();
    server.socket.join({ position: at(4), recovered: false });
    server.socket.gap(at(1), at(4));
    expect(reasons).toEqual(["expired"]);
  });
});

test.each([
  ["no URL", { url: undefined }, /^`url` must be/],
  ["no token", { token: undefined }, /^A token must be/],
  ["two ways to a token", { token: "t1", getToken: () => "t1" }, "Give either"],
])("%s is an error", (_, options, sentence) => {
  expect(() => aConnection({ getToken: undefined, token: "t1", ...options } as never)).toThrow(sentence);
});

test.each([
  ["a channel with a space", "user.al ice", undefined, /^`channel` must be/],
  ["a since that is a number", "global", 7, /^`since` must be/],
])("%s is an error", (_, channel, since, sentence) => {
  const { connection } = aConnection();
  expect(() => connection.subscribe(channel, { since: since as never })).toThrow(sentence);
});

describe("`load`", () => {
  /** A subscription whose state is loaded; `give` ends the load that is under way. */
  async function loading() {
    const { server, connection, errors } = aConnection();
    const order: (number | string)[] = [];
    let end: { give: () => void; fail: (error: Error) => void } | undefined;
    const load = vi.fn(() => {
      order.push("load");
      return new Promise<void>((give, fail) => (end = { give, fail })).then(() => void order.push("loaded"));
    });
    const subscription = connection.subscribe(CHANNEL, { load });
    subscription.onMessage((event) => order.push(Number(event.id.split("-")[1])));
    await moment();
    expect(load).not.toHaveBeenCalled();
    server.socket.join();
    await moment();
    const give = async () => {
      end!.give();
      await moment();
    };
    return {
      server,
      connection,
      subscription,
      errors,
      order,
      load,
      give,
      fail: (error: Error) => end!.fail(error),
    };
  }

  test("is called once the subscription has begun, and what comes meanwhile waits for it", async () => {
    const { server, subscription, order, give } = await loading();
    server.socket.event(1);
    server.socket.event(2);
    expect(order).toEqual(["load"]);
    expect(subscription.position).toBe(at(0));
    await give();
    server.socket.event(3);
    expect(order).toEqual(["load", "loaded", 1, 2, 3]);
    expect(subscription.position).toBe(at(3));
  });

  test("is called again where events are missing, and only there", async () => {
    const { server, order, give } = await loading();
    await give();
    server.socket.event(1);
    server.socket.end();
    await vi.advanceTimersByTimeAsync(500);
    server.socket.join();
    server.socket.event(2);
    server.socket.gap(at(2), at(6), "overrun");
    server.socket.event(7);
    await moment();
    expect(order).toEqual(["load", "loaded", 1, 2, "load"]);
    await give();
    expect(order.slice(4)).toEqual(["load", "loaded", 7]);
  });

  test("is tried again when it fails, and no more once it is unsubscribed", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0.5);
    const { server, connection, subscription, errors, order, load, give, fail } = await loading();
    server.socket.event(1);
    const error = new Error("no network");
    fail(error);
    await vi.advanceTimersByTimeAsync(249);
    expect(load).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1);
    await give();
    expect(order).toEqual(["load", "load", "loaded", 1]);
    server.socket.gap(at(1), at(4));
    fail(error);
    await moment();
    subscription.unsubscribe();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(load).toHaveBeenCalledTimes(3);
    expect(errors).toEqual([error, error]);
    connection.close();
    vi.restoreAllMocks();
  });

  test("loses no change of 1,000 random interleavings; to load before one subscribes does", async () => {
    let lost = 0;
    for (let run = 0; run < 1_000; run++) {
      const { server, connection } = aConnection();
      let stored = 0;
      let shown = -1;
      let naive = -1;
      const publish = () => {
        stored++;
        if (server.sockets.length > 0 && joined) server.socket.event(stored);
      };
      let joined = false;
      const rest = async (most: number) => {
        for (let turn = Math.floor(Math.random() * most); turn > 0; turn--) {
          if (Math.random() < 0.3) publish();
          await Promise.resolve();
        }
      };
      const load = async () => {
        await rest(4);
        const found = stored;
        await rest(4); // on its way back
        return found;
      };
      naive = await load();
      const subscription = connection.subscribe(CHANNEL, { load: async () => void (shown = await load()) });
      subscription.onMessage((event) => {
        naive = shown = Number(event.id.split("-")[1]); // the event says how it is
      });
      await rest(4);
      server.socket.join({ position: at(stored) });
      joined = true;
      await rest(4);
      await moment();
      await moment();
      expect(shown).toBe(stored);
      if (naive !== stored) lost++;
      connection.close();
    }
    expect(lost).toBeGreaterThan(0);
  });
});
