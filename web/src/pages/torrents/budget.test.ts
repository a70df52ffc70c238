import { expect, test } from "vitest";
import { roomLeft, usedShare } from "./budget";

test.each([
  [25, 100, 75, 0.25],
  [100, 100, 0, 1],
  [120, 100, 0, 1],
  [0, 0, 0, 0],
  [5, 0, 0, 1],
])("%i bytes of %i leave %i", (sent, allowed, left, share) => {
  expect(roomLeft({ sent, allowed })).toBe(left);
  expect(usedShare({ sent, allowed })).toBe(share);
});
