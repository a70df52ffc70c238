/**
 * The status as it is now, for the whole page: one stream of server-sent events, and polling where none comes through.
 *
 * Nothing is asked while the page is hidden. With each new connection the last minutes of all rates are fetched, so that
 * charts have no hole.
 */

import { batch, computed, signal } from "@preact/signals";
import { ApiError, checkSession, getRecent, getStatus, session } from "./client";
import type { RecentRates, Status } from "./types.gen";

export type Connection = "connecting" | "live" | "polling" | "offline" | "hidden";

/** Rates of one tracker, oldest first, bytes/s; null is unlimited. */
export interface Samples {
  readonly at: number[];
  readonly rate: number[];
  readonly cap: (number | null)[];
  readonly effective: (number | null)[];
}

const KEEP_S = 3700;
/** States in which figures are those of an earlier cycle. */
const UNREAD: readonly string[] = ["starting", "waiting", "failing"];
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;
const LEAST_POLL_MS = 3000;

export const status = signal<Status | null>(null);
export const connection = signal<Connection>("connecting");
/** When the connection was lost, Unix seconds; 0 while there is one. */
export const lostAt = signal(0);
/** The version that this page was loaded from; another one in `status` means that the page is old. */
export const loadedVersion = signal("");
/** Unix seconds by the server's clock, each second while the page is shown. */
export const now = signal(Date.now() / 1000);
/** Seconds since the last cycle was heard of. */
export const silence = computed(() => Math.max(0, now.value - heardAt.value));
/** Counts what was added to the samples. Read it to be told. */
export const samplesVersion = signal(0);

/** Counts connections: what was fetched before the newest one may lack something. */
export const connects = signal(0);

const samples = new Map<string, Samples>();
const heardAt = signal(Date.now() / 1000);
let skew = 0; // seconds that the server's clock is ahead of ours
let source: EventSource | null = null;
let attempts = 0;
let retryTimer: ReturnType<typeof setTimeout> | undefined;
let watchTimer: ReturnType<typeof setTimeout> | undefined;
let pollTimer: ReturnType<typeof setTimeout> | undefined;
let clockTimer: ReturnType<typeof setInterval> | undefined;
let started = false;

/** The samples of one tracker; depends on `samplesVersion`. */
export function samplesOf(tracker: string): Samples {
  void samplesVersion.value;
  return samples.get(tracker) ?? { at: [], rate: [], cap: [], effective: [] };
}

/** Begin; to be called once the person is let in. */
export function start(): void {
  if (started) return;
  started = true;
  document.addEventListener("visibilitychange", follow);
  follow();
}

/** End, as after a logout. */
export function stop(): void {
  if (!started) return;
  started = false;
  document.removeEventListener("visibilitychange", follow);
  rest();
  clearInterval(clockTimer);
}

function follow(): void {
  if (document.hidden) {
    rest();
    clearInterval(clockTimer);
    connection.value = "hidden";
  } else {
    tick();
    clearInterval(clockTimer);
    clockTimer = setInterval(tick, 1000);
    heardAt.value = now.value;
    attempts = 0;
    connection.value = "connecting";
    connect();
  }
}

function tick(): void {
  now.value = Date.now() / 1000 + skew;
}

/** Let go of the connection and of all timers. */
function rest(): void {
  source?.close();
  source = null;
  for (const timer of [retryTimer, watchTimer, pollTimer]) clearTimeout(timer);
}

function connect(): void {
  rest();
  const opened = new EventSource("api/v1/events");
  let first = true;
  source = opened;
  watch();
  opened.addEventListener("open", () => {
    connects.value += 1;
    getRecent().then(takeRecent, () => undefined); // without it there is a hole, and nothing worse
  });
  opened.addEventListener("status", (event: MessageEvent<string>) => {
    const found = JSON.parse(event.data) as Status;
    if (!first) skew = found.at - Date.now() / 1000; // the first one may be of a cycle long ago
    first = false;
    attempts = 0;
    clearTimeout(pollTimer);
    takeStatus(found);
    heard("live");
    watch();
  });
  opened.addEventListener("error", () => {
    // Ours to begin again: a browser gives up after an answer other than 200, and knows no back-off.
    if (source !== opened) return;
    rest();
    void afterFailure();
  });
}

