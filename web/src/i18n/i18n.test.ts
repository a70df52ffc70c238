import { describe, expect, it } from "vitest";
import { load, t, type Message } from ".";
import { en } from "./en";
import { zh } from "./zh";

const places = (message: Message) =>
  [
    ...new Set(
      Object.values(typeof message === "string" ? { message } : message).flatMap(
        (text) => text.match(/\{\w+\}/g) ?? [],
      ),
    ),
  ].sort();

describe("texts", () => {
  it.each(Object.keys(en) as (keyof typeof en)[])("%s has the same places in both languages", (key) => {
    expect(places(zh[key])).toEqual(places(en[key]));
  });

  it("are filled, and chosen by number", async () => {
    await load("en");
    expect(t("state.holding", { n: 1 })).toBe("1 cap held");
    expect(t("state.holding", { n: 1200 })).toBe("1,200 caps held");
    await load("zh");
    expect(t("state.holding", { n: 1 })).toBe("1 个上限生效");
    expect(document.documentElement.lang).toBe("zh-CN");
    await load("en");
  });
});
