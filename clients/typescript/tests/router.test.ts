import { expect, expectTypeOf, test, vi } from "vitest";

import { EventRouter, type BacktestProgress, type Delivery } from "../src/index.js";
import { announcement } from "./fake-server.js";
import { following } from "./following.js";

const progress: BacktestProgress & Delivery = {
  ...{ id: "k3v9x0qa-1", channel: "backtest.b1", source: "cartographe", timestamp: "2026-01-31T12:00:00Z" },
  ...{ type: "backtest.progress", backtest_id: "b1", job_id: "j1", user_id: "alice" },
  ...{ progress: 0.25, stage: "simulate", message: "A quarter" },
};

test("each handler of the type gets the event, with its own type, and no other handler does", () => {
  const router = new EventRouter();
  const got: unknown[] = [];
  router.on("backtest.progress", (event) => {
    expectTypeOf(event).toEqualTypeOf<BacktestProgress & Delivery>();
    got.push(event.progress);
  });
  router.on("backtest.progress", (event) => got.push(event.stage));
  router.on("system.announcement", (event) => got.push(event.title));
  void router.dispatch(progress);
  expect(got).toEqual([0.25, "simulate"]);
});

test("`off`, and what `on` gives, remove one handler and leave the others", () => {
  const router = new EventRouter();
  const [first, second, third] = [vi.fn(), vi.fn(), vi.fn()];
  router.on("backtest.progress", first);
  const remove = router.on("backtest.progress", second);
  router.on("backtest.progress", third);
  router.off("backtest.progress", first);
  router.off("backtest.started", third);
  remove();
  void router.dispatch(progress);
  expect([first, second, third].map((each) => each.mock.calls.length)).toEqual([0, 0, 1]);
});

test("`off` with a type alone removes all its handlers, at once, and those of no other type", () => {
  const router = new EventRouter();
  const [first, second, other] = [vi.fn(), vi.fn(), vi.fn()];
  router.on("backtest.progress", () => {
    first();
    router.off("backtest.progress");
  });
  router.on("backtest.progress", second);
  router.on("system.announcement", other);
  void router.dispatch(progress);
  void router.dispatch(progress);
  void router.dispatch(announcement(1));
  router.off("backtest.started"); // which has none
  expect([first, second, other].map((each) => each.mock.calls.length)).toEqual([1, 0, 1]);
  router.on("backtest.progress", second);
  void router.dispatch(progress);
  expect(second).toHaveBeenCalledOnce();
});

test("`off` with a handler that is undefined by mistake removes nothing", () => {
  const router = new EventRouter();
  const handler = vi.fn();
  router.on("backtest.progress", handler);
  router.off("backtest.progress", undefined as never);
  void router.dispatch(progress);
  expect(handler).toHaveBeenCalledOnce();
});

test("`route` is `dispatch` by another name", () => {
  const router = new EventRouter();
  const got: unknown[] = [];
  router.on("backtest.progress", (event) => got.push(event.progress));
  const { route } = router;
  void route(progress);
  expect(got).toEqual([0.25]);
});

test("an error in one handler is reported and stops no other", () => {
  const onError = vi.fn();
  const router = new EventRouter({ onError });
  const error = new Error("mine");
  const second = vi.fn();
  router.on("backtest.progress", () => {
    throw error;
  });
  router.on("backtest.progress", second);
  void router.dispatch(progress);
  expect(onError).toHaveBeenCalledExactlyOnceWith(error);
  expect(second).toHaveBeenCalledOnce();
});

test("an event of a type that nobody asked for goes to nobody", () => {
  const router = new EventRouter();
  const handler = vi.fn();
  router.on("backtest.progress", handler);
  for (const type of ["acme.order_shipped", "constructor", "__proto__"])
    expect(router.dispatch({ ...progress, type } as never)).toBeUndefined();
  expect(handler).not.toHaveBeenCalled();
});

test("without `onError` the error goes to `reportError`, where there is one", () => {
  const reportError = vi.fn();
  vi.stubGlobal("reportError", reportError);
  const router = new EventRouter();
  router.on("backtest.progress", () => {
    throw new Error("mine");
  });
  void router.dispatch(progress);
  expect(reportError).toHaveBeenCalledOnce();
  vi.unstubAllGlobals();
});

test("a client waits for its handlers' promises", async () => {
  const { server, client } = following();
  const router = new EventRouter();
  let free: (value: unknown) => void = () => undefined;
  router.on("system.announcement", () => new Promise((resolve) => (free = resolve)));
  client.onMessage(router.dispatch);
  const before = client.position;
  server.socket.event(1);
  expect(client.position).toBe(before);
  free(undefined);
  await vi.waitFor(() => expect(client.position).toBe(announcement(1).id));
  client.disconnect();
});
