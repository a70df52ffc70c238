import { expect, it } from "vitest";
import type { RateRow } from "../../api/types.gen";
import { points, summaryOf } from "./series";

const NOW = 1_800_000_000;
const row = (at: number, rate: number): RateRow => ({
  at,
  seconds: 60,
  rate,
  peak: rate,
  cap: 100,
  effective: 100,
  over_cap_s: 0,
});
const samples = (...at: number[]) => ({
  at,
  rate: at.map((_, index) => index),
  cap: at.map(() => 100),
  effective: at.map(() => null),
});
const none = samples();

it("samples go on where the history ends, and nothing is shown twice", () => {
  const history = [row(NOW - 240, 1), row(NOW - 180, 2), row(NOW - 120, 3)];
  const found = points("1h", history, samples(NOW - 100, NOW - 55, NOW - 50, NOW), NOW, 50);
  expect(found.at).toEqual([NOW - 210, NOW - 150, NOW - 90, NOW - 55, NOW - 50, NOW]);
  expect(found.rate).not.toContain(null);
});

it("the last five minutes are samples as far as there are any, and history before them", () => {
  const history = [row(NOW - 300, 1), row(NOW - 240, 2), row(NOW - 180, 3), row(NOW - 120, 4)];
  const found = points("5m", history, samples(NOW - 130, NOW - 128, NOW - 2), NOW, 2);
  expect(found.at.slice(0, 3)).toEqual([NOW - 270, NOW - 210, NOW - 150]);
  expect(found.rate.at(-2)).toBeNull();
});

it("a hole in the history is a hole in the chart", () => {
  const found = points("1h", [row(NOW - 600, 1), row(NOW - 540, 2), row(NOW - 300, 3)], none, NOW, 5);
  expect(found.rate).toEqual([1, 2, null, 3]);
});

it("a coarse history is continued by one point", () => {
  const found = points("24h", [row(NOW - 600, 1), row(NOW - 300, 2)], samples(NOW - 8, NOW - 4, NOW), NOW, 4);
  expect(found.at).toEqual([NOW - 450, NOW - 150, NOW]);
});

it("is summed up", () => {
  expect(summaryOf(points("1h", [row(NOW - 600, 1), row(NOW - 540, 3)], none, NOW, 5))).toEqual({ mean: 2, peak: 3 });
  expect(summaryOf(points("1h", [], none, NOW, 5))).toBeNull();
});
