import { beforeEach, expect, it } from "vitest";
import { MOST_CHOSEN, Selection } from "./selection";

const numbers = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => String(first + index));

let selection: Selection;
const chosen = () => [...selection.chosen.value];

beforeEach(() => {
  selection = new Selection(async (first, last) => Promise.resolve(numbers(first, last)));
});

it("chooses one by one, and no longer", () => {
  selection.toggle(3, "3", 1);
  selection.toggle(5, "5", 1);
  selection.toggle(3, "3", 1);
  expect(chosen()).toEqual(["5"]);
});

it("chooses from one to another, in both directions, beside what was chosen", async () => {
  selection.toggle(9, "9", 1);
  selection.toggle(4, "4", 1);
  expect(await selection.extend(6, 1)).toBe(true);
  expect(chosen()).toEqual(["9", "4", "5", "6"]);
  await selection.extend(2, 1);
  expect(chosen()).toEqual(["9", "4", "2", "3"]);
});

it("begins anew where the order of the list is another one", async () => {
  selection.toggle(1, "1", 1);
  await selection.extend(8, 2);
  expect(chosen()).toEqual(["1", "8"]);
  await selection.extend(7, 2);
  expect(chosen()).toEqual(["1", "7", "8"]);
});

it("chooses all, up to what the server takes", async () => {
  expect(await selection.all(MOST_CHOSEN + 1)).toBe(false);
  expect(chosen()).toEqual([]);
  expect(await selection.all(3)).toBe(true);
  expect(chosen()).toEqual(["0", "1", "2"]);
  selection.clear();
  expect(chosen()).toEqual([]);
});

it("drops an answer that came after another wish", async () => {
  let answer: (found: readonly string[]) => void = () => undefined;
  selection = new Selection(async () => new Promise((resolve) => (answer = resolve)));
  const all = selection.all(2);
  expect(selection.busy.value).toBe(true);
  selection.toggle(7, "7", 1);
  answer(["0", "1"]);
  await all;
  expect([chosen(), selection.busy.value]).toEqual([["7"], false]);
});
