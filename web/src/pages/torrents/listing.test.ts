import { expect, it } from "vitest";
import { isFiltered, listingOf, paramsOf, queryOf } from "./listing";

it("an address without parameters is all torrents, fastest first", () => {
  const listing = listingOf({});
  expect(queryOf(listing)).toEqual({ search: "", sort: "rate", order: "desc" });
  expect(isFiltered(listing)).toBe(false);
  expect(Object.values(paramsOf(listing)).every((value) => value === "")).toBe(true);
});

it("an address comes back as it was", () => {
  const params = {
    q: "a b",
    tracker: "x/y",
    instance: "home",
    state: "hungry",
    limited: "no",
    byhand: "yes",
    sort: "name",
    order: "desc",
  };
  const listing = listingOf(params);
  expect(paramsOf(listing)).toEqual(params);
  expect(isFiltered(listing)).toBe(true);
  expect(queryOf(listing)).toEqual({
    search: "a b",
    tracker: "x/y",
    instance: "home",
    hungry: true,
    limited: false,
    set_by_hand: true,
    sort: "name",
    order: "desc",
  });
});

it("what an address should not hold is left out", () => {
  expect(paramsOf(listingOf({ state: "dead", limited: "maybe", sort: "colour", order: "sideways" }))).toEqual(
    paramsOf(listingOf({})),
  );
});

it("names are sorted upwards unless asked otherwise", () => {
  expect(queryOf(listingOf({ sort: "name" })).order).toBe("asc");
  expect(queryOf(listingOf({ sort: "limit" })).order).toBe("desc");
  expect(queryOf(listingOf({ state: "idle" })).activity).toBe("idle");
});
