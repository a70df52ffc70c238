/** What is to be said of the daemon's state: in two words for the header, and in a sentence with what to do. */

import { connection, lostAt, now, silence, status } from "./api/live";
import type { Status } from "./api/types.gen";
import { t } from "./i18n";
import type { Tone } from "./ui/notice";
import { clock, duration, moment } from "./units";

/** The least silence after which a cycle counts as hanging, seconds; as in the daemon's own `/health`. */
const STALE_S = 10;

export type Action = "try" | "resume" | "setup" | "settings";

export interface Verdict {
  readonly tone: Tone;
  /** In a few words. */
  readonly short: string;
  readonly sentence: string;
  /** What is wrong and what to do, sentence by sentence. The daemon's own are in English. */
  readonly details: readonly string[];
  readonly actions: readonly Action[];
}

/** The verdict as of now; null before anything is known. */
export function currentVerdict(): Verdict | null {
  if (connection.value === "offline") {
    const sentence = t("verdict.offline", { time: moment(lostAt.value, now.value) });
    return { tone: "bad", short: t("state.offline"), sentence, details: [t("verdict.offlineHelp")], actions: [] };
  }
  return status.value && verdict(status.value, silence.value, now.value);
}

/** `silent`: seconds since the last cycle was heard of. `at`: now, Unix seconds. */
export function verdict(status: Status, silent: number, at: number): Verdict {
  const step = status.next_step === "" ? [] : [status.next_step];
  const warnings = status.troubles;
  const caps = status.trackers.filter((row) => row.cap !== null).length;
  if (silent > Math.max(STALE_S, 3 * status.interval_s, 2 * status.cycle_s)) {
    const sentence = t("verdict.silent", { time: duration(silent) });
    return { tone: "bad", short: t("state.silent"), sentence, details: warnings, actions: [] };
  }
  const reload = status.reload_error === "" ? [] : [`${t("verdict.reload")} ${status.reload_error}`];
  switch (status.state) {
    case "starting":
      return told("info", t("state.starting"), t("verdict.starting"), warnings);
    case "waiting":
      return told("info", t("state.waiting"), t("verdict.waiting"), [...step, ...reload, ...warnings], ["setup"]);
    case "failing": {
      const since = status.problem_since;
      const sentence = since ? t("verdict.failingSince", { time: moment(since, at) }) : t("verdict.failing");
      const details = [status.problem, ...loginOutlook(status), ...step, ...reload, ...warnings];
      return told("bad", t("state.failing"), sentence, details, ["try", caps === 0 ? "setup" : "settings"]);
    }
    case "paused":
      return told("warn", t("state.paused"), t("verdict.paused"), [status.problem, ...reload, ...warnings], ["resume"]);
    case "observing":
      return told("info", t("state.observing"), t("verdict.observing"), [...step, ...reload, ...warnings], ["setup"]);
    default: {
      const all = [...reload, ...warnings];
      if (all.length > 0) {
        return told("warn", t("state.attention", { n: all.length }), t("verdict.attention", { n: all.length }), [
          ...all,
          ...step,
        ]);
      }
      if (caps === 0) return told("info", t("state.noCaps"), t("verdict.noCaps"), step, ["setup"]);
      return told("ok", t("state.holding", { n: caps }), t("verdict.ok", { n: caps }), step);
    }
  }
}

function told(
  tone: Tone,
  short: string,
  sentence: string,
  details: readonly string[],
  actions: readonly Action[] = [],
) {
  return { tone, short, sentence, details: details.filter((detail) => detail !== ""), actions };
}

function loginOutlook(status: Status): string[] {
  if (!status.login_pause) return [];
  const next = status.login_pause.next_try_at;
  return [next === null ? t("verdict.loginNever") : t("verdict.loginAt", { time: clock(next) })];
}
