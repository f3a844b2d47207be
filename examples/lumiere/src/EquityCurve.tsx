import type { Point } from "./account";
import { formatMoney, formatTime } from "./format";
import { share, ticks } from "./scale";

const amount = new Intl.NumberFormat("en");

/** The curve in an SVG that is stretched; what is written beside it is not, and so is no part of it. */
export function EquityCurve({ points }: { points: readonly Point[] }) {
  const first = points[0];
  const last = points.at(-1);
  if (!first || !last || last.at === first.at) {
    return <p className="none curve">The curve begins when a strategy trades.</p>;
  }
  const values = points.map((point) => point.equity);
  const pad = Math.max(1, (Math.max(...values) - Math.min(...values)) * 0.12);
  const [low, high] = [Math.min(...values) - pad, Math.max(...values) + pad];
  const x = (at: number) => share(at, first.at, last.at);
  const y = (value: number) => 100 - share(value, low, high);
  const line = points.map((point) => `${x(point.at).toFixed(2)},${y(point.equity).toFixed(2)}`).join("L");
  const middle = (first.at + last.at) / 2;

  return (
    <figure
      className="curve"
      role="img"
      aria-label={`Equity: from ${formatMoney(first.equity)} to ${formatMoney(last.equity)}`}
    >
      <div className="plot">
        {ticks(low, high, 4).map((value) => (
          <span key={value} className="tick number" style={{ top: `${y(value)}%` }}>
            <span>{amount.format(value)}</span>
          </span>
        ))}
        <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
          <path className="area" d={`M0,100L${line}L100,100Z`} />
          <path className="stroke" d={`M${line}`} />
        </svg>
        <span className="now" style={{ top: `${y(last.equity)}%` }} />
      </div>
      <div className="times number">
        {[first.at, middle, last.at].map((at) => (
          <span key={at}>{formatTime(at)}</span>
        ))}
      </div>
    </figure>
  );
}
