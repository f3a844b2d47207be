import { expect, test } from "vitest";
import { step } from "../src/position.js";

test("the first event of a channel that had none follows its position without a hole", () => {
  expect(step("00000000-1700000000000", "k3v9x0qa-1")).toBe("next");
  expect(step("00000000-1700000000000", "k3v9x0qa-2")).toBe("hole");
  expect(step("k3v9x0qa-1", "aaaaaaaa-1")).toBe("hole");
});
