/**
 * The contract of Courier 0.1.0: every event, Courier's own messages, and why it closes a WebSocket.
 *
 * Made by `courier contract typescript`; do not edit it.
 */

/** What every event has. */
export interface EventBase {
  /**
   * The service that publishes: the same as the header `X-Service-Name`.
   * Matches `^[a-z0-9][a-z0-9_-]{0,63}$`.
   */
  source: string;
  /** When it happened: ISO 8601 with a `T` and a zone; Courier's time in UTC when left out. ISO 8601. */
  timestamp: string;
  /** Joins what belongs to one request, across services. 1 to 128 characters. */
  trace_id?: string;
}

/** What Courier adds to an event when it delivers. */
export interface Delivery {
  /**
   * The event's position in the channel's log: keep the last one, and come back with it.
   * Matches `^[a-z0-9]{8}-(0|[1-9][0-9]{0,17})$`.
   */
  id: string;
  /**
   * The channel that it was published to.
   * Matches `^(global|(user|strategy|backtest|forge\.job)\.[A-Za-z0-9_@|:+~-]{1,128})$`.
   */
  channel: string;
}

/** Why some events cannot be replayed. */
export type GapReason = "expired" | "unknown_position" | "overrun";

/** A piece of the answer as it is written; the last piece says so. */
export interface ProphetMessageChunk extends EventBase {
  type: "prophet.message_chunk";
  /** The conversation with the model. 1 to 128 characters. */
  conversation_id: string;
  /** The next piece of the answer, to be put behind the ones before. */
  chunk: string;
  /** Whether the answer ends with it. */
  is_final: boolean;
}

/** The strategy that the conversation arrived at, in its own language. */
export interface ProphetTsdlReady extends EventBase {
  type: "prophet.tsdl_ready";
  /** The conversation with the model. 1 to 128 characters. */
  conversation_id: string;
  /** The strategy, as source text. */
  tsdl: string;
  /** What Prophet says about it. */
  metadata: Record<string, unknown>;
}

/** The conversation failed. */
export interface ProphetError extends EventBase {
  type: "prophet.error";
  /** The conversation with the model. 1 to 128 characters. */
  conversation_id: string;
  /** Which error it is, for programs. */
  error_code: string;
  /** What went wrong, for people. */
  message: string;
  /** More details, for people. Default "". */
  details: string;
}

/** The backtest runs, with these parameters. */
export interface BacktestStarted extends EventBase {
  type: "backtest.started";
  /** The job in the queue. 1 to 128 characters. */
  job_id: string;
  /** Whose job it is. 1 to 128 characters. */
  user_id: string;
  /** What the job was started with, as its service understands it. */
  parameters: Record<string, unknown>;
  /** The backtest; its own channel is `backtest.<id>`. 1 to 128 characters. */
  backtest_id: string;
}

/** How far the backtest has come. */
export interface BacktestProgress extends EventBase {
  type: "backtest.progress";
  /** The job in the queue. 1 to 128 characters. */
  job_id: string;
  /** Whose job it is. 1 to 128 characters. */
  user_id: string;
  /** The share of the work that is done, 0 to 1. 0 to 1. */
  progress: number;
  /** What it is at now, in one word. */
  stage: string;
  /** The same for people. */
  message: string;
  /** The backtest; its own channel is `backtest.<id>`. 1 to 128 characters. */
  backtest_id: string;
}

/** The backtest is done: how long it took, and what it found. */
export interface BacktestCompleted extends EventBase {
  type: "backtest.completed";
  /** The job in the queue. 1 to 128 characters. */
  job_id: string;
  /** Whose job it is. 1 to 128 characters. */
  user_id: string;
  /** How long it took, in whole seconds. At least 0. */
  duration_seconds: number;
  /** What came of it, as its service understands it. */
  summary: Record<string, unknown>;
  /** The backtest; its own channel is `backtest.<id>`. 1 to 128 characters. */
  backtest_id: string;
}

