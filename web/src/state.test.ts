import { expect, it } from "vitest";
import type { Status, TrackerRow } from "./api/types.gen";
import { verdict } from "./state";

const tracker = { id: "a", name: "A", cap: 1000 } as TrackerRow;

const status = (changes: Partial<Status>): Status =>
  ({
    state: "holding",
    problem: "",
    problem_since: null,
    next_step: "",
    troubles: [],
    reload_error: "",
    interval_s: 5,
    cycle_s: 0.1,
    trackers: [tracker],
    login_pause: null,
    ...changes,
  }) as Status;

it("all is well while caps are held and nothing else is wrong", () => {
  expect(verdict(status({}), 3, 0)).toMatchObject({ tone: "ok", short: "1 cap held", details: [], actions: [] });
});

it("warnings of the daemon are shown one by one, a faulty file first", () => {
  const found = verdict(status({ troubles: ["disk is full"], reload_error: "line 3: no" }), 3, 0);
  expect(found).toMatchObject({ tone: "warn", short: "Caps held, 2 warnings" });
  expect(found.details[0]).toContain("line 3: no");
  expect(found.details[1]).toBe("disk is full");
});

it("without caps the next step is shown", () => {
  const found = verdict(status({ trackers: [{ ...tracker, cap: null }], next_step: "add a cap" }), 3, 0);
  expect(found).toMatchObject({ tone: "info", details: ["add a cap"], actions: ["setup"] });
});

it("a failure tells why, and when the login is tried again", () => {
  const pause = { next_try_at: null, ask_from: 0 };
  const found = verdict(status({ state: "failing", problem: "refused", login_pause: pause }), 3, 0);
  expect(found.tone).toBe("bad");
  expect(found.details[0]).toBe("refused");
  expect(found.details[1]).toContain("until qBittorrent restarts");
  expect(found.actions).toEqual(["try", "settings"]);
  const fresh = verdict(status({ state: "failing", problem: "refused", trackers: [] }), 3, 0);
  expect(fresh.actions).toEqual(["try", "setup"]);
});

it.each([
  ["starting", "info", []],
  ["waiting", "info", ["setup"]],
  ["paused", "warn", ["resume"]],
  ["observing", "info", ["setup"]],
])("%s has a tone and something to do", (state, tone, actions) => {
  expect(verdict(status({ state }), 3, 0)).toMatchObject({ tone, actions });
});

it("silence counts after three intervals, ten seconds, or twice the last cycle", () => {
  expect(verdict(status({}), 15, 0).tone).toBe("ok");
  expect(verdict(status({}), 15.1, 0).short).toBe("No news");
  expect(verdict(status({ interval_s: 1 }), 9.9, 0).tone).toBe("ok");
  expect(verdict(status({ cycle_s: 20 }), 39, 0).tone).toBe("ok");
});
