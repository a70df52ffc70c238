/** Points of a tracker's chart: history first, then what was heard since. */

import type { Samples } from "../../api/live";
import type { RateRow } from "../../api/types.gen";

export const RANGES = {
  "5m": { seconds: 300, step: 60, refreshS: 0 },
  "1h": { seconds: 3600, step: 60, refreshS: 60 },
  "24h": { seconds: 86400, step: 300, refreshS: 300 },
  "7d": { seconds: 7 * 86400, step: 1800, refreshS: 600 },
  "30d": { seconds: 30 * 86400, step: 7200, refreshS: 1800 },
} as const;

export type Range = keyof typeof RANGES;

export const RANGE_NAMES = Object.keys(RANGES) as Range[];

type Column = (number | null)[];

export interface Points {
  readonly at: number[];
  readonly rate: Column;
  readonly cap: Column;
  readonly effective: Column;
}

/** Stretches of history further apart than this many steps have a hole between them. */
const HOLE_STEPS = 1.6;
const LEAST_HOLE_S = 20;

/**
 * Join the history of a tracker with its samples. `intervalS`: seconds between cycles, by which a hole among samples is
 * recognised.
 */
export function points(
  range: Range,
  history: readonly RateRow[],
  samples: Samples,
  now: number,
  intervalS: number,
): Points {
  const { seconds, step } = RANGES[range];
  const from = now - seconds;
  const found: Points = { at: [], rate: [], cap: [], effective: [] };
  const add = (at: number, rate: number | null, cap: number | null, effective: number | null, holeS: number) => {
    const last = found.at.at(-1);
    if (last !== undefined && at <= last) return;
    if (last !== undefined && at - last > holeS) push((last + at) / 2, null, null, null);
    push(at, rate, cap, effective);
  };
  const push = (at: number, rate: number | null, cap: number | null, effective: number | null) => {
    found.at.push(at);
    found.rate.push(rate);
    found.cap.push(cap);
    found.effective.push(effective);
  };
  const holeS = Math.max(LEAST_HOLE_S, 4 * intervalS);
  const firstSample = range === "5m" ? (samples.at[0] ?? Infinity) : Infinity;
  let ended = from - step;
  for (const row of history) {
    if (row.at + step > firstSample + step / 2 || row.at + step < from) continue;
    add(row.at + step / 2, row.rate, row.cap, row.effective, HOLE_STEPS * step);
    ended = row.at + step;
  }
  // A coarse history is continued by one point for now; a fine one by all that is newer than it.
  const begin = step > 60 ? samples.at.length - 1 : range === "5m" ? 0 : samples.at.findIndex((at) => at > ended);
  let hole = Math.max(holeS, step * HOLE_STEPS);
  for (let index = Math.max(0, begin); begin >= 0 && index < samples.at.length; index++) {
    const at = samples.at[index] ?? 0;
    if (at < from - holeS) continue;
    add(at, samples.rate[index] ?? null, samples.cap[index] ?? null, samples.effective[index] ?? null, hole);
    hole = holeS;
  }
  return found;
}

/** What a sentence about a chart says: bytes/s. */
export function summaryOf(found: Points): { mean: number; peak: number } | null {
  const known = found.rate.filter((rate) => rate !== null);
  if (known.length === 0) return null;
  return { mean: known.reduce((sum, rate) => sum + rate, 0) / known.length, peak: Math.max(...known) };
}