/** The backtest ended without a result. */
export interface BacktestFailed extends EventBase {
  type: "backtest.failed";
  /** The job in the queue. 1 to 128 characters. */
  job_id: string;
  /** Whose job it is. 1 to 128 characters. */
  user_id: string;
  /** Which error it is, for programs. */
  error_code: string;
  /** What went wrong, for people. */
  message: string;
  /** More details, for people. Default "". */
  details: string;
  /** The backtest; its own channel is `backtest.<id>`. 1 to 128 characters. */
  backtest_id: string;
}

/** Somebody stopped the backtest before its end. */
export interface BacktestCancelled extends EventBase {
  type: "backtest.cancelled";
  /** The job in the queue. 1 to 128 characters. */
  job_id: string;
  /** Whose job it is. 1 to 128 characters. */
  user_id: string;
  /** The backtest; its own channel is `backtest.<id>`. 1 to 128 characters. */
  backtest_id: string;
  /** Why, for people. */
  reason: string;
  /** How far it had come, 0 to 1. 0 to 1. */
  progress_at_cancellation: number;
}

/** The strategy trades from now on. */
export interface StrategyDeployed extends EventBase {
  type: "strategy.deployed";
  /** The strategy; its own channel is `strategy.<id>`. 1 to 128 characters. */
  strategy_id: string;
  /** Whose strategy it is. 1 to 128 characters. */
  user_id: string;
  /** What its owner calls it. */
  name: string;
  /** What it starts with. At least 0. */
  initial_capital: number;
  /** What it trades. */
  token_pair: string;
  status: "active";
}

/** The strategy trades no more until it is resumed. */
export interface StrategyPaused extends EventBase {
  type: "strategy.paused";
  /** The strategy; its own channel is `strategy.<id>`. 1 to 128 characters. */
  strategy_id: string;
  /** Whose strategy it is. 1 to 128 characters. */
  user_id: string;
  /** Why, for people. Default "". */
  reason: string;
}

/** The strategy trades again. */
export interface StrategyResumed extends EventBase {
  type: "strategy.resumed";
  /** The strategy; its own channel is `strategy.<id>`. 1 to 128 characters. */
  strategy_id: string;
  /** Whose strategy it is. 1 to 128 characters. */
  user_id: string;
  /** Why, for people. Default "". */
  reason: string;
}

/** The strategy has ended. */
export interface StrategyStopped extends EventBase {
  type: "strategy.stopped";
  /** The strategy; its own channel is `strategy.<id>`. 1 to 128 characters. */
  strategy_id: string;
  /** Whose strategy it is. 1 to 128 characters. */
  user_id: string;
  /** Why, for people. Default "". */
  reason: string;
}

/** The strategy sees a reason to trade. */
export interface TradeSignalGenerated extends EventBase {
  type: "trade.signal_generated";
  /** The strategy; its own channel is `strategy.<id>`. 1 to 128 characters. */
  strategy_id: string;
  /** Whose strategy it is. 1 to 128 characters. */
  user_id: string;
  /** The signal; orders that it leads to name it. 1 to 128 characters. */
  signal_id: string;
  /** What is traded. */
  token: string;
  /** Which way. */
  direction: "buy" | "sell";
  /** How sure the strategy is, 0 to 1. 0 to 1. */
  confidence: number;
  /** Why, for people. */
  reason: string;
  /** The price at that moment. */
  price_at_signal: number;
}

/** An order is on its way; one without a signal was placed by a person. */
export interface TradeOrderPlaced extends EventBase {
  type: "trade.order_placed";
  /** The strategy; its own channel is `strategy.<id>`. 1 to 128 characters. */
  strategy_id: string;
  /** Whose strategy it is. 1 to 128 characters. */
  user_id: string;
  /** The order. 1 to 128 characters. */
  order_id: string;
  /** What is traded. */
  token: string;
  /** The signal that it follows; left out when a person placed it. 1 to 128 characters. */
  signal_id?: string;
  /** Which way. */
  direction: "buy" | "sell";
  /** At the market's price, or at `limit_price` or better. */
  order_type: "market" | "limit";
  /** How much. More than 0. */
  amount: number;
  /** The price of a limit order. */
  limit_price?: number;
}

