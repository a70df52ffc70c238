/** The announce budget of a torrent: what its site lets it upload before the next announce. */

import type { AnnounceBudget } from "../../api/types.gen";

/** Bytes that it may still upload now; 0 if it is at its limit. */
export function roomLeft({ sent, allowed }: Pick<AnnounceBudget, "sent" | "allowed">): number {
  return Math.max(0, allowed - sent);
}

/** Part of the budget that is used, 0 … 1. */
export function usedShare({ sent, allowed }: Pick<AnnounceBudget, "sent" | "allowed">): number {
  return allowed <= 0 ? (sent > 0 ? 1 : 0) : Math.min(1, sent / allowed);
}
