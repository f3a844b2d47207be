// @vitest-environment jsdom
import { act, cleanup, configure, render, renderHook, screen } from "@testing-library/react";
import { Activity, startTransition, Suspense, use, useEffect, useState, type ReactNode } from "react";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, describe, expect, test, vi, type MockInstance } from "vitest";

import { CourierConnection, shareToken } from "../src/index.js";
import { Pool } from "../src/react/pool.js";
import {
  CourierProvider,
  useCourier,
  useCourierEvent,
  useCourierState,
  type CourierProviderProps,
} from "../src/react.js";
import { aBrowser } from "./fake-browser.js";
import { announcement, at, CHANNEL, FakeServer } from "./fake-server.js";

configure({ reactStrictMode: true }); // at the root: inside a component it would mount nothing twice

let server: FakeServer;
let complaints: MockInstance<typeof console.error>;

beforeEach(() => {
  vi.useFakeTimers();
  complaints = vi.spyOn(console, "error");
  server = new FakeServer();
});
afterEach(() => {
  cleanup();
  vi.runOnlyPendingTimers();
  vi.useRealTimers();
  const said = [...complaints.mock.calls]; // React complains there of what is done after an unmount
  vi.restoreAllMocks();
  expect(said).toEqual([]);
});

const settle = () => act(() => vi.advanceTimersByTimeAsync(0));
const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));

function Bus({ children, ...props }: Partial<CourierProviderProps>): ReactNode {
  const given = { url: "https://courier.example", WebSocket: server.WebSocket, ...props };
  return (
    <CourierProvider {...given} {...(props.getToken ? {} : { token: props.token ?? "t1" })}>
      {children}
    </CourierProvider>
  );
}

function Status({ channel = CHANNEL }: { channel?: string | null }): ReactNode {
  const { state, gap } = useCourier(channel);
  return (
    <p>
      {state.status}
      {gap ? `, ${gap.reason}` : ""}
    </p>
  );
}

function Titles({
  channel,
  onTitle,
}: {
  channel?: string | null;
  onTitle: (title: string) => void;
}): ReactNode {
  useCourierEvent(channel === undefined ? CHANNEL : channel, "system.announcement", (event) =>
    onTitle(event.title),
  );
  return null;
}

function Anywhere({ onTitle }: { onTitle: (title: string) => void }): ReactNode {
  useCourierEvent("system.announcement", (event) => onTitle(event.title));
  return null;
}

