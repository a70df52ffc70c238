import { expect, it } from "vitest";
import { conditionsOf, emptyOf, exceptionsOf, freeOf, mappingOf, notOf, type Mapping } from "./selector";

const ENTRY: Mapping = {
  category: ["movies", "tv"],
  tags: ["keep"],
  private: true,
  state: "seeding",
  ratio: { above: 1, below: 3.5 },
  age: { above: "30d" },
  torrent_name: "S\\d\\dE\\d\\d",
};

it("an entry is rows, and rows are the entry again", () => {
  const rows = conditionsOf({ ...ENTRY, max_upload_speed: "1 MB/s" });
  expect(rows).toContainEqual({ field: "ratio", op: "below", value: "3.5" });
  expect(rows).toHaveLength(8);
  expect(mappingOf(rows)).toEqual(ENTRY);
});

it("a single word is a list of one", () => {
  expect(mappingOf(conditionsOf({ category: "movies" }))).toEqual({ category: ["movies"] });
});

it("rows without a value are left out; texts that are numbers stay texts where a text is meant", () => {
  const rows = [
    emptyOf({ field: "tags", op: "any" }),
    emptyOf({ field: "size", op: "below" }),
    { field: "torrent_name", op: "matches", value: "2024" },
    { field: "age", op: "below", value: " 12h " },
  ] as const;
  expect(mappingOf(rows)).toEqual({ torrent_name: "2024", age: { below: "12h" } });
});

it("each field and operator can be asked once", () => {
  const free = freeOf(conditionsOf({ ratio: { above: 1 }, tags: ["a"] }), ["ratio", "tags", "private"]);
  expect(free).toEqual([
    { field: "ratio", op: "below" },
    { field: "private", op: "is" },
  ]);
});

it("exceptions are one mapping or several", () => {
  const one = { tags: ["slow"] };
  expect(exceptionsOf(one)).toEqual([one]);
  expect(exceptionsOf([one, { private: true }])).toHaveLength(2);
  expect(notOf([one])).toEqual(one);
  expect(notOf([one, {}, { private: true }])).toEqual([one, { private: true }]);
  expect(notOf([{}])).toBeNull();
});
