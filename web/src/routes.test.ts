import { expect, it } from "vitest";
import { go, href, parse, route } from "./routes";

it("an address names a page and its parameters", () => {
  expect(parse("#/torrents?tracker=a%2Fb&sort=rate")).toEqual({
    page: "torrents",
    params: { tracker: "a/b", sort: "rate" },
  });
  expect(parse("")).toEqual({ page: "overview", params: {} });
  expect(parse("#/nowhere")).toEqual({ page: "overview", params: {} });
});

it("is made from them, without what is empty", () => {
  expect(href("torrents", { tracker: "a/b", search: "" })).toBe("#/torrents?tracker=a%2Fb");
  expect(href("overview")).toBe("#/");
});

it("a filter leaves no step to go back to", () => {
  const steps = history.length;
  go("torrents", { search: "x" }, { replace: true });
  expect(route.value).toEqual({ page: "torrents", params: { search: "x" } });
  expect(history.length).toBe(steps);
});