describe("sockets", () => {
  test("strict mode's double mount opens one", async () => {
    const mounts = vi.fn();
    function Mounted(): ReactNode {
      useEffect(() => void mounts(), []);
      return <Status />;
    }
    render(<Bus children={<Mounted />} />);
    await settle();
    expect(mounts).toHaveBeenCalledTimes(2);
    act(() => server.socket.join());
    await pass(14_000);
    expect(server.sockets).toHaveLength(1);
    expect(server.socket.left).toBe(false);
    expect(screen.getByText("open")).toBeDefined();
  });

  test("many components and hooks of one channel have one", async () => {
    render(
      <Bus>
        <Status />
        <Status />
        <Titles onTitle={vi.fn()} />
        <Anywhere onTitle={vi.fn()} />
      </Bus>,
    );
    await settle();
    act(() => server.socket.join());
    await pass(14_000);
    expect(server.sockets).toHaveLength(1);
    expect(server.socket.left).toBe(false);
    expect(screen.getAllByText("open")).toHaveLength(2);
  });

  test("two tabs that share have one", async () => {
    aBrowser();
    render(<Bus shareAcrossTabs="alice" children={<Status />} />);
    render(<Bus shareAcrossTabs="alice" children={<Status />} />);
    await act(() => vi.dynamicImportSettled());
    await settle();
    act(() => server.socket.join());
    await settle();
    expect(screen.getAllByText("open")).toHaveLength(2);
    expect(server.sockets).toHaveLength(1);
    expect(server.socket.subscribes).toHaveLength(1);
    vi.unstubAllGlobals();
  });

  test("four channels in strict mode have one, and one subscribe each", async () => {
    const channels = ["user.alice", "global", "backtest.b1", "strategy.s1"];
    render(
      <Bus
        children={channels.map((channel) => (
          <Status key={channel} channel={channel} />
        ))}
      />,
    );
    await settle();
    act(() => server.socket.join());
    await pass(14_000);
    expect(server.sockets.map((socket) => socket.url.pathname)).toEqual(["/ws"]);
    expect(server.socket.subscribes.map(({ channel }) => channel)).toEqual(channels);
    expect(server.socket.unsubscribes).toEqual([]);
    expect(screen.getAllByText("open")).toHaveLength(4);
  });

  test("the last unmount closes it, a little later", async () => {
    const { rerender } = render(<Bus children={[<Status key={1} />, <Status key={2} />]} />);
    await settle();
    server.socket.join();
    rerender(<Bus children={[<Status key={1} />]} />);
    await pass(14_999);
    expect(server.socket.left).toBe(false);
    rerender(<Bus />);
    await pass(4_999);
    expect(server.socket.left).toBe(false);
    await pass(1);
    expect(server.socket.left).toBe(true);
  });

  test("a change of page, to one with the same channel, keeps it", async () => {
    const { rerender } = render(<Bus children={<Status key={1} />} />);
    await settle();
    act(() => server.socket.join());
    rerender(<Bus />);
    await pass(3_000);
    rerender(<Bus children={<Status key={2} />} />);
    await pass(10_000);
    expect(server.sockets).toHaveLength(1);
    expect(server.socket.left).toBe(false);
    expect(screen.getByText("open")).toBeDefined();
  });

  test("what is hidden holds none, and what is shown again opens one", async () => {
    const page = (mode: "hidden" | "visible") => (
      <Bus>
        <Activity mode={mode}>
          <Status />
        </Activity>
      </Bus>
    );
    const { rerender } = render(page("visible"));
    await settle();
    act(() => server.socket.join());
    rerender(page("hidden"));
    await pass(5_000);
    expect(server.socket.left).toBe(true);
    rerender(page("visible"));
    await settle();
    act(() => server.socket.join());
    expect(server.sockets).toHaveLength(2);
    expect(screen.getByText("open")).toBeDefined();
  });

  test("a component that comes while its channel waits for a slot does not shorten the wait", async () => {
    const { rerender } = render(<Bus children={<Status key={1} />} />);
    await settle();
    act(() => server.socket.say({ type: "courier.drain", reconnect_in_ms: 8_400 }));
    act(() => server.socket.end(1001, "Server shutting down for maintenance"));
    rerender(<Bus children={[<Status key={1} />, <Status key={2} />]} />);
    await pass(8_399);
    expect(screen.getAllByText("waiting")).toHaveLength(2);
    expect(server.sockets).toHaveLength(1);
  });

  test("one that was closed is opened anew by the next component", async () => {
    const { rerender } = render(<Bus children={<Status key={1} />} />);
    await settle();
    rerender(<Bus />);
    await pass(5_000);
    rerender(<Bus children={<Status key={2} />} />);
    await settle();
    expect(server.sockets).toHaveLength(2);
    expect(server.socket.left).toBe(false);
  });

  test("the unmount of the provider closes all at once", async () => {
    const { unmount } = render(
      <Bus children={[<Status key={1} />, <Titles key={2} channel="global" onTitle={vi.fn()} />]} />,
    );
    await settle();
    unmount();
    await settle();
    expect(server.sockets).toHaveLength(1);
    expect(server.socket.left).toBe(true);
    await pass(1); // the fake sockets say that they are closed
    expect(vi.getTimerCount()).toBe(0);
  });

  test("another URL is another server", async () => {
    const { rerender } = render(<Bus children={<Status />} />);
    await settle();
    const [first] = server.sockets;
    rerender(<Bus url="https://other.example" children={<Status />} />);
    await settle();
    expect(first!.left).toBe(true);
    expect(server.socket.url.host).toBe("other.example");
  });

  test("a component whose channel changes follows the new one", async () => {
    const { rerender } = render(<Bus children={<Status channel="user.alice" />} />);
    await settle();
    act(() => server.socket.join());
    rerender(<Bus children={<Status channel="global" />} />);
    await pass(5_000);
    expect(server.socket.unsubscribes).toEqual([{ type: "courier.unsubscribe", ref: 1 }]);
    expect(server.socket.subscribes.map(({ channel }) => channel)).toEqual(["user.alice", "global"]);
    expect(server.sockets).toHaveLength(1);
    expect(screen.getByText("connecting")).toBeDefined();
  });

  test("without a channel there is none", async () => {
    render(
      <Bus>
        <Status channel={null} />
        <Titles channel={null} onTitle={vi.fn()} />
        <Anywhere onTitle={vi.fn()} />
      </Bus>,
    );
    await settle();
    expect(server.sockets).toHaveLength(0);
    expect(screen.getByText("idle")).toBeDefined();
  });

  test("a channel starts where `since` says", async () => {
    render(<Bus since={(channel) => (channel === CHANNEL ? at(7) : undefined)} children={<Status />} />);
    await settle();
    server.socket.join();
    expect(server.socket.since).toBe(at(7));
  });
});

