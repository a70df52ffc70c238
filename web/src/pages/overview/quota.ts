/** A quota in words. */

import { now } from "../../api/live";
import type { QuotaRow } from "../../api/types.gen";
import { t } from "../../i18n";
import { bytes, moment, percent } from "../../units";

/** `12 GiB of 500 GiB until 1 Dec; about 430 GiB at this pace`. */
export function quotaWords(quota: QuotaRow): string {
  const used = t("quota.used", {
    used: bytes(quota.used),
    bytes: bytes(quota.bytes),
    share: percent(quota.used / Math.max(1, quota.bytes)),
    time: moment(quota.end, now.value),
  });
  return quota.forecast === null ? used : `${used}; ${t("quota.forecast", { bytes: bytes(quota.forecast) })}`;
}
