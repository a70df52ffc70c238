import { expect, it } from "vitest";
import { firstDay, stretches } from "./usage";

const row = (start: string, bytes: number, group = "a") => ({ group, start, at: 0, bytes });

it("days without uploads stand between the others", () => {
  const found = stretches([row("2026-02-27", 5), row("2026-03-01", 7)], "2026-02-27", "2026-03-02", "day");
  expect(found.map(({ start, bytes }) => [start, bytes])).toEqual([
    ["2026-02-27", 5],
    ["2026-02-28", 0],
    ["2026-03-01", 7],
    ["2026-03-02", 0],
  ]);
});

it("months go over the end of a year", () => {
  const found = stretches([row("2027-01", 9)], "2026-11-15", "2027-02-03", "month");
  expect(found.map(({ start, bytes }) => [start, bytes])).toEqual([
    ["2026-11", 0],
    ["2026-12", 0],
    ["2027-01", 9],
    ["2027-02", 0],
  ]);
});

it("a stretch begins a month, or a year, before its end", () => {
  expect(firstDay("day", new Date(2026, 2, 31))).toBe("2026-03-01");
  expect(firstDay("month", new Date(2026, 2, 31))).toBe("2025-04-01");
});
