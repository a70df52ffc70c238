import { describe, expect, it } from "vitest";
import { filters, filtersOf, paramsOf, queryOf } from "./filters";

const HASH = "ab".repeat(20);
const NONE = { search: "", torrent: "", tracker: "", kind: "", span: "", from: "", to: "" } as const;

describe("filters", () => {
  it("come out of the address and go back into it", () => {
    const params = { search: "film", torrent: HASH, tracker: "a/b", kind: "restored", time: "24h" };
    const found = filtersOf(params);
    expect(found).toEqual({ ...NONE, search: "film", torrent: HASH, tracker: "a/b", kind: "restored", span: "24h" });
    expect(paramsOf(found)).toEqual(params);
    expect(filters(found)).toBe(true);
    expect(filters(filtersOf({}))).toBe(false);
  });

  it("ignore what is none", () => {
    expect(filtersOf({ torrent: "abc", kind: "lost", time: "1y", from: "yesterday" })).toEqual(NONE);
    expect(filtersOf({ from: "2026-11-30T12:00" }).span).toBe("custom");
    expect(filtersOf({ torrent: HASH.toUpperCase() }).torrent).toBe(HASH);
  });

  it("ask for times by the server's clock, and for local ones", () => {
    expect(queryOf({ ...NONE, span: "1h" }, 10_000)).toEqual({ names: true, search: "", start: 6400 });
    const custom = { ...NONE, span: "custom", from: "2026-11-30T12:00", to: "" } as const;
    expect(queryOf(custom, 0)).toEqual({ names: true, search: "", start: new Date(2026, 10, 30, 12).getTime() / 1000 });
    const until = { ...NONE, span: "custom", to: "2026-11-30T12:00" } as const;
    expect(queryOf(until, 0).end).toBe(new Date(2026, 10, 30, 12).getTime() / 1000);
    expect(queryOf(NONE, 0)).toEqual({ names: true, search: "" });
  });
});