/** The order was carried out, at this price. */
export interface TradeOrderFilled extends EventBase {
  type: "trade.order_filled";
  /** The strategy; its own channel is `strategy.<id>`. 1 to 128 characters. */
  strategy_id: string;
  /** Whose strategy it is. 1 to 128 characters. */
  user_id: string;
  /** The order. 1 to 128 characters. */
  order_id: string;
  /** What is traded. */
  token: string;
  /** Which way. */
  direction: "buy" | "sell";
  /** The price it was carried out at. */
  fill_price: number;
  /** How much was bought or sold. */
  fill_amount: number;
  /** What that was worth. */
  total_value: number;
  /** What it cost; less than 0 where the exchange pays, as to makers. */
  fees: number;
  /** The transaction on the chain. */
  tx_signature: string;
}

/** The order was taken back. */
export interface TradeOrderCancelled extends EventBase {
  type: "trade.order_cancelled";
  /** The strategy; its own channel is `strategy.<id>`. 1 to 128 characters. */
  strategy_id: string;
  /** Whose strategy it is. 1 to 128 characters. */
  user_id: string;
  /** The order. 1 to 128 characters. */
  order_id: string;
  /** What is traded. */
  token: string;
  /** Why, for people. */
  reason: string;
}

/** The order could not be carried out. */
export interface TradeOrderFailed extends EventBase {
  type: "trade.order_failed";
  /** The strategy; its own channel is `strategy.<id>`. 1 to 128 characters. */
  strategy_id: string;
  /** Whose strategy it is. 1 to 128 characters. */
  user_id: string;
  /** The order. 1 to 128 characters. */
  order_id: string;
  /** What is traded. */
  token: string;
  /** Which error it is, for programs. */
  error_code: string;
  /** What went wrong, for people. */
  message: string;
}

/** The strategy holds something. */
export interface PositionOpened extends EventBase {
  type: "position.opened";
  /** The strategy; its own channel is `strategy.<id>`. 1 to 128 characters. */
  strategy_id: string;
  /** Whose strategy it is. 1 to 128 characters. */
  user_id: string;
  /** The position. 1 to 128 characters. */
  position_id: string;
  /** What is traded. */
  token: string;
  /** The price it was bought at. */
  entry_price: number;
  /** How much is held; less than 0 when it is short. */
  size: number;
  /** The transaction on the chain. */
  tx_signature: string;
}

/** What is held is worth something else by now. */
export interface PositionUpdated extends EventBase {
  type: "position.updated";
  /** The strategy; its own channel is `strategy.<id>`. 1 to 128 characters. */
  strategy_id: string;
  /** Whose strategy it is. 1 to 128 characters. */
  user_id: string;
  /** The position. 1 to 128 characters. */
  position_id: string;
  /** What is traded. */
  token: string;
  /** The price now. */
  current_price: number;
  /** What selling now would gain, or lose. */
  unrealized_pnl: number;
  /** The same in percent of what was paid. */
  unrealized_pnl_percentage: number;
}

/** What was held is sold. */
export interface PositionClosed extends EventBase {
  type: "position.closed";
  /** The strategy; its own channel is `strategy.<id>`. 1 to 128 characters. */
  strategy_id: string;
  /** Whose strategy it is. 1 to 128 characters. */
  user_id: string;
  /** The position. 1 to 128 characters. */
  position_id: string;
  /** What is traded. */
  token: string;
  /** The price it was bought at. */
  entry_price: number;
  /** The price it was sold at. */
  exit_price: number;
  /** How much is held; less than 0 when it is short. */
  size: number;
  /** What was gained, or lost. */
  realized_pnl: number;
  /** The same in percent of what was paid. */
  realized_pnl_percentage: number;
  /** What ended it. */
  reason: "take_profit" | "stop_loss" | "manual" | "signal";
  /** The transaction on the chain. */
  tx_signature: string;
}

/** The job runs, with these parameters. */
export interface ForgeJobStarted extends EventBase {
  type: "forge.job_started";
  /** The job in the queue. 1 to 128 characters. */
  job_id: string;
  /** Whose job it is. 1 to 128 characters. */
  user_id: string;
  /** What the job was started with, as its service understands it. */
  parameters: Record<string, unknown>;
}

