const money = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const amount = new Intl.NumberFormat("en", { minimumFractionDigits: 4, maximumFractionDigits: 4 });
const clock = new Intl.DateTimeFormat("en", { timeStyle: "medium", hourCycle: "h23" });

export const formatMoney = (value: number) => money.format(value);
export const formatAmount = (value: number) => amount.format(value);
export const formatTime = (value: number | string) => clock.format(new Date(value));

/** With its sign, and the true minus. */
export function formatGain(value: number, unit = ""): string {
  const sign = value > 0 ? "+" : value < 0 ? "−" : "";
  return `${sign}${money.format(Math.abs(value))}${unit}`;
}

/** For colours. */
export const toneOf = (value: number) => (value > 0 ? "gain" : value < 0 ? "loss" : "even");