async function afterFailure(): Promise<void> {
  let answers = true;
  try {
    await checkSession(); // the stream ends with the session, and does not say so
    if (session.peek().state !== "in") return;
  } catch (error) {
    answers = false;
    if (error instanceof ApiError) lost();
  }
  if (!started || document.hidden || source !== null) return;
  const pause = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempts) * (0.75 + Math.random() / 2);
  attempts += 1;
  clearTimeout(retryTimer);
  retryTimer = setTimeout(connect, pause);
  if (answers) void poll(); // but not with a stream: as when too many listen
}

function heard(how: Connection): void {
  batch(() => {
    connection.value = how;
    lostAt.value = 0;
  });
}

function lost(): void {
  batch(() => {
    connection.value = "offline";
    lostAt.value ||= Date.now() / 1000 + skew;
  });
}

/** If no event comes for long, a proxy may be holding them back: then ask. */
function watch(): void {
  clearTimeout(watchTimer);
  watchTimer = setTimeout(() => void poll(), 1000 * (2 * (status.peek()?.interval_s ?? 0) + 15));
}

async function poll(): Promise<void> {
  const asked = source;
  try {
    const found = await getStatus();
    if (source !== asked) return;
    takeStatus(found);
    heard("polling");
  } catch {
    lost();
  }
  if (!started || document.hidden || source !== asked) return;
  clearTimeout(pollTimer);
  pollTimer = setTimeout(() => void poll(), Math.max(LEAST_POLL_MS, 1000 * (status.peek()?.interval_s ?? 0)));
}

/** Take a status in that came some other way, as after a command. */
export function takeStatus(found: Status): void {
  batch(() => {
    const known = status.peek();
    tick();
    if (known?.cycle !== found.cycle || known.pid !== found.pid) {
      heardAt.value = now.value;
      add(found);
    }
    loadedVersion.value ||= found.version;
    status.value = found;
  });
}

/** Ask for the status right after a command, not with the next cycle. */
export async function refresh(): Promise<void> {
  takeStatus(await getStatus());
}

function add(found: Status): void {
  if (UNREAD.includes(found.state)) return;
  for (const row of found.trackers) {
    const kept = samples.get(row.id) ?? { at: [], rate: [], cap: [], effective: [] };
    samples.set(row.id, kept);
    if (found.at <= (kept.at.at(-1) ?? 0)) continue;
    kept.at.push(found.at);
    kept.rate.push(row.rate_10s);
    kept.cap.push(row.cap);
    kept.effective.push(row.effective);
    const old = kept.at.findIndex((at) => at >= found.at - KEEP_S);
    if (old > 60) for (const list of Object.values(kept) as unknown[][]) list.splice(0, old); // now and then
  }
  samplesVersion.value += 1;
}

/** Put what the server remembers between what is older here and what is newer. */
function takeRecent(recent: RecentRates): void {
  const began = recent.at[0];
  const ended = recent.at.at(-1);
  if (began === undefined || ended === undefined) return;
  for (const [tracker, rates] of Object.entries(recent.trackers)) {
    const kept = samples.get(tracker) ?? { at: [], rate: [], cap: [], effective: [] };
    const held = recent.at.map((_, index) => index).filter((index) => rates.rate[index] !== null);
    const older = kept.at.filter((at) => at < began).length;
    const newer = kept.at.filter((at) => at <= ended).length;
    const merged = <T>(mine: readonly T[], theirs: readonly (T | undefined)[], otherwise: T) => [
      ...mine.slice(0, older),
      ...held.map((index) => theirs[index] ?? otherwise),
      ...mine.slice(newer),
    ];
    samples.set(tracker, {
      at: merged(kept.at, recent.at, 0),
      rate: merged<number | null>(kept.rate, rates.rate, 0).map((value) => value ?? 0),
      cap: merged(kept.cap, rates.cap, null),
      effective: merged(kept.effective, rates.effective, null),
    });
  }
  samplesVersion.value += 1;
}
