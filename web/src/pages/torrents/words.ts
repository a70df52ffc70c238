/** What is said of a torrent. */

import type { TorrentRow, TrackerRow } from "../../api/types.gen";
import { t } from "../../i18n";
import type { IconName } from "../../ui/icon";

export type Shown = "hungry" | "uploading" | "downloading" | "active" | "idle" | "stopped";

export const STATE_ICONS: Readonly<Record<Shown, IconName>> = {
  hungry: "up",
  uploading: "up",
  downloading: "down",
  active: "play",
  idle: "clock",
  stopped: "pause",
};

/** Rates below this are no upload, bytes/s. */
const NOTHING = 1;

export function stateOf(row: TorrentRow): Shown {
  if (row.hungry) return "hungry";
  if (row.rate >= NOTHING) return "uploading";
  if (row.activity === "active") return row.downloading ? "downloading" : "active";
  return row.activity;
}

/** Whether the limit in force is one that a person set. */
export function isByHand(row: TorrentRow): boolean {
  return !row.limited && row.limit !== null;
}

export function nameOf(row: TorrentRow): string {
  return row.name ?? t("torrents.nameless", { hash: row.hash.slice(0, 12) });
}

/** Why it has its limit. `tracker`: its rule, as far as known. */
export function reasonOf(row: TorrentRow, tracker: TrackerRow | undefined): string {
  if (row.reason !== "" || tracker === undefined || tracker.cap !== null) return row.reason;
  return t("torrents.reasonNoCap", { tracker: tracker.name });
}
