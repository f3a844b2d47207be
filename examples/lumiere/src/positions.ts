import type { DeliveredEvent } from "@courier/client";

export interface Position {
  readonly id: string;
  readonly token: string;
  /** Neither this nor the entry is known where the event that opened it is missing. */
  readonly size?: number;
  readonly entryPrice?: number;
  readonly price: number;
  readonly pnl: number;
  readonly percent: number;
}

/** Those of the strategy that was deployed last that are open, oldest first. */
export type Positions = readonly Position[];

export function reducePositions(all: Positions, event: DeliveredEvent): Positions {
  switch (event.type) {
    case "strategy.deployed":
      return []; // if the last one did not close its own, nobody will
    case "position.opened":
      return change(all, event.position_id, {
        token: event.token,
        size: event.size,
        entryPrice: event.entry_price,
        price: event.entry_price,
        pnl: 0,
        percent: 0,
      });
    case "position.updated":
      return change(all, event.position_id, {
        token: event.token,
        price: event.current_price,
        pnl: event.unrealized_pnl,
        percent: event.unrealized_pnl_percentage,
      });
    case "position.closed":
      return all.filter((one) => one.id !== event.position_id);
    default:
      return all;
  }
}

function change(all: Positions, id: string, news: Omit<Position, "id">): Positions {
  if (all.some((one) => one.id === id)) return all.map((one) => (one.id === id ? { ...one, ...news } : one));
  return [...all, { id, ...news }];
}
