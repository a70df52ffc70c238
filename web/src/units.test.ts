import { afterEach, describe, expect, it } from "vitest";
import { unitSystem } from "./choices";
import { axisMark, axisMarks, bytes, duration, percent, rate, relative } from "./units";

const plain = (text: string) => text.replace(/\u202f/g, " ");

afterEach(() => {
  unitSystem.value = "binary";
});

describe("bytes and rates", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "0.98 KiB"],
    [1536, "1.50 KiB"],
    [10 * 1024, "10.0 KiB"],
    [100 * 1024, "100 KiB"],
    [1023 * 1024, "1.00 MiB"],
    [5 * 1024 ** 5 * 1024, "5,120 PiB"],
    [-2048, "−2.00 KiB"],
  ])("%d is %s as in qBittorrent", (amount, text) => {
    expect(plain(bytes(amount))).toBe(text);
  });

  it("are SI by choice", () => {
    unitSystem.value = "si";
    expect(plain(bytes(1500))).toBe("1.50 kB");
    expect(plain(rate(2_000_000))).toBe("2.00 MB/s");
  });

  it("may be unlimited", () => {
    expect(rate(null)).toBe("unlimited");
  });
});

describe("marks of an axis", () => {
  it("are round in the unit in use", () => {
    expect(axisMarks(1.1 * 1024 ** 2).map((mark) => mark / 1024 ** 2)).toEqual([0, 0.25, 0.5, 0.75, 1]);
    unitSystem.value = "si";
    expect(axisMarks(950_000)).toEqual([0, 200_000, 400_000, 600_000, 800_000]);
  });

  it("have one unit", () => {
    expect([0, 0.5, 1].map((mark) => plain(axisMark(mark * 1024 ** 2, 1024 ** 2)))).toEqual([
      "0",
      "0.5 MiB/s",
      "1 MiB/s",
    ]);
  });

  it("exist for nothing at all", () => {
    expect(axisMarks(0)[0]).toBe(0);
    expect(axisMarks(0).length).toBeLessThan(10);
  });
});

describe("times", () => {
  it.each([
    [0, "0 s"],
    [59.4, "59 s"],
    [60, "1 min"],
    [3660, "1 h 1 min"],
    [90061, "1 d 1 h"],
  ])("%d s are %s", (seconds, text) => {
    expect(plain(duration(seconds))).toBe(text);
  });

  it("are told from now", () => {
    expect(relative(1000, 1300)).toBe("5 minutes ago");
    expect(relative(8200, 1000)).toBe("in 2 hours");
    expect(percent(0.987)).toBe("99%");
  });
});
