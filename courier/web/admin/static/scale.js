// Scales and paths: arithmetic for charts, without an element in sight.

const STEPS = [1, 2, 3, 4, 5, 6, 8, 10];
const TICKS_MS = [10_000, 15_000, 30_000, 60_000, 120_000, 180_000, 300_000];
const HOLE_MS = 3500;

/** The next larger round number, whose half is round too; at least `floor`. */
export function roundUp(value, floor) {
  const least = Math.max(value, floor);
  const power = 10 ** Math.floor(Math.log10(least));
  return power * STEPS.find((step) => step * power >= least * 0.999999);
}

/** The next larger power of ten; at least `floor`. */
export function nextDecade(value, floor) {
  return 10 ** Math.ceil(Math.log10(Math.max(value, floor)) - 1e-9);
}

/** The powers of ten from `from` to `to`. */
export function decades(from, to) {
  const found = [];
  for (let value = from; value <= to * 1.001; value *= 10) found.push(value);
  return found;
}

/** Moments to be named on a time axis of so many pixels. */
export function moments(from, to, pixels, pixelsEach) {
  const room = Math.max(1, Math.floor(pixels / pixelsEach));
  const step = TICKS_MS.find((each) => (to - from) / each <= room) ?? 600_000;
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  return { step, found };
}

/** Runs of points that belong together: a value that is none, or a hole in time, parts them. */
export function runs(samples, key, x, y) {
  const found = [];
  let run = null;
  let before = 0;
  for (const sample of samples) {
    const value = sample[key];
    if (value === null || sample.at - before > HOLE_MS) run = null;
    before = sample.at;
    if (value === null) continue;
    if (!run) found.push((run = []));
    run.push([x(sample.at), y(value)]);
  }
  return found;
}

const point = ([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`;

export function linePath(found) {
  // A run of one point is a dot: a line of no length, with round ends.
  return found.map((run) => `M${run.map(point).join("L")}${run.length === 1 ? "h.01" : ""}`).join("");
}

export function areaPath(found, base) {
  return found
    .filter((run) => run.length > 1)
    .map((run) => `M${run[0][0].toFixed(1)} ${base}L${run.map(point).join("L")}V${base}Z`)
    .join("");
}

/** The place of the sample nearest to a moment; samples are in order. */
export function nearest(samples, at) {
  let low = 0;
  let high = samples.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (samples[middle].at < at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at - samples[low - 1].at < samples[low].at - at ? low - 1 : low;
}
