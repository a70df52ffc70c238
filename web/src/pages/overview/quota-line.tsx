/** What is used of a quota, and what it comes to. */

import type { QuotaRow } from "../../api/types.gen";
import { t } from "../../i18n";
import { quotaWords } from "./quota";

export function Quota({ quota }: { quota: QuotaRow }) {
  return (
    <p class="overview-quota num">
      <progress aria-label={t("group.quota")} max={quota.bytes} value={Math.min(quota.used, quota.bytes)} />
      {quotaWords(quota)}
    </p>
  );
}