describe("useCourier", () => {
  test("shows each state, and a gap until it is dismissed", async () => {
    const { result } = renderHook(() => useCourier(CHANNEL), { wrapper: Bus });
    await settle();
    expect(result.current.state.status).toBe("connecting");
    act(() => server.socket.join());
    expect(result.current.state.status).toBe("open");
    act(() => server.socket.gap(at(0), at(4)));
    expect(result.current.gap).toMatchObject({ reason: "expired", resumed_from: at(4) });
    act(() => result.current.dismissGap());
    expect(result.current.gap).toBeUndefined();
    act(() => server.socket.end(1008, "Unknown channel"));
    expect(result.current.state).toEqual({ status: "refused", code: 1008, reason: "Unknown channel" });
    act(() => result.current.connect());
    await settle();
    expect(server.sockets).toHaveLength(2);
  });

  test("a gap stays when the state changes, and the state when a gap comes or is dismissed", async () => {
    let renders = 0;
    const { result } = renderHook(() => (renders++, useCourier(CHANNEL)), { wrapper: Bus });
    await settle();
    act(() => server.socket.join());
    act(() => server.socket.gap(at(0), at(4)));
    expect(result.current.state.status).toBe("open");
    act(() => server.socket.end());
    expect(result.current).toMatchObject({ state: { status: "waiting" }, gap: { reason: "expired" } });
    act(() => result.current.dismissGap());
    expect(result.current).toMatchObject({ state: { status: "waiting" }, gap: undefined });
    const before = renders;
    act(() => result.current.dismissGap());
    expect(renders).toBe(before);
  });

  test("its position is the client's, and events render nothing", async () => {
    let renders = 0;
    const { result } = renderHook(() => (renders++, useCourier(CHANNEL)), { wrapper: Bus });
    await settle();
    act(() => server.socket.join());
    const [before, { current }] = [renders, result];
    for (let offset = 1; offset <= 5; offset++) act(() => server.socket.event(offset));
    expect(result.current.position).toBe(at(5));
    expect(result.current).toBe(current);
    expect(renders).toBe(before);
  });

  test("on a server it is idle, and opens nothing", () => {
    expect(renderToString(<Bus children={<Status />} />)).toBe("<p>idle</p>");
    expect(server.sockets).toHaveLength(0);
  });

  test("a page that was rendered on a server goes on in the browser", async () => {
    const page = document.body.appendChild(document.createElement("div"));
    page.innerHTML = renderToString(<Bus children={<Status />} />);
    render(<Bus children={<Status />} />, { container: page, hydrate: true });
    await settle();
    act(() => server.socket.join());
    expect(page.textContent).toBe("open");
    expect(server.sockets).toHaveLength(1);
  });

  test("without a provider it says so", () => {
    complaints.mockReturnValue(undefined);
    expect(() => renderHook(() => useCourier(CHANNEL))).toThrow(/CourierProvider/);
    complaints.mockClear();
  });
});

