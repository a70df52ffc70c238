import { expect, it } from "vitest";
import { targetOf, withUnit } from "./place";

it("a dragged row goes to where the pointer is past the middle of another", () => {
  const middles = [10, 30, 50, 70];
  expect([5, 25, 31, 49, 51, 900].map((y) => targetOf(middles, 1, y))).toEqual([0, 1, 1, 1, 2, 3]);
  expect(targetOf(middles, 3, 29)).toBe(1);
  expect(targetOf(middles, 0, -100)).toBe(0);
});

it("only a number alone is given a unit", () => {
  expect(withUnit(" 1,5 ", "MiB/s")).toBe("1.5 MiB/s");
  expect(withUnit("5 kB/s", "MiB/s")).toBe("5 kB/s");
  expect(withUnit("unlimited", "MiB/s")).toBe("unlimited");
  expect(withUnit("", "MiB/s")).toBe("");
});
