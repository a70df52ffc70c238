import { expect, test } from "vitest";
import { commonInstance, hashOf, instanceOf, keyOf } from "./torrent-key";

const HASH = "0123456789abcdef0123456789abcdef01234567";

test("a torrent of the only qBittorrent is known by its hash", () => {
  expect(keyOf({ hash: HASH, instance: "" })).toBe(HASH);
  expect([hashOf(HASH), instanceOf(HASH)]).toEqual([HASH, null]);
});

test("one of several is known by hash and qBittorrent", () => {
  const key = keyOf({ hash: HASH, instance: "seed box" });
  expect([hashOf(key), instanceOf(key)]).toEqual([HASH, "seed box"]);
});

test("chosen torrents have a qBittorrent in common, or none", () => {
  const [home, box] = ["home", "box"].map((instance) => keyOf({ hash: HASH, instance })) as [string, string];
  expect(commonInstance([home, home])).toBe("home");
  expect(commonInstance([home, box])).toBeNull();
  expect(commonInstance([HASH])).toBeNull();
  expect(commonInstance([])).toBeNull();
});
