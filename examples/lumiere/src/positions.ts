import type { DeliveredEvent } from "@courier/client";

export interface Position {
  readonly id: string;
  readonly token: string;
  readonly size: number;
  readonly entryPrice: number;
  readonly price: number;
  readonly pnl: number;
  readonly percent: number;
}

/** Those that are open, oldest first. */
export type Positions = readonly Position[];

export function reducePositions(all: Positions, event: DeliveredEvent): Positions {
  switch (event.type) {
    case "position.opened":
      return [
        ...all.filter((one) => one.id !== event.position_id),
        {
          id: event.position_id,
          token: event.token,
          size: event.size,
          entryPrice: event.entry_price,
          price: event.entry_price,
          pnl: 0,
          percent: 0,
        },
      ];
    case "position.updated":
      return all.map((one) =>
        one.id === event.position_id
          ? {
              ...one,
              price: event.current_price,
              pnl: event.unrealized_pnl,
              percent: event.unrealized_pnl_percentage,
            }
          : one,
      );
    case "position.closed":
      return all.filter((one) => one.id !== event.position_id);
    default:
      return all;
  }
}