/** How far the job has come. */
export interface ForgeJobProgress extends EventBase {
  type: "forge.job_progress";
  /** The job in the queue. 1 to 128 characters. */
  job_id: string;
  /** Whose job it is. 1 to 128 characters. */
  user_id: string;
  /** The share of the work that is done, 0 to 1. 0 to 1. */
  progress: number;
  /** What it is at now, in one word. */
  stage: string;
  /** The same for people. */
  message: string;
}

/** The job is done: how long it took, and what it built. */
export interface ForgeJobCompleted extends EventBase {
  type: "forge.job_completed";
  /** The job in the queue. 1 to 128 characters. */
  job_id: string;
  /** Whose job it is. 1 to 128 characters. */
  user_id: string;
  /** How long it took, in whole seconds. At least 0. */
  duration_seconds: number;
  /** What came of it, as its service understands it. */
  summary: Record<string, unknown>;
}

/** The job ended without a result. */
export interface ForgeJobFailed extends EventBase {
  type: "forge.job_failed";
  /** The job in the queue. 1 to 128 characters. */
  job_id: string;
  /** Whose job it is. 1 to 128 characters. */
  user_id: string;
  /** Which error it is, for programs. */
  error_code: string;
  /** What went wrong, for people. */
  message: string;
  /** More details, for people. Default "". */
  details: string;
}

/** News for everybody. */
export interface SystemAnnouncement extends EventBase {
  type: "system.announcement";
  /** A headline. */
  title: string;
  /** The text below it. */
  message: string;
  /** How much it matters. */
  severity: "info" | "warning" | "critical";
}

/** The system will be away for a while; the end lies after the start. */
export interface SystemMaintenance extends EventBase {
  type: "system.maintenance";
  /** When the system goes away. ISO 8601. */
  starts_at: string;
  /** When it should be back: after `starts_at`. ISO 8601. */
  ends_at: string;
  /** Why, for people. */
  message: string;
}

/** How one of the services is doing. */
export interface SystemServiceStatus extends EventBase {
  type: "system.service_status";
  /** The service that is spoken of; `source` may be another one that watches it. 1 to 128 characters. */
  service: string;
  /** How it is. */
  status: "healthy" | "degraded" | "down";
  /** Why, for people. Default "". */
  message: string;
}

/** Every event: `type` tells which. */
export type CourierEvent =
  | ProphetMessageChunk
  | ProphetTsdlReady
  | ProphetError
  | BacktestStarted
  | BacktestProgress
  | BacktestCompleted
  | BacktestFailed
  | BacktestCancelled
  | StrategyDeployed
  | StrategyPaused
  | StrategyResumed
  | StrategyStopped
  | TradeSignalGenerated
  | TradeOrderPlaced
  | TradeOrderFilled
  | TradeOrderCancelled
  | TradeOrderFailed
  | PositionOpened
  | PositionUpdated
  | PositionClosed
  | ForgeJobStarted
  | ForgeJobProgress
  | ForgeJobCompleted
  | ForgeJobFailed
  | SystemAnnouncement
  | SystemMaintenance
  | SystemServiceStatus;

/** An event as a subscriber gets it. */
export type DeliveredEvent = CourierEvent & Delivery;

/** Tells a subscriber that events are missing between what it asked for and what comes next. */
export interface CourierGap {
  type: "courier.gap";
  /** The channel's name. */
  channel: string;
  /** The position or the time that the subscriber came from, as it gave it. */
  requested: string;
  /**
   * The position just before the next event delivered: safe to keep as the next `since`.
   * Matches `^[a-z0-9]{8}-(0|[1-9][0-9]{0,17})$`.
   */
  resumed_from: string;
  /** Why they are missing. */
  reason: GapReason;
}

