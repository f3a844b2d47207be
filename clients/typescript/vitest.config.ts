import { defineConfig } from "vitest/config";

// The patience is for busy machines: a test that starts npm, or waits for a node, takes a second or two.
export default defineConfig({
  test: { include: ["tests/*.test.{ts,tsx}"], testTimeout: 30_000, hookTimeout: 60_000 },
});
