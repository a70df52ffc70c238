import { expect, it } from "vitest";
import type { Status, TorrentRow } from "../../api/types.gen";
import { outlookOf } from "./outlook";

const row = { tracker: "a", managed: true } as TorrentRow;
const status = (changes: Partial<Status>) =>
  ({ state: "holding", dry_run: false, trackers: [{ id: "a", cap: 1000 }], ...changes }) as Status;

it("a torrent of a held cap is limited again", () => {
  expect(outlookOf(row, status({}))).toBe("again");
});

it("nothing is written while paused, in a dry run, or without a cap", () => {
  expect(outlookOf(row, status({ state: "paused" }))).toBe("paused");
  expect(outlookOf(row, status({ state: "observing", dry_run: true }))).toBe("observing");
  const uncapped = [{ id: "a", cap: null }] as Status["trackers"];
  expect(outlookOf(row, status({ trackers: uncapped }))).toBe("uncapped");
});

it("without qBittorrent nobody knows", () => {
  expect(outlookOf(row, status({ state: "failing" }))).toBe("unknown");
  expect(outlookOf(row, null)).toBe("unknown");
});
