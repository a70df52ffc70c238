/** The tree of groups: who stands beneath whom, and what the bar of each shows. */

import type { ParentRow, Status, TrackerRow } from "../../api/types.gen";

export interface Node {
  readonly row: TrackerRow | ParentRow;
  /** The line has none, what stands right beneath it 0. */
  readonly depth: number;
  /** Whether others stand beneath it; it selects no torrents itself. */
  readonly isParent: boolean;
}

/** Whether groups share more than their own caps: else the tree is a list. */
export function isTree({ trackers, parents }: Pick<Status, "trackers" | "parents">): boolean {
  const line = parents.find((row) => row.id === "");
  return parents.length > 1 || (line !== undefined && line.cap !== null && trackers.length > 1);
}

/** All groups, each with those beneath it right below, in the order of the file. The line comes first. */
export function treeOf({ trackers, parents }: Pick<Status, "trackers" | "parents">): Node[] {
  const inner = parents.filter((row) => row.id !== "");
  const line = parents.find((row) => row.id === "");
  const known = new Set(inner.map((row) => row.id));
  const above = (row: TrackerRow | ParentRow) => (known.has(row.parent) ? row.parent : "");
  const found: Node[] = line === undefined ? [] : [{ row: line, depth: -1, isParent: true }];
  const add = (parent: string, depth: number) => {
    // A parent stands where the first of those beneath it does.
    const place = (row: TrackerRow | ParentRow) => placeOf(row.id, new Set());
    const own = [...inner.filter((row) => above(row) === parent), ...trackers.filter((row) => above(row) === parent)];
    own.sort((one, other) => place(one) - place(other));
    for (const row of own) {
      const isParent = known.has(row.id);
      found.push({ row, depth, isParent });
      if (isParent && depth < MOST_LEVELS) add(row.id, depth + 1);
    }
  };
  const placeOf = (id: string, seen: Set<string>): number => {
    const own = trackers.findIndex((row) => row.id === id);
    if (own >= 0 || seen.has(id)) return own < 0 ? trackers.length : own;
    seen.add(id);
    const beneath = [...trackers, ...inner].filter((row) => row.parent === id);
    return Math.min(trackers.length, ...beneath.map((row) => placeOf(row.id, seen)));
  };
  add("", 0);
  return found;
}

const MOST_LEVELS = 16;

/** Parts of a bar, as shares of the widest one. */
export interface Bar {
  /** Of its own rate, what is used. */
  readonly own: number;
  /** Used beyond that: lent by others. */
  readonly borrowed: number;
  /** Of its own rate, what others use. */
  readonly lent: number;
  /** Where its own rate ends; null if it has none, or is unlimited. */
  readonly guaranteed: number | null;
  /** Where it ends; null is unlimited. */
  readonly ceiling: number | null;
}

/** What the widest bar stands for, bytes/s. */
export function scaleOf(nodes: readonly Node[]): number {
  const ends = nodes.flatMap(({ row }) => [row.ceiling, row.guaranteed, row.rate_10s]);
  return Math.max(1, ...ends.filter((end) => end !== null));
}

export function barOf(row: TrackerRow | ParentRow, scale: number): Bar {
  const share = (rate: number) => Math.max(0, Math.min(1, rate / scale));
  const guaranteed = row.guaranteed;
  const own = Math.min(row.rate_10s, guaranteed ?? row.rate_10s);
  return {
    own: share(own),
    borrowed: share(row.rate_10s - own),
    lent: share(guaranteed === null ? 0 : Math.min(row.lent, guaranteed - own)),
    guaranteed: guaranteed === null || guaranteed === 0 ? null : share(guaranteed),
    ceiling: row.ceiling === null ? null : share(row.ceiling),
  };
}