/** The first message of a subscription by `courier.v1`: where it begins. */
export interface CourierJoined {
  type: "courier.joined";
  /** The channel's name. */
  channel: string;
  /**
   * The position just before the next event delivered: safe to keep as the next `since`.
   * Matches `^[a-z0-9]{8}-(0|[1-9][0-9]{0,17})$`.
   */
  position: string;
  /** A `since` was given, and nothing is missing after it. */
  recovered: boolean;
  /** How many events the log held for it when it joined: they come first. At least 0. */
  replayed: number;
  /** Names this connection in Courier's log. */
  connection_id: string;
  /** After how much silence Courier sends `ping`, and how long it then waits for an answer. */
  heartbeat_seconds: number;
}

/** The last message of a connection by `courier.v1` whose node leaves. */
export interface CourierDrain {
  type: "courier.drain";
  /** This subscriber's own slot: how long to wait before it joins again. At least 0. */
  reconnect_in_ms: number;
}

/** Asks a subscriber by `courier.v1` for a new token. */
export interface CourierTokenExpiring {
  type: "courier.token_expiring";
  /** How long the old one is still good, rounded. At least 0. */
  seconds_left: number;
}

/** Tells a subscriber by `courier.v1` that its new token is good. */
export interface CourierRefreshed {
  type: "courier.refreshed";
  /** When the new token ends: ISO 8601, in UTC, with `Z`. */
  expires_at: string;
}

/** The first message on a connection for many channels. */
export interface CourierConnected {
  type: "courier.connected";
  /** Names this connection in Courier's log. */
  connection_id: string;
  user_id: string;
  /** After how much silence Courier sends `ping`, and how long it then waits for an answer. */
  heartbeat_seconds: number;
}

/** A subscription of a connection for many channels has begun: its channel's messages follow. */
export interface CourierSubscribed {
  type: "courier.subscribed";
  /** That of the `courier.subscribe`. 0 to 9007199254740991. */
  ref: number;
  /** The channel's name. */
  channel: string;
  /**
   * The position just before the next event delivered: safe to keep as the next `since`.
   * Matches `^[a-z0-9]{8}-(0|[1-9][0-9]{0,17})$`.
   */
  position: string;
  /** A `since` was given, and nothing is missing after it. */
  recovered: boolean;
  /** How many events the log held for it when it began: they come first. At least 0. */
  replayed: number;
}

/** A subscription of a connection for many channels has ended, and the connection goes on. */
export interface CourierEnded {
  type: "courier.ended";
  /** That of the `courier.subscribe`; each ends once. 0 to 9007199254740991. */
  ref: number;
  /** The channel's name. */
  channel: string;
  /** As of a close, whose table says whether to come back. */
  code: number;
  reason: string;
  /**
   * The position just behind the last event delivered; left out when it had not begun.
   * Matches `^[a-z0-9]{8}-(0|[1-9][0-9]{0,17})$`.
   */
  position?: string;
}

/** What a subscriber by `courier.v1` says: here is a new token. */
export interface CourierRefresh {
  type: "courier.refresh";
  /** Judged as at the join, for the same `user_id`. At least 1 characters. */
  token: string;
}

/** What a subscriber says on a connection for many channels: let me read this one. */
export interface CourierSubscribe {
  type: "courier.subscribe";
  /** A number of its own, larger than each before it on this connection. 0 to 9007199254740991. */
  ref: number;
  /** The channel's name. */
  channel: string;
  /** Where to start: after a position or after a time; left out: with the next event. Default null. */
  since?: string | null;
}

/** What a subscriber says on a connection for many channels: no more of this one. */
export interface CourierUnsubscribe {
  type: "courier.unsubscribe";
  /** That of the `courier.subscribe`. 0 to 9007199254740991. */
  ref: number;
}

/** What Courier says of its own. */
export type ControlMessage =
  | CourierGap
  | CourierJoined
  | CourierDrain
  | CourierTokenExpiring
  | CourierRefreshed;

/** What Courier says beside, on a connection for many channels. */
export type ConnectionMessage =
  | CourierConnected
  | CourierSubscribed
  | CourierEnded;

/** What a subscriber may say. */
export type SubscriberMessage =
  | CourierRefresh
  | CourierSubscribe
  | CourierUnsubscribe;

