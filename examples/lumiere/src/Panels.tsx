import type { DeliveredEvent } from "@courier/client";

import { Account } from "./Account";
import { Backtests } from "./Backtests";
import { Chat } from "./Chat";
import { Orders } from "./Orders";
import { PositionMark } from "./PositionMark";
import { Positions } from "./Positions";
import { Signals } from "./Signals";

/** What every panel gets: the channel to listen to, and what it has brought already. */
export interface PanelProps {
  channel: string;
  past: readonly DeliveredEvent[];
}

export function Panels(props: PanelProps) {
  return (
    <>
      <main className="desk">
        <div className="wide">
          <Account {...props} />
          <Positions {...props} />
          <Signals {...props} />
          <Orders {...props} />
        </div>
        <div className="narrow">
          <Chat {...props} />
          <Backtests {...props} />
        </div>
      </main>
      <PositionMark channel={props.channel} />
    </>
  );
}
