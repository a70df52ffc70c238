import { expect, it } from "vitest";
import type { ParentRow, TrackerRow } from "../../api/types.gen";
import { barOf, isTree, scaleOf, treeOf } from "./tree";

const row = (id: string, parent: string, changes: Partial<TrackerRow> = {}) =>
  ({ id, name: id, parent, rate_10s: 0, guaranteed: 2, ceiling: 4, lent: 0, borrowed: 0, ...changes }) as TrackerRow;
const inner = (id: string, parent: string, changes: Partial<ParentRow> = {}) =>
  ({
    id,
    name: id,
    parent,
    rate_10s: 0,
    guaranteed: 4,
    ceiling: 4,
    lent: 0,
    borrowed: 0,
    cap: 4,
    ...changes,
  }) as ParentRow;

it("each group stands below its parent, in the order of the file", () => {
  const status = {
    trackers: [row("films", ""), row("hd", "private"), row("sd", "private"), row("uhd", "best"), row("all", "")],
    parents: [inner("private", ""), inner("best", "private"), inner("", "", { cap: null })],
  };
  expect(isTree(status)).toBe(true);
  expect(treeOf(status).map(({ row, depth }) => `${"-".repeat(depth + 1)}${row.id}`)).toEqual([
    "",
    "-films",
    "-private",
    "--hd",
    "--sd",
    "--best",
    "---uhd",
    "-all",
  ]);
});

it("a list of trackers beneath a line without a cap is no tree; one that shares a line is", () => {
  const trackers = [row("a", ""), row("b", "")];
  expect(isTree({ trackers, parents: [inner("", "", { cap: null })] })).toBe(false);
  expect(isTree({ trackers, parents: [inner("", "", { cap: 5 })] })).toBe(true);
});

it("a circle of parents, or one that is missing, hides nothing for ever", () => {
  const status = { trackers: [row("a", "gone")], parents: [inner("x", "y"), inner("y", "x")] };
  expect(treeOf(status).map(({ row }) => row.id)).toEqual(["a"]);
});

it("a bar shows what is its own, borrowed and lent", () => {
  const nodes = treeOf({
    trackers: [row("a", "", { rate_10s: 3 }), row("b", "", { rate_10s: 0.5, lent: 1 })],
    parents: [],
  });
  const scale = scaleOf(nodes);
  expect(scale).toBe(4);
  expect(barOf(row("a", "", { rate_10s: 3 }), scale)).toEqual({
    own: 0.5,
    borrowed: 0.25,
    lent: 0,
    guaranteed: 0.5,
    ceiling: 1,
  });
  expect(barOf(row("b", "", { rate_10s: 0.5, lent: 1 }), scale)).toMatchObject({ own: 0.125, lent: 0.25 });
  expect(barOf(row("c", "", { guaranteed: null, ceiling: null, rate_10s: 8 }), scale)).toMatchObject({
    own: 1,
    guaranteed: null,
    ceiling: null,
  });
});
