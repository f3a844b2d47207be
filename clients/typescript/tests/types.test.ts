/** What must not compile. `tsc` is the test: an `@ts-expect-error` above a line that compiles is an error. */
import { expectTypeOf, test } from "vitest";
import { WebSocket as NodeWebSocket } from "ws";

import {
  CLOSE_CODES,
  CourierClient,
  EventRouter,
  type AnyEvent,
  type BacktestProgress,
  type Delivery,
  type State,
  type WebSocketClass,
} from "../src/index.js";
import { CourierProvider, useCourierEvent } from "../src/react.js";

test("a wrong event name or a wrong field does not compile", () => {
  const router = new EventRouter();
  router.on("backtest.progress", (event) => {
    expectTypeOf(event).toEqualTypeOf<BacktestProgress & Delivery>();
    expectTypeOf(event.progress).toBeNumber();
    expectTypeOf(event.id).toBeString();
    // @ts-expect-error: it has no such field
    void event.percent;
    // @ts-expect-error: that is a field of other events
    void event.chunk;
    // @ts-expect-error: it is a number
    event.progress satisfies string;
  });
  // @ts-expect-error: there is no such event
  router.on("backtest.progres", () => undefined);
  // @ts-expect-error: messages of Courier's own are no events
  router.on("courier.gap", () => undefined);
  // @ts-expect-error: that handler takes other events
  router.on("backtest.started", (event: BacktestProgress & Delivery) => event.progress);
  // @ts-expect-error: nor can it be removed from there
  router.off("backtest.started", (event: BacktestProgress & Delivery) => event.progress);
  router.off("backtest.started");
  // @ts-expect-error: there is no such event
  router.off("backtest.start");
  expectTypeOf(router.route).toEqualTypeOf(router.dispatch);
});

test("the type of an event, once it is known, gives its fields", () => {
  const show = (event: AnyEvent): string => {
    switch (event.type) {
      case "position.closed":
        expectTypeOf(event.reason).toEqualTypeOf<"take_profit" | "stop_loss" | "manual" | "signal">();
        // @ts-expect-error: it has no such reason
        return event.reason === "boredom" ? "?" : event.reason;
      case "trade.order_placed":
        // @ts-expect-error: it may be missing
        return event.signal_id;
      default:
        // @ts-expect-error: not all events have it
        return event.message;
    }
  };
  expectTypeOf(show).returns.toBeString();
});

test("so it is with the hooks", () => {
  const Component = () => {
    useCourierEvent("prophet.message_chunk", (event) => {
      expectTypeOf(event.is_final).toBeBoolean();
      // @ts-expect-error: it has no such field
      void event.isFinal;
    });
    useCourierEvent("user.alice", "prophet.message_chunk", (event) => void event.chunk);
    useCourierEvent(null, "prophet.message_chunk", (event) => void event.chunk);
    // @ts-expect-error: there is no such event
    useCourierEvent("user.alice", "prophet.chunk", () => undefined);
    // @ts-expect-error: there is no such event
    useCourierEvent("prophet.chunk", () => undefined);
    return null;
  };
  expectTypeOf(Component).returns.toBeNull();
  // @ts-expect-error: a provider needs a URL
  CourierProvider satisfies (props: { token: string }) => unknown;
});

test("each state has its own fields", () => {
  const reason = (state: State): string => {
    if (state.status === "refused") return `${state.code} ${state.reason}`;
    // @ts-expect-error: an open connection has no reason
    if (state.status === "open") return state.reason;
    // @ts-expect-error: there is no such state
    return state.status === "disconnected" ? "" : state.status;
  };
  expectTypeOf(reason).returns.toBeString();
});

test("both the browser's WebSocket and that of ws will do", () => {
  expectTypeOf<typeof NodeWebSocket>().toExtend<WebSocketClass>();
  expectTypeOf<typeof WebSocket>().toExtend<WebSocketClass>();
  const options = { url: "wss://courier.example", channel: "global" };
  void (() => new CourierClient({ ...options, token: "t1", WebSocket: NodeWebSocket }));
  expectTypeOf(() =>
    new CourierClient("wss://courier.example", "global", "t1").connect(),
  ).returns.toEqualTypeOf<Promise<void>>();
  void (() => new CourierClient({ ...options, token: "t1", since: sessionStorage.getItem("position") }));
  // @ts-expect-error: by position the token is needed, too
  void (() => new CourierClient("wss://courier.example", "global"));
  // @ts-expect-error: a token is a string
  void (() => new CourierClient({ ...options, token: 1 }));
  // @ts-expect-error: a channel is needed
  void (() => new CourierClient({ url: "wss://courier.example", token: "t1" }));
  // @ts-expect-error: a Date is no class of sockets
  void (() => new CourierClient({ ...options, token: "t1", WebSocket: Date }));
});

test("the close codes are literals", () => {
  expectTypeOf<(typeof CLOSE_CODES)[0]["code"]>().toEqualTypeOf<1000>();
});
