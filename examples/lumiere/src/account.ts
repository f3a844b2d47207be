import type { DeliveredEvent } from "@courier/client";

const KEPT = 600;

export interface Point {
  readonly at: number;
  readonly equity: number;
}

/** What the strategy that was deployed last is worth, and how it came to that. */
export interface Account {
  readonly strategy: string | undefined;
  readonly strategyId: string | undefined;
  /** Not known until a strategy is deployed; nothing is drawn before. */
  readonly capital: number | undefined;
  /** Gains of closed positions, less fees. */
  readonly made: number;
  /** What each open position would gain. */
  readonly open: Readonly<Record<string, number>>;
  readonly points: readonly Point[];
}

export const NO_ACCOUNT: Account = {
  strategy: undefined,
  strategyId: undefined,
  capital: undefined,
  made: 0,
  open: {},
  points: [],
};

export const unrealised = (account: Account) =>
  Object.values(account.open).reduce((sum, pnl) => sum + pnl, 0);

export const equity = (account: Account) =>
  account.capital === undefined ? undefined : account.capital + account.made + unrealised(account);

export function reduceAccount(account: Account, event: DeliveredEvent): Account {
  const next = change(account, event);
  const worth = equity(next);
  if (next === account || worth === undefined) return next;
  // The log's order counts, whatever the clocks of those who publish say.
  const at = Math.max(Date.parse(event.timestamp), next.points.at(-1)?.at ?? 0);
  const point = { at, equity: worth };
  return { ...next, points: [...next.points, point].slice(-KEPT) };
}

function change(account: Account, event: DeliveredEvent): Account {
  switch (event.type) {
    case "strategy.deployed":
      return {
        ...account,
        strategy: event.name,
        strategyId: event.strategy_id,
        capital: event.initial_capital,
        made: 0,
        open: {},
      };
    case "strategy.stopped":
      return { ...account, strategy: undefined, strategyId: undefined };
    case "trade.order_filled":
      return { ...account, made: account.made - event.fees };
    case "position.opened":
      return { ...account, open: { ...account.open, [event.position_id]: 0 } };
    case "position.updated":
      return { ...account, open: { ...account.open, [event.position_id]: event.unrealized_pnl } };
    case "position.closed": {
      const { [event.position_id]: _, ...open } = account.open;
      return { ...account, open, made: account.made + event.realized_pnl };
    }
    default:
      return account;
  }
}
