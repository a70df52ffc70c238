import { t } from "../i18n";

const DIGITS = 8;

/** A torrent as people call it; else the first digits of its hash. */
export function torrentName(row: { readonly name?: string | null; readonly hash: string }): string {
  return row.name ?? `${t("journal.unnamed")} (${row.hash.slice(0, DIGITS)})`;
}