/** Of each type the fields that Courier fills in when they are left out. */
export interface FilledIn {
  "prophet.message_chunk": "timestamp";
  "prophet.tsdl_ready": "timestamp";
  "prophet.error": "timestamp" | "details";
  "backtest.started": "timestamp";
  "backtest.progress": "timestamp";
  "backtest.completed": "timestamp";
  "backtest.failed": "timestamp" | "details";
  "backtest.cancelled": "timestamp";
  "strategy.deployed": "timestamp";
  "strategy.paused": "timestamp" | "reason";
  "strategy.resumed": "timestamp" | "reason";
  "strategy.stopped": "timestamp" | "reason";
  "trade.signal_generated": "timestamp";
  "trade.order_placed": "timestamp";
  "trade.order_filled": "timestamp";
  "trade.order_cancelled": "timestamp";
  "trade.order_failed": "timestamp";
  "position.opened": "timestamp";
  "position.updated": "timestamp";
  "position.closed": "timestamp";
  "forge.job_started": "timestamp";
  "forge.job_progress": "timestamp";
  "forge.job_completed": "timestamp";
  "forge.job_failed": "timestamp" | "details";
  "system.announcement": "timestamp";
  "system.maintenance": "timestamp";
  "system.service_status": "timestamp" | "message";
}

/** A channel's name, by its kind. */
export type Channel =
  | "global"
  | `user.${string}`
  | `strategy.${string}`
  | `backtest.${string}`
  | `forge.job.${string}`;

/** Why Courier closes a WebSocket, and whether to come back. Several reasons share 1008. */
export const CLOSE_CODES = [
  { code: 1000, reason: "Unsubscribed", comeBack: "no" },
  { code: 1001, reason: "Server shutting down for maintenance", comeBack: "yes, at the slot, with since" },
  { code: 1008, reason: "Authentication token required", comeBack: "with a new token" },
  { code: 1008, reason: "Invalid token", comeBack: "with a new token" },
  { code: 1008, reason: "Token expired", comeBack: "with a new token" },
  { code: 1008, reason: "Token revoked", comeBack: "with a new token" },
  { code: 1008, reason: "Unauthorized access to channel", comeBack: "no" },
  { code: 1008, reason: "Unknown channel", comeBack: "no" },
  { code: 1008, reason: "Subprotocol required", comeBack: "no" },
  { code: 1008, reason: "Origin not allowed", comeBack: "no" },
  { code: 1008, reason: "Unreadable since", comeBack: "no" },
  { code: 1009, reason: "Message too big", comeBack: "yes" },
  { code: 1011, reason: "Channel failed", comeBack: "yes, with since" },
  { code: 1013, reason: "Try again later", comeBack: "yes, backing off" },
  { code: 4008, reason: "Too slow", comeBack: "yes, with since" },
  { code: 4009, reason: "No heartbeat", comeBack: "yes" },
  { code: 4010, reason: "Already subscribed", comeBack: "no" },
  { code: 4011, reason: "Too many channels", comeBack: "no" },
  { code: 4012, reason: "Unreadable message", comeBack: "no" },
] as const;

/** What may come as a message of a subscription, beside the texts `ping` and `pong`. */
export type CourierMessage = DeliveredEvent | ControlMessage;

export type EventType = CourierEvent["type"];

/** The event of one type: `EventOf<"backtest.progress">`. */
export type EventOf<T extends EventType> = Extract<CourierEvent, { type: T }>;

/** The same, as a subscriber gets it. */
export type DeliveredOf<T extends EventType> = EventOf<T> & Delivery;

/** The same, as a service may publish it: what Courier fills in may be left out. */
export type Publishable<T extends EventType> = T extends EventType
  ? Omit<EventOf<T>, FilledIn[T]> & Partial<Pick<EventOf<T>, FilledIn[T] & keyof EventOf<T>>>
  : never;

/** What a subscriber that was closed should do next. */
export type ComeBack = (typeof CLOSE_CODES)[number]["comeBack"];

export type CloseCode = (typeof CLOSE_CODES)[number]["code"];

export type CloseReason = (typeof CLOSE_CODES)[number]["reason"];
