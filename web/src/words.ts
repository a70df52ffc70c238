/** Words for what the server tells: its sentences, and its groups. */

import type { TrackerRow } from "./api/types.gen";
import { t } from "./i18n";

/** With a capital at the beginning, but for names: `qBittorrent`, `cross-seed`, `global.uplink`. */
export function capital(sentence: string): string {
  const word = /^[a-z]+(?=[\s,;:]|$)/.exec(sentence);
  return word === null ? sentence : sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

/** The server's `reason. hint: what to do` as one sentence. */
export function plain(sentence: string): string {
  return sentence.replace(/\. hint: /, ": ");
}

/** The name of a group; the line has none in the file. */
export function groupName(row: Pick<TrackerRow, "id" | "name">): string {
  return row.id === "" ? t("tree.line") : row.name;
}
