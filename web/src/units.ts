/** Numbers as people read them: speeds, amounts, durations, times. Speeds come in bytes/s, times in Unix seconds. */

import { computed } from "@preact/signals";
import { unitSystem } from "./choices";
import { locale, t } from "./i18n";

const STEPS = {
  binary: { base: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] },
  si: { base: 1000, units: ["B", "kB", "MB", "GB", "TB", "PB"] },
} as const;
const MINUS = "−";
/** Between a number and its unit: neither a line break nor a wide gap. */
const GAP = "\u202f";

/** An amount of bytes, with three digits at most: `1.21 GiB`. */
export function bytes(amount: number): string {
  const { base, units } = STEPS[unitSystem.value];
  let scaled = Math.abs(amount);
  let power = 0;
  while (scaled >= 999.5 && power < units.length - 1) {
    scaled /= base;
    power += 1;
  }
  const digits = power === 0 || scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2;
  return `${amount < 0 ? MINUS : ""}${decimal(scaled, digits)}${GAP}${units[power] ?? ""}`;
}

/** A speed; null is unlimited. */
export function rate(bytesPerSecond: number | null): string {
  return bytesPerSecond === null ? t("unit.unlimited") : `${bytes(bytesPerSecond)}/s`;
}

/** Marks of an axis: the round numbers of the unit in use between 0 and `top`. */
export function axisMarks(top: number, most = 5): number[] {
  const { base } = STEPS[unitSystem.value];
  const power = Math.max(0, Math.floor(Math.log(Math.max(top, 1)) / Math.log(base)));
  const unit = base ** power;
  const rough = top / unit / most;
  const magnitude = 10 ** Math.floor(Math.log10(Math.max(rough, 1e-9)));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * magnitude).find((found) => found >= rough) ?? rough;
  const marks = [];
  for (let mark = 0; mark <= top / unit + step * 0.001; mark += step) marks.push(mark * unit);
  return marks;
}

/** A mark of an axis in the unit of the largest one, without needless digits: `0.5 MiB/s`. */
export function axisMark(mark: number, top: number, per = "/s"): string {
  const { base, units } = STEPS[unitSystem.value];
  const power = Math.max(0, Math.floor(Math.log(Math.max(top, 1)) / Math.log(base)));
  return mark === 0 ? "0" : `${formats.value.short.format(mark / base ** power)}${GAP}${units[power] ?? ""}${per}`;
}

/** A share of 1 as percent. */
export function percent(share: number): string {
  return formats.value.percent.format(share);
}

/** A whole number with its separators. */
export function count(number: number): string {
  return formats.value.whole.format(number);
}

function decimal(number: number, digits: number): string {
  return formats.value.decimals[digits]?.format(number) ?? number.toFixed(digits);
}

const formats = computed(() => {
  return {
    percent: new Intl.NumberFormat(locale.value, { style: "percent", maximumFractionDigits: 0 }),
    whole: new Intl.NumberFormat(locale.value, { maximumFractionDigits: 0 }),
    decimals: [0, 1, 2].map(
      (digits) => new Intl.NumberFormat(locale.value, { minimumFractionDigits: digits, maximumFractionDigits: digits }),
    ),
    short: new Intl.NumberFormat(locale.value, { maximumFractionDigits: 2 }),
    clock: new Intl.DateTimeFormat(locale.value, { timeStyle: "short" }),
    seconds: new Intl.DateTimeFormat(locale.value, { timeStyle: "medium" }),
    day: new Intl.DateTimeFormat(locale.value, { month: "short", day: "numeric" }),
    moment: new Intl.DateTimeFormat(locale.value, { dateStyle: "medium", timeStyle: "short" }),
    exact: new Intl.DateTimeFormat(locale.value, { dateStyle: "medium", timeStyle: "medium" }),
    relative: new Intl.RelativeTimeFormat(locale.value, { numeric: "auto" }),
  };
});

const SPANS = [
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
] as const;

/** A duration in its two largest units: `2 h 5 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const at = SPANS.findIndex(([, size]) => whole >= size);
  const parts: string[] = [];
  let left = whole;
  for (const [unit, size] of SPANS.slice(at === -1 ? SPANS.length - 1 : at).slice(0, 2)) {
    const number = Math.floor(left / size);
    left -= number * size;
    if (number > 0 || parts.length === 0) parts.push(`${count(number)}${GAP}${t(`unit.${unit}`)}`);
  }
  return parts.join(" ");
}

/** How long ago, or how far ahead: `5 minutes ago`. `now`: Unix seconds. */
export function relative(at: number, now: number): string {
  const seconds = at - now;
  const [unit, size] = SPANS.find(([, span]) => Math.abs(seconds) >= span) ?? SPANS[3];
  return formats.value.relative.format(Math.trunc(seconds / size), unit);
}

/** The time of day, `14:05`. */
export function clock(at: number): string {
  return formats.value.clock.format(at * 1000);
}

/** The time of day with seconds. */
export function clockSeconds(at: number): string {
  return formats.value.seconds.format(at * 1000);
}

/** A day of the year, `30 Nov`. */
export function day(at: number): string {
  return formats.value.day.format(at * 1000);
}

/** Date and time; only the time if it is today. `now`: Unix seconds. */
export function moment(at: number, now: number): string {
  const today = new Date(at * 1000).toDateString() === new Date(now * 1000).toDateString();
  return today ? clock(at) : formats.value.moment.format(at * 1000);
}

/** Date and time with seconds. */
export function exact(at: number): string {
  return formats.value.exact.format(at * 1000);
}
