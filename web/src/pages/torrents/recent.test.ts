import { expect, it } from "vitest";
import type { JournalRow, RecentTorrent } from "../../api/types.gen";
import { joined, NOTHING, points, SPAN_S, summaryOf } from "./recent";

const found = (at: number[], limit: number | null = 100) =>
  ({ torrent: {}, at, rate: at.map((one) => one * 10), limit: at.map(() => limit) }) as unknown as RecentTorrent;
const line = (at: number, old: number | null, new_: number | null, status = "applied") =>
  ({ id: at, at, hash: "a", old, new: new_, status, reason: "" }) as JournalRow;

it("samples are joined once each, and old ones are dropped", () => {
  const first = joined(NOTHING, found([1, 2, 3]));
  const second = joined(first, found([2, 3, 4]));
  expect(second.at).toEqual([1, 2, 3, 4]);
  expect(second.rate).toEqual([10, 20, 30, 40]);
  expect(joined(second, found([]))).toBe(second);
  expect(joined(second, found([1000])).at).toEqual([1000]);
});

it("limits before it was opened come from its history", () => {
  const now = 1000;
  const known = joined(NOTHING, found([990, 992, 994]));
  const history = [line(900, 300, 100), line(800, 500, 300), line(100, null, 500)];
  expect(points(known, history, now, 2)).toEqual({
    at: [now - SPAN_S, 800, 900, 990, 992, 994],
    rate: [null, null, null, 9900, 9920, 9940],
    limit: [500, 500 - 200, 100, 100, 100, 100],
  });
});

it("a limit of long ago holds until now, and failed writes do not count", () => {
  const shown = points(NOTHING, [line(500, 100, 50, "failed"), line(400, null, 100)], 1000, 2);
  expect(shown).toEqual({ at: [700], rate: [null], limit: [100] });
});

it("a time without samples is a hole", () => {
  const known = joined(joined(NOTHING, found([900, 902])), found([990]));
  expect(points(known, [], 1000, 2).rate).toEqual([9000, 9020, null, 9900]);
});

it("a sentence knows mean and peak", () => {
  const known = joined(NOTHING, found([990, 992]));
  expect(summaryOf(points(known, [], 1000, 2))).toEqual({ mean: 9910, peak: 9920 });
  expect(summaryOf(points(NOTHING, [], 1000, 2))).toBeNull();
});
