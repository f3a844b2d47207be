import { expect, test } from "vitest";

import { backoff } from "../src/backoff.js";

/** Mulberry32: numbers that look random, the same for the same seed. */
function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

test.each([
  [0, 500],
  [1, 1_000],
  [3, 4_000],
  [5, 16_000],
  [6, 30_000],
  [2_000, 30_000],
])("try %d comes at any moment within %d ms, and all moments are as likely", (attempt, limit) => {
  const random = seeded(attempt + 1);
  const waits = Array.from({ length: 4_000 }, () => backoff(attempt, random));
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...waits)).toBeLessThanOrEqual(limit);
  for (let tenth = 0; tenth < 10; tenth++) {
    const within = waits.filter((wait) => Math.min(9, Math.floor((wait / limit) * 10)) === tenth);
    expect(within.length).toBeGreaterThan(320);
    expect(within.length).toBeLessThan(480);
  }
});