describe("useCourierEvent", () => {
  test("calls the handler once an event, in order, only for its type and its channel", async () => {
    const titles: string[] = [];
    render(
      <Bus>
        <Titles onTitle={(title) => titles.push(title)} />
        <Status channel="global" />
      </Bus>,
    );
    await settle();
    server.socket.join();
    for (const offset of [1, 2]) server.socket.event(offset);
    server.socket.say({ ...announcement(3), type: "system.maintenance" });
    server.socket.event(1, undefined, "global");
    expect(titles).toEqual(["1", "2"]);
  });

  test("without a channel it hears all that are open", async () => {
    const titles: string[] = [];
    render(
      <Bus>
        <Anywhere onTitle={(title) => titles.push(title)} />
        <Status channel="user.alice" />
        <Status channel="global" />
      </Bus>,
    );
    await settle();
    server.socket.join();
    server.socket.event(1);
    server.socket.event(1, undefined, "global");
    expect(titles).toEqual(["1", "1"]);
  });

  test("the handler is the one that was rendered last, with what it saw then", async () => {
    const seen: string[] = [];
    function Counting(): ReactNode {
      const [count, setCount] = useState(0);
      useCourierEvent(CHANNEL, "system.announcement", (event) => {
        seen.push(`${event.title} at ${count}`);
        setCount(count + 1);
      });
      return <p>{count}</p>;
    }
    render(<Bus children={<Counting />} />);
    await settle();
    server.socket.join();
    for (const offset of [1, 2, 3]) act(() => server.socket.event(offset));
    expect(seen).toEqual(["1 at 0", "2 at 1", "3 at 2"]);
    expect(screen.getByText("3")).toBeDefined();
    expect(server.sockets).toHaveLength(1);
  });

  test("another handler takes the place of the last one, and its turn", async () => {
    const calls: string[] = [];
    const second = <Titles onTitle={() => calls.push("second")} />; // rendered once, being the same
    const both = (first: string) => (
      <Bus>
        <Titles onTitle={() => calls.push(first)} />
        {second}
      </Bus>
    );
    const { rerender } = render(both("first"));
    await settle();
    server.socket.join();
    rerender(both("another"));
    server.socket.event(1);
    expect(calls).toEqual(["another", "second"]);
  });

  test("a handler of a render that React has thrown away is not called", async () => {
    const calls: string[] = [];
    const never = new Promise<never>(() => undefined);
    function Page({ name }: { name: string }): ReactNode {
      useCourierEvent(CHANNEL, "system.announcement", () => calls.push(name));
      return name === "shown" ? name : use(never);
    }
    const page = (name: string) => <Bus children={<Suspense children={<Page name={name} />} />} />;
    const { rerender } = render(page("shown"));
    await settle();
    server.socket.join();
    await act(async () => {
      startTransition(() => rerender(page("not ready")));
      await vi.advanceTimersByTimeAsync(0);
    });
    server.socket.event(1);
    expect(screen.getByText("shown")).toBeDefined();
    expect(calls).toEqual(["shown"]);
  });

  test("another type, or another channel, is followed, and the last one no more", async () => {
    const calls: string[] = [];
    const { rerender } = renderHook(
      ({ channel, type }: { channel: string; type: "system.announcement" | "system.maintenance" }) =>
        useCourierEvent(channel, type, (event) => calls.push(`${event.type} on ${event.channel}`)),
      { wrapper: Bus, initialProps: { channel: CHANNEL, type: "system.announcement" } },
    );
    await settle();
    let offset = 0;
    const say = (type: string) => {
      offset++;
      for (const channel of [CHANNEL, "global"])
        server.socket.say({ ...announcement(offset), type, channel });
    };
    server.socket.join();
    say("system.announcement");
    say("system.maintenance");
    rerender({ channel: CHANNEL, type: "system.maintenance" });
    say("system.announcement");
    say("system.maintenance");
    rerender({ channel: "global", type: "system.maintenance" });
    await settle();
    server.socket.answer({ position: at(4) });
    say("system.maintenance");
    expect(calls).toEqual([
      "system.announcement on user.alice",
      "system.maintenance on user.alice",
      "system.maintenance on global",
    ]);
  });

  test("without a channel yet, it hears nothing of the others", async () => {
    const onTitle = vi.fn();
    render(<Bus children={[<Status key={1} />, <Titles key={2} channel={null} onTitle={onTitle} />]} />);
    await settle();
    server.socket.join();
    server.socket.event(1);
    expect(onTitle).not.toHaveBeenCalled();
  });

  test("an unmounted component hears nothing, and is rendered no more", async () => {
    const first = vi.fn();
    const second = vi.fn();
    const { rerender } = render(
      <Bus
        children={[
          <Titles key={1} onTitle={first} />,
          <Titles key={2} onTitle={second} />,
          <Status key={3} />,
        ]}
      />,
    );
    await settle();
    server.socket.join();
    rerender(<Bus children={[<Titles key={2} onTitle={second} />]} />);
    server.socket.event(1);
    server.socket.gap(at(1), at(4));
    server.socket.end();
    await pass(1_000);
    expect(first).not.toHaveBeenCalled();
    expect(second).toHaveBeenCalledExactlyOnceWith("1");
  });

  test("a handler that fails stops no other, and `onError` gets its error", async () => {
    const onError = vi.fn();
    const titles: string[] = [];
    const error = new Error("mine");
    const fail = () => {
      throw error;
    };
    render(
      <Bus onError={onError}>
        <Titles onTitle={fail} />
        <Titles onTitle={(title) => titles.push(title)} />
        <Anywhere onTitle={fail} />
        <Anywhere onTitle={(title) => titles.push(title)} />
      </Bus>,
    );
    await settle();
    server.socket.join();
    server.socket.event(1);
    expect(titles).toEqual(["1", "1"]);
    expect(onError.mock.calls).toEqual([[error], [error]]);
  });
});

