/** Which torrents a list shows, in which order: as the address has it, and as the API is asked. */

import type { TorrentsQuery } from "../../api/client";
import type { Params } from "../../routes";

export const STATES = ["uploading", "hungry", "active", "idle", "stopped"] as const;
export type TorrentState = (typeof STATES)[number];
export const COLUMNS = ["name", "tracker", "rate", "demand", "limit", "original", "reason"] as const;
export type Column = (typeof COLUMNS)[number];
export type YesNo = "" | "yes" | "no";

export interface Listing {
  readonly search: string;
  /** Id of a rule; empty: all. */
  readonly tracker: string;
  /** Name of one of several qBittorrents; empty: all. */
  readonly instance: string;
  readonly state: TorrentState | "";
  /** Whether the limit in force is ours. */
  readonly limited: YesNo;
  /** Whether a person gave it a limit. */
  readonly byHand: YesNo;
  readonly sort: Column;
  readonly descending: boolean;
}

/** Columns that are sorted upwards at the first click. */
const UPWARDS: readonly Column[] = ["name", "tracker", "reason"];

export function isUpwards(column: Column): boolean {
  return UPWARDS.includes(column);
}

/** Read an address. */
export function listingOf(params: Params): Listing {
  const sort = COLUMNS.find((name) => name === params["sort"]) ?? "rate";
  const order = params["order"];
  return {
    search: params["q"] ?? "",
    tracker: params["tracker"] ?? "",
    instance: params["instance"] ?? "",
    state: STATES.find((name) => name === params["state"]) ?? "",
    limited: yesNo(params["limited"]),
    byHand: yesNo(params["byhand"]),
    sort,
    descending: order === "desc" || (order !== "asc" && !isUpwards(sort)),
  };
}

function yesNo(value: string | undefined): YesNo {
  return value === "yes" || value === "no" ? value : "";
}

/** The address of a list; what is usual is left out. */
export function paramsOf(listing: Listing): Params {
  const { search, sort, descending } = listing;
  return {
    q: search,
    tracker: listing.tracker,
    instance: listing.instance,
    state: listing.state,
    limited: listing.limited,
    byhand: listing.byHand,
    sort: sort === "rate" ? "" : sort,
    order: descending === !isUpwards(sort) ? "" : descending ? "desc" : "asc",
  };
}

/** What to ask the API for. */
export function queryOf(listing: Listing): TorrentsQuery {
  const { state } = listing;
  return {
    search: listing.search,
    sort: listing.sort,
    order: listing.descending ? "desc" : "asc",
    ...(listing.tracker === "" ? {} : { tracker: listing.tracker }),
    ...(listing.instance === "" ? {} : { instance: listing.instance }),
    ...(state === "uploading" || state === "hungry" ? { [state]: true } : {}),
    ...(state === "active" || state === "idle" || state === "stopped" ? { activity: state } : {}),
    ...(listing.limited === "" ? {} : { limited: listing.limited === "yes" }),
    ...(listing.byHand === "" ? {} : { set_by_hand: listing.byHand === "yes" }),
  };
}

/** Whether something is left out. */
export function isFiltered(listing: Listing): boolean {
  const { search, tracker, instance, state, limited, byHand } = listing;
  return [search, tracker, instance, state, limited, byHand].some((value) => value !== "");
}
