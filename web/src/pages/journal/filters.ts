/** Which changes are shown: as it stands in the address, and as the server is asked. */

import type { JournalQuery } from "../../api/client";
import type { JournalRow } from "../../api/types.gen";
import type { Params } from "../../routes";

export const KINDS = [
  "applied",
  "restored",
  "adopted",
  "failed",
  "intended",
] as const satisfies readonly JournalRow["status"][];
export const SPANS = { "1h": 3600, "24h": 86400, "7d": 7 * 86400 } as const;
export type Kind = (typeof KINDS)[number] | "";
export type Span = keyof typeof SPANS | "custom" | "";

export interface Filters {
  /** A part of a name, or first digits of a hash. */
  readonly search: string;
  /** The hash of the only torrent; empty: all. */
  readonly torrent: string;
  readonly tracker: string;
  readonly kind: Kind;
  readonly span: Span;
  /** Of the span "custom": local times, `2026-11-30T12:00`; either may be empty. */
  readonly from: string;
  readonly to: string;
}

/** The filters of an address; what is none in it counts as not given. */
export function filtersOf(params: Params): Filters {
  const from = localTime(params["from"] ?? "") === null ? "" : (params["from"] ?? "");
  const to = localTime(params["to"] ?? "") === null ? "" : (params["to"] ?? "");
  const span = (Object.keys(SPANS) as (keyof typeof SPANS)[]).find((name) => name === params["time"]);
  return {
    search: (params["search"] ?? "").slice(0, 200),
    torrent: /^[0-9a-f]{40}$/i.test(params["torrent"] ?? "") ? (params["torrent"] ?? "").toLowerCase() : "",
    tracker: params["tracker"] ?? "",
    kind: KINDS.find((kind) => kind === params["kind"]) ?? "",
    span: span ?? (params["time"] === "custom" || from !== "" || to !== "" ? "custom" : ""),
    from,
    to,
  };
}

/** The parameters of the address; empty ones are left out there. */
export function paramsOf({ span, from, to, ...rest }: Filters): Params {
  return { ...rest, time: span, ...(span === "custom" ? { from, to } : {}) };
}

/** Whether anything is left out. */
export function filters(wanted: Filters): boolean {
  return Object.values(paramsOf(wanted)).some((value) => value !== "");
}

/** The question to the server. `at`: now, Unix seconds. */
export function queryOf(wanted: Filters, at: number): JournalQuery {
  const query: JournalQuery = { names: true, search: wanted.search.trim() };
  if (wanted.torrent !== "") query.hash = wanted.torrent;
  if (wanted.tracker !== "") query.tracker = wanted.tracker;
  if (wanted.kind !== "") query.status = wanted.kind;
  const start = wanted.span === "custom" ? localTime(wanted.from) : wanted.span && at - SPANS[wanted.span];
  const end = wanted.span === "custom" ? localTime(wanted.to) : null;
  if (start !== null && start !== "") query.start = Math.max(0, start);
  if (end !== null) query.end = Math.max(0, end);
  return query;
}

/** A local time, as a field of date and time has it, in Unix seconds; null if it is none. */
function localTime(text: string): number | null {
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text) ? new Date(text).getTime() / 1000 : NaN;
  return Number.isFinite(at) ? at : null;
}
