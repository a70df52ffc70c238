import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { RecentRates, Status } from "./types.gen";

class FakeSource extends EventTarget {
  static all: FakeSource[] = [];
  closed = false;
  constructor(readonly url: string) {
    super();
    FakeSource.all.push(this);
  }
  close() {
    this.closed = true;
  }
  say(status: Status) {
    this.dispatchEvent(new MessageEvent("status", { data: JSON.stringify(status) }));
  }
}

const START = 1_800_000_000;
const row = (rate: number) => ({ id: "a", rate_10s: rate, cap: 100, effective: null });
const status = (cycle: number, changes: object = {}) =>
  ({
    pid: 1,
    version: "1",
    cycle,
    at: START + cycle,
    state: "holding",
    interval_s: 5,
    trackers: [row(cycle)],
    ...changes,
  }) as unknown as Status;
const answers = new Map<string, { status: number; body: unknown }>();

beforeEach(() => {
  vi.useFakeTimers({ now: START * 1000 });
  vi.resetModules();
  FakeSource.all = [];
  answers.clear();
  answers.set("api/v1/session", { status: 200, body: { kind: "anyone", user: "anyone" } });
  answers.set("api/v1/history/recent", { status: 200, body: { at: [], trackers: {} } });
  vi.stubGlobal("EventSource", FakeSource);
  vi.stubGlobal("fetch", (path: string) => {
    const found = answers.get(path);
    if (!found) return Promise.reject(new TypeError("no connection"));
    return Promise.resolve(new Response(JSON.stringify(found.body), { status: found.status }));
  });
  Object.defineProperty(document, "hidden", { value: false, configurable: true });
});

afterEach(async () => {
  (await import("./live")).stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

async function begun() {
  const live = await import("./live");
  const { checkSession } = await import("./client");
  await checkSession();
  live.start();
  return { live, source: FakeSource.all[0] as FakeSource };
}

it("what the server remembers goes before what is heard", async () => {
  const { live, source } = await begun();
  const recent: RecentRates = {
    at: [START - 10, START - 5],
    trackers: { a: { rate: [1, 2], cap: [100, 100], effective: [null, null] } },
  };
  answers.set("api/v1/history/recent", { status: 200, body: recent });
  source.dispatchEvent(new Event("open"));
  source.say(status(3));
  await vi.advanceTimersByTimeAsync(10);
  expect(live.samplesOf("a").at).toEqual([START - 10, START - 5, START + 3]);
  expect(live.samplesOf("a").rate).toEqual([1, 2, 3]);
  expect(live.connection.value).toBe("live");
});

it("a lost connection is tried again with a growing pause", async () => {
  const { live, source } = await begun();
  source.say(status(1));
  answers.clear();
  source.dispatchEvent(new Event("error"));
  await vi.advanceTimersByTimeAsync(10);
  expect(live.connection.value).toBe("offline");
  expect(live.lostAt.value).toBeGreaterThan(0);
  for (let turn = 1; turn < 4; turn++) {
    await vi.advanceTimersByTimeAsync(40_000);
    const newest = FakeSource.all.at(-1);
    newest?.dispatchEvent(new Event("error"));
  }
  expect(FakeSource.all.length).toBe(4);
  FakeSource.all.at(-1)?.say(status(2));
  expect(live.connection.value).toBe("live");
  expect(live.lostAt.value).toBe(0);
});

it("where no event comes through it asks, until one does", async () => {
  const { live, source } = await begun();
  answers.set("api/v1/status", { status: 200, body: status(7) });
  await vi.advanceTimersByTimeAsync(16_000);
  expect(live.connection.value).toBe("polling");
  expect(live.status.value?.cycle).toBe(7);
  source.say(status(8));
  expect(live.connection.value).toBe("live");
});

it("a page for which there is no stream left asks, and goes on asking", async () => {
  const { live, source } = await begun();
  answers.delete("api/v1/session");
  source.dispatchEvent(new Event("error"));
  await vi.advanceTimersByTimeAsync(10);
  expect(live.connection.value).toBe("offline");
  answers.set("api/v1/session", { status: 200, body: { kind: "anyone", user: "anyone" } });
  answers.set("api/v1/status", { status: 200, body: status(7) });
  await vi.advanceTimersByTimeAsync(2000);
  FakeSource.all.at(-1)?.dispatchEvent(new Event("error")); // 503: too many listen
  await vi.advanceTimersByTimeAsync(10);
  expect(live.connection.value).toBe("polling");
  expect(live.status.value?.cycle).toBe(7);
  for (const cycle of [20, 40, 60]) {
    answers.set("api/v1/status", { status: 200, body: status(cycle) });
    await vi.advanceTimersByTimeAsync(20_000);
    const newest = FakeSource.all.at(-1);
    if (!newest?.closed) newest?.dispatchEvent(new Event("error"));
    await vi.advanceTimersByTimeAsync(5_100);
    expect(live.status.value?.cycle).toBe(cycle);
    expect(live.connection.value).toBe("polling");
  }
  await vi.advanceTimersByTimeAsync(40_000);
  FakeSource.all.at(-1)?.say(status(100));
  expect(live.connection.value).toBe("live");
  const asked = FakeSource.all.length;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(FakeSource.all.length).toBe(asked);
});

it("a hidden page asks for nothing", async () => {
  const { live, source } = await begun();
  Object.defineProperty(document, "hidden", { value: true, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
  expect(source.closed).toBe(true);
  expect(live.connection.value).toBe("hidden");
  await vi.advanceTimersByTimeAsync(600_000);
  expect(FakeSource.all.length).toBe(1);
  Object.defineProperty(document, "hidden", { value: false, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
  expect(FakeSource.all.length).toBe(2);
});

it("figures of a cycle that read nothing are no samples", async () => {
  const { live, source } = await begun();
  source.say(status(1));
  source.say(status(2, { state: "failing" }));
  expect(live.samplesOf("a").at).toEqual([START + 1]);
});
