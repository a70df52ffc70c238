/** The last minutes of one torrent, as they come in, and the points of its chart. */

import type { JournalRow, RecentTorrent } from "../../api/types.gen";

export const SPAN_S = 300;
const LEAST_HOLE_S = 20;

export interface Recent {
  readonly at: readonly number[];
  readonly rate: readonly number[];
  readonly limit: readonly (number | null)[];
}

export const NOTHING: Recent = { at: [], rate: [], limit: [] };

/** Add what is newer, and drop what is older than the chart. */
export function joined(known: Recent, found: RecentTorrent): Recent {
  const last = known.at.at(-1) ?? 0;
  const added = found.at.findIndex((at) => at > last);
  if (added === -1) return known;
  const newest = found.at.at(-1) ?? 0;
  const kept = known.at.filter((at) => at < newest - SPAN_S - LEAST_HOLE_S).length;
  const join = <T>(mine: readonly T[], theirs: readonly T[]) => [...mine.slice(kept), ...theirs.slice(added)];
  return {
    at: join(known.at, found.at),
    rate: join(known.rate, found.rate),
    limit: join(known.limit, found.limit),
  };
}

export interface Points {
  readonly at: number[];
  readonly rate: (number | null)[];
  readonly limit: (number | null)[];
}

/**
 * Points of a chart that ends at `to`, Unix seconds. Limits before the torrent was opened are those of its history,
 * newest first. `intervalS`: seconds between cycles, by which a hole is recognised.
 */
export function points(known: Recent, history: readonly JournalRow[], to: number, intervalS: number): Points {
  const from = to - SPAN_S;
  const found: Points = { at: [], rate: [], limit: [] };
  const add = (at: number, rate: number | null, limit: number | null) => {
    if (at <= (found.at.at(-1) ?? -Infinity)) return;
    found.at.push(at);
    found.rate.push(rate);
    found.limit.push(limit);
  };
  const begun = known.at[0] ?? to;
  const written = history.filter((line) => line.status !== "failed" && line.status !== "intended").reverse();
  const before = written.filter((line) => line.at < begun);
  const within = before.filter((line) => line.at > from);
  const earlier = within[0] === undefined ? before.at(-1)?.new : within[0].old;
  if (earlier !== undefined) add(from, null, earlier);
  for (const line of within) add(line.at, null, line.new);
  const holeS = Math.max(LEAST_HOLE_S, 4 * intervalS);
  known.at.forEach((at, index) => {
    if (at < from - holeS) return;
    const last = known.at[index - 1];
    if (last !== undefined && at - last > holeS) add((last + at) / 2, null, null);
    add(at, known.rate[index] ?? null, known.limit[index] ?? null);
  });
  return found;
}

/** What a sentence about the chart says, bytes/s; null if nothing is known. */
export function summaryOf(found: Points): { mean: number; peak: number } | null {
  const rates = found.rate.filter((rate) => rate !== null);
  if (rates.length === 0) return null;
  return { mean: rates.reduce((sum, rate) => sum + rate, 0) / rates.length, peak: Math.max(...rates) };
}
