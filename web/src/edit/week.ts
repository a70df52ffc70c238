/**
 * A schedule as a week that can be painted: a list of windows becomes a week of minutes, and a week of minutes the
 * fewest windows.
 */

/** A window of a schedule as it stands in the file. */
export interface Window {
  readonly days?: string | readonly string[];
  readonly from?: string;
  readonly to?: string;
  readonly [setting: string]: unknown;
}

/** What counts in a window: its settings without its times, as `{ cap: "2 MB/s" }`. */
export type Numbers = Readonly<Record<string, unknown>>;

/** For each minute of the week, from Monday on, the number of what is painted there; 0 is nothing. */
export type Week = Uint8Array;

export const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
export const DAY = 24 * 60;
const WEEK = 7 * DAY;
const CLOCK = /^([01]?\d|2[0-4]):([0-5]\d)$/;

/** The days that a text names, as numbers from Monday; null if it is no such text. */
export function daysOf(text: Window["days"]): Set<number> | null {
  const found = new Set<number>();
  const parts = (typeof text === "string" ? text : (text ?? ["daily"]).join(",")).toLowerCase().replaceAll(" ", "");
  for (const part of parts.split(",")) {
    if (part === "daily") return new Set(DAYS.keys());
    const [first, last] = part.split("-").map((name) => DAYS.findIndex((day) => day === name.slice(0, 3)));
    if (first === undefined || first < 0 || last === -1) return null;
    const length = last === undefined ? 0 : (last - first + 7) % 7;
    for (let step = 0; step <= length; step++) found.add((first + step) % 7);
  }
  return found;
}

/** Days in the fewest words: `daily`, `mon-fri`, `sat,sun`. */
export function daysText(days: ReadonlySet<number>): string {
  if (days.size === 7) return "daily";
  const parts: string[] = [];
  for (let day = 0; day < 7; day++) {
    if (!days.has(day)) continue;
    let last = day;
    while (days.has(last + 1)) last += 1;
    const names = DAYS.slice(day, last + 1);
    parts.push(names.length > 2 ? `${names[0]}-${names.at(-1)}` : names.join(","));
    day = last;
  }
  return parts.join(",");
}

/** A time of day in minutes; null if it is none. */
export function minuteOf(text: string | undefined, otherwise: number): number | null {
  if (text === undefined || text === "") return otherwise;
  const found = CLOCK.exec(String(text).trim());
  const minute = found ? Number(found[1]) * 60 + Number(found[2]) : DAY + 1;
  return minute > DAY ? null : minute;
}

export function clockText(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
}

export function numbersOf(window: Window): Numbers {
  return Object.fromEntries(Object.entries(window).filter(([key]) => !["days", "from", "to"].includes(key)));
}

const nameOf = (numbers: Numbers) => JSON.stringify(Object.entries(numbers).sort());
export const same = (one: Numbers, other: Numbers) => nameOf(one) === nameOf(other);

/** What can be painted with: what the windows hold, each once. */
export function paintsOf(windows: readonly Window[]): Numbers[] {
  const found = new Map<string, Numbers>();
  for (const window of windows) {
    const numbers = numbersOf(window);
    if (!found.has(nameOf(numbers))) found.set(nameOf(numbers), numbers);
  }
  return [...found.values()];
}

/** Whether the times of a window can be painted. */
export function isReadable(window: Window): boolean {
  const [from, to] = [minuteOf(window.from, 0), minuteOf(window.to, DAY)];
  return daysOf(window.days) !== null && from !== null && to !== null && from % DAY !== to;
}

/** The week of a list. The first window that holds counts; windows with times that cannot be read are left out. */
export function weekOf(windows: readonly Window[], paints: readonly Numbers[]): Week {
  const week = new Uint8Array(WEEK);
  for (const window of [...windows].reverse()) {
    const [days, from, to] = [daysOf(window.days), minuteOf(window.from, 0), minuteOf(window.to, DAY)];
    const paint = paints.findIndex((one) => same(one, numbersOf(window))) + 1;
    if (days === null || from === null || to === null || from % DAY === to || paint === 0) continue;
    const begin = from % DAY;
    const length = to > begin ? to - begin : to + DAY - begin;
    for (const day of days) for (let at = 0; at < length; at++) week[(day * DAY + begin + at) % WEEK] = paint;
  }
  return week;
}

/** The same week with these days painted from one minute to another. */
export function painted(week: Week, days: readonly number[], from: number, to: number, paint: number): Week {
  const made = week.slice();
  for (const day of days) made.fill(paint, day * DAY + from, day * DAY + to);
  return made;
}

/** The fewest windows that make this week. */
export function windowsOf(week: Week, paints: readonly Numbers[]): Window[] {
  const found: Window[] = [];
  paints.forEach((numbers, index) => {
    const spans = new Map<string, { from: number; to: number; days: Set<number> }>();
    for (const [day, from, to] of spansOf(week, index + 1)) {
      const key = `${from} ${to}`;
      const span = spans.get(key) ?? { from, to, days: new Set() };
      spans.set(key, { ...span, days: span.days.add(day) });
    }
    for (const { from, to, days } of spans.values()) {
      const isWhole = from === 0 && to === DAY;
      found.push({
        ...(days.size === 7 ? {} : { days: daysText(days) }),
        ...(isWhole ? {} : { from: clockText(from), to: clockText(to) }),
        ...numbers,
      });
    }
  });
  return found;
}

/** Where something is painted: the day on which a span begins, and its times; one that ends on the next day ends before
 * it began. */
function spansOf(week: Week, paint: number): [day: number, from: number, to: number][] {
  const begins: number[] = [];
  for (let at = 0; at < WEEK; at++) {
    if (week[at] === paint && week[(at + WEEK - 1) % WEEK] !== paint) begins.push(at);
  }
  if (begins.length === 0) return week[0] === paint ? DAYS.map((_, day) => [day, 0, DAY]) : [];
  const found: [number, number, number][] = [];
  for (const begin of begins) {
    let length = 1;
    while (week[(begin + length) % WEEK] === paint) length += 1;
    const [day, from] = [Math.floor(begin / DAY), begin % DAY];
    if (from + length > DAY && length < DAY) {
      found.push([day, from, from + length - DAY]);
      continue;
    }
    for (let left = length, at = begin; left > 0;) {
      const part = Math.min(left, DAY - (at % DAY));
      found.push([Math.floor(at / DAY) % 7, at % DAY, (at % DAY) + part]);
      at += part;
      left -= part;
    }
  }
  return found;
}

/** What is painted in a part of a day: its number, 0 if nothing is, or null if it is several. */
export function paintAt(week: Week, day: number, from: number, to: number): number | null {
  const first = week[day * DAY + from] ?? 0;
  for (let at = from + 1; at < to; at++) if (week[day * DAY + at] !== first) return null;
  return first;
}
