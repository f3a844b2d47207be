import { useCourierEvent } from "@courier/client/react";

import { equity, NO_ACCOUNT, reduceAccount, unrealised } from "./account";
import { Card } from "./Card";
import { EquityCurve } from "./EquityCurve";
import { Figure } from "./Figure";
import { News } from "./News";
import { formatGain, formatMoney, toneOf } from "./format";
import type { PanelProps } from "./Panels";
import { useReplay } from "./useReplay";

export function Account({ channel, past }: PanelProps) {
  const [account, take] = useReplay(reduceAccount, NO_ACCOUNT, past);
  useCourierEvent(channel, "strategy.deployed", take);
  useCourierEvent(channel, "strategy.stopped", take);
  useCourierEvent(channel, "trade.order_filled", take);
  useCourierEvent(channel, "position.opened", take);
  useCourierEvent(channel, "position.updated", take);
  useCourierEvent(channel, "position.closed", take);

  const worth = equity(account);
  const open = unrealised(account);
  return (
    <>
      <News channel="global" />
      <News channel={account.strategyId === undefined ? null : `strategy.${account.strategyId}`} />
      <div className="figures">
        <Figure
          name="Equity"
          value={worth === undefined ? "–" : formatMoney(worth)}
          unit={worth === undefined ? "" : "USDC"}
        />
        <Figure name="Open gain" value={formatGain(open)} tone={toneOf(open)} />
        <Figure name="Made, less fees" value={formatGain(account.made)} tone={toneOf(account.made)} />
        <Figure name="Strategy" value={account.strategy ?? "–"} />
      </div>
      <Card title="Equity curve" from="chevalier">
        <EquityCurve points={account.points} />
      </Card>
    </>
  );
}
