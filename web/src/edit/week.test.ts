import { describe, expect, it } from "vitest";
import { clockText, DAY, daysOf, daysText, painted, paintsOf, paintAt, weekOf, windowsOf, type Window } from "./week";

const CAP = { cap: "2 MB/s" };
const NIGHT = { cap: "unlimited", priority: 3 };
const again = (windows: readonly Window[]) => {
  const paints = paintsOf(windows);
  return windowsOf(weekOf(windows, paints), paints);
};

describe("days", () => {
  it.each([
    ["daily", "daily"],
    ["mon-fri", "mon-fri"],
    ["Saturday, sun", "sat,sun"],
    ["fri-mon", "mon,fri-sun"],
    ["mon-wed,fri", "mon-wed,fri"],
    ["mon-sun", "daily"],
  ])("%s are %s", (text, told) => expect(daysText(daysOf(text) ?? new Set())).toBe(told));

  it("that are none are not painted", () => {
    expect(daysOf("someday")).toBeNull();
    expect(daysOf("mon-")).toBeNull();
    expect(daysOf(["sat", "sun"])).toEqual(new Set([5, 6]));
  });
});

describe("windows", () => {
  it("come back as they were", () => {
    for (const window of [
      { days: "mon-fri", from: "08:00", to: "18:00", ...CAP },
      { from: "22:00", to: "06:00", ...NIGHT },
      { days: "sun", from: "23:45", to: "00:10", ...CAP },
      { days: "sat,sun", ...CAP },
      { ...CAP },
    ]) {
      expect(again([window])).toEqual([window]);
    }
  });

  it("of which several hold are as the first says", () => {
    expect(
      again([
        { days: "mon", from: "08:00", to: "10:00", ...CAP },
        { days: "mon", ...NIGHT },
      ]),
    ).toEqual([
      { days: "mon", from: "08:00", to: "10:00", ...CAP },
      { days: "mon", from: "00:00", to: "08:00", ...NIGHT },
      { days: "mon", from: "10:00", to: "24:00", ...NIGHT },
    ]);
  });

  it("that cannot be read are not painted", () => {
    expect(
      again([
        { days: "x", ...CAP },
        { from: "25:00", ...CAP },
        { from: "08:00", to: "08:00", ...CAP },
      ]),
    ).toEqual([]);
  });

  it("longer than a day are cut at midnight, since none is longer", () => {
    const week = painted(painted(weekOf([], [CAP]), [0], 600, DAY, 1), [1, 2], 0, 700, 1);
    const whole = painted(week, [1], 0, DAY, 1);
    expect(windowsOf(whole, [CAP])).toEqual([
      { days: "mon", from: "10:00", to: "24:00", ...CAP },
      { days: "tue", ...CAP },
      { days: "wed", from: "00:00", to: "11:40", ...CAP },
    ]);
    const exactly = painted(painted(weekOf([], [CAP]), [0], 480, DAY, 1), [1], 0, 480, 1);
    expect(windowsOf(exactly, [CAP])).toHaveLength(2);
  });
});

it("any painting is made of windows that paint it again", () => {
  let seed = 11;
  const random = (n: number) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return (seed >> 8) % n;
  };
  for (let turn = 0; turn < 40; turn++) {
    let week = weekOf([], []);
    for (let stroke = 0; stroke < 5; stroke++) {
      const [a, b] = [random(48) * 30, random(48) * 30];
      week = painted(week, [random(7), random(7)], Math.min(a, b), Math.max(a, b) + 30, random(3));
    }
    const windows = windowsOf(week, [CAP, NIGHT]);
    const made = weekOf(windows, [CAP, NIGHT]);
    expect(made.every((paint, minute) => paint === week[minute])).toBe(true); // `toEqual` takes seconds
  }
});

it("a part of a day is painted in one colour, in none, or in several", () => {
  const week = painted(weekOf([], []), [3], 60, 75, 1);
  expect(paintAt(week, 3, 60, 75)).toBe(1);
  expect(paintAt(week, 3, 60, 90)).toBeNull();
  expect(paintAt(week, 2, 60, 90)).toBe(0);
  expect(clockText(75)).toBe("01:15");
});
