// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minute = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const NONE = "–";

export function count(value) {
  if (value === null || value === undefined) return NONE;
  return value < 100_000 ? whole.format(value) : compact.format(value);
}

/** As `count`, on an axis: short. */
export function tick(value) {
  if (value < 10) return String(Math.round(value * 10) / 10);
  return value < 10_000 ? whole.format(value) : compact.format(value);
}

/** So many a second: with a decimal while it is small. */
export function rate(value) {
  if (value === null || value === undefined) return NONE;
  return value > 0 && value < 10 ? String(Math.round(value * 10) / 10) : count(value);
}

export function milliseconds(value) {
  if (value === null || value === undefined) return NONE;
  if (value >= 1000) return `${Math.round(value / 100) / 10} s`;
  return `${value < 10 ? Math.round(value * 10) / 10 : Math.round(value)} ms`;
}

export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** How long ago, short enough for a table. */
export function ago(iso) {
  if (!iso) return NONE;
  return Date.now() - Date.parse(iso) < 1000 ? "now" : `${age(iso)} ago`;
}

/** For how long. */
export function age(iso) {
  if (!iso) return NONE;
  const s = Math.max(0, Math.round((Date.now() - Date.parse(iso)) / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

export const time = (unix) => clock.format(unix);
export const minutes = (unix) => minute.format(unix);
export const moment = (iso) => (iso ? day.format(Date.parse(iso)) : NONE);

export function precise(iso) {
  return `${clock.format(Date.parse(iso))}.${iso.slice(20, 23)}`;
}
