const money = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const amount = new Intl.NumberFormat("en", { minimumFractionDigits: 4, maximumFractionDigits: 4 });
const share = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en", { timeStyle: "medium", hourCycle: "h23" });

export const formatMoney = (value: number) => money.format(value);
export const formatAmount = (value: number) => amount.format(value);
export const formatShare = (value: number) => `${share.format(100 * value)} %`;
export const formatTime = (value: number | string) => clock.format(new Date(value));

/** With its sign, and the true minus; what rounds to nothing has none. */
export function formatGain(value: number, unit = ""): string {
  return `${SIGNS[toneOf(value)]}${money.format(Math.abs(value))}${unit}`;
}

/** For colours. */
export function toneOf(value: number): "gain" | "loss" | "even" {
  const cents = Math.round(value * 100);
  return cents > 0 ? "gain" : cents < 0 ? "loss" : "even";
}

const SIGNS = { gain: "+", loss: "−", even: "" };
