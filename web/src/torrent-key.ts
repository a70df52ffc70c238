/** Which torrent is meant: its hash, and the qBittorrent that has it if there are several. */

import type { TorrentRow } from "./api/types.gen";

const HASH_DIGITS = 40;

/** `0123…` or `0123…@home`: several qBittorrents may have the same torrent. */
export function keyOf({ hash, instance }: Pick<TorrentRow, "hash" | "instance">): string {
  return instance === "" ? hash : `${hash}@${instance}`;
}

export function hashOf(key: string): string {
  return key.slice(0, HASH_DIGITS);
}

/** Null if there is only one qBittorrent. */
export function instanceOf(key: string): string | null {
  return key.slice(HASH_DIGITS + 1) || null;
}

/** The qBittorrent that has all of these torrents; null if several do, or there is only one. */
export function commonInstance(keys: readonly string[]): string | null {
  const found = new Set(keys.map(instanceOf));
  return found.size === 1 ? instanceOf(keys[0] ?? "") : null;
}