describe("useCourierState", () => {
  const add = (seen: string[], event: { type: string; title?: string }) => [
    ...seen,
    event.title ?? event.type,
  ];

  function States({
    load,
    channel = CHANNEL,
  }: {
    load: () => Promise<string[]>;
    channel?: string | null;
  }): ReactNode {
    const state = useCourierState<string[]>(channel, load, (seen, event) => add(seen, event));
    return <p>{state ? `state: ${state.join(" ")}` : "none"}</p>;
  }

  test("is loaded once the channel is open, and what comes meanwhile is behind it", async () => {
    let give: (seen: string[]) => void = () => undefined;
    const load = vi.fn(() => new Promise<string[]>((done) => (give = done)));
    render(<Bus children={<States load={load} />} />);
    await settle();
    expect(load).not.toHaveBeenCalled();
    act(() => server.socket.join());
    await settle();
    act(() => server.socket.event(1));
    expect(screen.getByText("none")).toBeDefined();
    give(["a"]);
    await settle();
    expect(screen.getByText("state: a 1")).toBeDefined();
    act(() => server.socket.event(2));
    expect(screen.getByText("state: a 1 2")).toBeDefined();
    expect(load).toHaveBeenCalledOnce();
  });

  test("is loaded again after a gap, and after a load that failed", async () => {
    const onError = vi.fn();
    const error = new Error("no network");
    const load = vi.fn<() => Promise<string[]>>().mockRejectedValueOnce(error).mockResolvedValueOnce(["a"]);
    render(<Bus onError={onError} children={<States load={load} />} />);
    await settle();
    act(() => server.socket.join());
    await pass(500);
    expect(onError.mock.calls).toEqual([[error]]);
    expect(screen.getByText("state: a")).toBeDefined();
    load.mockResolvedValueOnce(["b"]);
    act(() => server.socket.gap(at(0), at(4)));
    act(() => server.socket.event(5));
    await settle();
    expect(screen.getByText("state: b 5")).toBeDefined();
    expect(load).toHaveBeenCalledTimes(3);
  });

  test("where more comes than may wait, it is loaded again", async () => {
    let give: (seen: string[]) => void = () => undefined;
    const load = vi.fn(() => new Promise<string[]>((done) => (give = done)));
    render(<Bus children={<States load={load} />} />);
    await settle();
    act(() => server.socket.join());
    await settle();
    for (let offset = 1; offset <= 1_001; offset++) server.socket.event(offset);
    give(["a"]);
    await settle();
    expect(load).toHaveBeenCalledTimes(2);
    give(["all"]);
    await settle();
    expect(screen.getByText("state: all")).toBeDefined();
  });

  test("of another channel, or of none, is another; what was loaded too late shows nothing", async () => {
    const gives: ((seen: string[]) => void)[] = [];
    const load = () => new Promise<string[]>((done) => gives.push(done));
    const { rerender, unmount } = render(<Bus children={<States load={load} />} />);
    await settle();
    act(() => server.socket.join());
    await settle();
    rerender(<Bus children={<States load={load} channel={null} />} />);
    gives[0]!(["late"]);
    await settle();
    expect(screen.getByText("none")).toBeDefined();
    unmount();
  });
});

