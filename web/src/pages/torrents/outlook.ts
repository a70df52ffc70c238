/** What happens to a torrent after its own limit was put back. */

import type { Status, TorrentRow } from "../../api/types.gen";

export type Outlook = "again" | "paused" | "observing" | "uncapped" | "unknown";

export function outlookOf(row: TorrentRow, status: Status | null): Outlook {
  if (status === null || ["starting", "waiting", "failing"].includes(status.state)) return "unknown";
  if (status.state === "paused") return "paused";
  if (status.dry_run) return "observing";
  const tracker = status.trackers.find((one) => one.id === row.tracker);
  if (!row.managed || tracker?.cap === null) return "uncapped";
  return "again";
}