describe("the pool of a provider", () => {
  function aPool() {
    const { WebSocket } = server;
    const connect = () => new CourierConnection({ url: "ws://localhost", token: "t1", WebSocket });
    return new Pool(connect, () => undefined, vi.fn());
  }

  test("tells who watches a channel of its changes, and nobody who has left", async () => {
    const pool = aPool();
    const [stays, leaves] = [vi.fn(), vi.fn()];
    const first = pool.watch(CHANNEL, stays);
    const second = pool.watch(CHANNEL, leaves);
    second();
    leaves.mockClear();
    await pass(0);
    server.socket.join();
    expect(stays).toHaveBeenCalledWith();
    expect(leaves).not.toHaveBeenCalled();
    first();
    await pass(5_000);
    expect(server.socket.left).toBe(true);
  });

  test("opens anew when it is mounted again long after", async () => {
    const pool = aPool();
    for (let turn = 1; turn <= 2; turn++) {
      const unmount = pool.mount();
      const release = pool.watch(CHANNEL, vi.fn());
      await pass(0);
      expect(server.sockets).toHaveLength(turn);
      unmount();
      release();
      await pass(10);
      expect(server.socket.left).toBe(true);
    }
  });
});

describe("tokens", () => {
  test("all channels share one, and one new one when it ends", async () => {
    let count = 0;
    const getToken = vi.fn(async () => Promise.resolve(`t${++count}`));
    const channels = ["user.alice", "global", "backtest.b1"];
    render(
      <Bus
        getToken={getToken}
        children={channels.map((channel) => (
          <Status key={channel} channel={channel} />
        ))}
      />,
    );
    await settle();
    expect(server.sockets.map((socket) => socket.token)).toEqual(["t1"]);
    act(() => server.socket.join());
    server.socket.say({ type: "courier.token_expiring", seconds_left: 60 });
    await settle();
    expect(getToken.mock.calls).toEqual([[undefined], ["t1"]]);
    expect(server.socket.sent.at(-1)).toContain('"t2"');
  });

  test("a `getToken` that is another function each time is one; the last one rendered is asked", async () => {
    const { rerender } = render(<Bus getToken={() => "t1"} children={<Status />} />);
    await settle();
    act(() => server.socket.join());
    rerender(<Bus getToken={() => "t2"} children={<Status />} />);
    await pass(10_000);
    expect(server.sockets).toHaveLength(1);
    act(() => server.socket.end(1008, "Token expired"));
    await settle();
    expect(server.socket.token).toBe("t2");
  });

  test("another `token` is used where the last one was refused", async () => {
    const { rerender } = render(<Bus token="t1" children={<Status />} />);
    await settle();
    act(() => server.socket.end(1008, "Token expired"));
    await settle();
    expect(screen.getByText("refused")).toBeDefined();
    rerender(<Bus token="t2" children={<Status />} />);
    await settle();
    expect(server.socket.token).toBe("t2");
    act(() => server.socket.join());
    expect(screen.getByText("open")).toBeDefined();
  });

  test("another `token` does not shorten a wait that Courier asked for", async () => {
    const { rerender } = render(<Bus token="t1" children={<Status />} />);
    await settle();
    act(() => server.socket.end(1013, "Try again later"));
    rerender(<Bus token="t2" children={<Status />} />);
    expect(screen.getByText("waiting")).toBeDefined();
    expect(server.sockets).toHaveLength(1);
  });

  test("another `token` is what Courier gets when the last one is about to end", async () => {
    const { rerender } = render(<Bus token="t1" children={<Status />} />);
    await settle();
    act(() => server.socket.join());
    server.socket.say({ type: "courier.token_expiring", seconds_left: 60 });
    await settle();
    rerender(<Bus token="t2" children={<Status />} />);
    await pass(5_000);
    expect(server.socket.said("courier.refresh")).toEqual([{ type: "courier.refresh", token: "t2" }]);
    expect(server.sockets).toHaveLength(1);
  });

  test("`shareToken` may be given, to share with clients elsewhere", async () => {
    const getToken = vi.fn(() => "t1");
    const shared = shareToken(getToken);
    await shared();
    render(<Bus getToken={shared} children={<Status />} />);
    await settle();
    expect(server.socket.token).toBe("t1");
    expect(getToken).toHaveBeenCalledOnce();
  });
});
