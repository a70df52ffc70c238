/** All trackers in one table: for many of them, and for who does not see charts. */

import type { TrackerRow } from "../../api/types.gen";
import { t } from "../../i18n";
import { href } from "../../routes";
import { Icon } from "../../ui/icon";
import { bytes, duration, rate } from "../../units";
import type { TotalsByTracker } from ".";
import { utilisation } from "./tracker-card";

interface TableProps {
  trackers: readonly TrackerRow[];
  totals: TotalsByTracker | undefined;
  onOverride: (tracker: string) => void;
}

export function TrackerTable({ trackers, totals, onOverride }: TableProps) {
  return (
    <section class="stack" aria-labelledby="overview-table">
      <h2 id="overview-table">{t("overview.table")}</h2>
      <div class="table-scroll" role="group" aria-labelledby="overview-table" tabIndex={0}>
        <table class="table">
          <thead>
            <tr>
              <th scope="col">{t("tracker.name")}</th>
              <th scope="col" class="num">
                {t("tracker.rate")}
              </th>
              <th scope="col" class="num">
                {t("tracker.cap")}
              </th>
              <th scope="col" class="num">
                {t("tracker.effective")}
              </th>
              <th scope="col" class="num">
                {t("tracker.borrowed")}
              </th>
              <th scope="col" class="num">
                {t("tracker.utilisation")}
              </th>
              <th scope="col" class="num">
                {t("tracker.demand")}
              </th>
              <th scope="col" class="num">
                {t("tracker.active")}
              </th>
              <th scope="col" class="num">
                {t("tracker.today")}
              </th>
              <th scope="col" class="num">
                {t("tracker.month")}
              </th>
              <th scope="col" class="num">
                {t("tracker.over")}
              </th>
              <th scope="col">{t("tracker.override")}</th>
            </tr>
          </thead>
          <tbody>
            {trackers.map((row) => (
              <tr key={row.id}>
                <th scope="row">
                  <a href={href("torrents", { tracker: row.id })}>{row.name}</a>
                </th>
                <td class="num">{rate(row.rate_10s)}</td>
                <td class="num">{rate(row.cap)}</td>
                <td class="num">{rate(row.effective)}</td>
                <td class="num">{rate(row.borrowed)}</td>
                <td class="num">{utilisation(row)}</td>
                <td class="num">{row.demand === null ? t("tracker.demandUnknown") : rate(row.demand)}</td>
                <td class="num">{t("tracker.activeOf", { active: row.active, n: row.torrents })}</td>
                <td class="num">{bytes(totals?.today[row.id]?.bytes ?? 0)}</td>
                <td class="num">{bytes(totals?.month[row.id]?.bytes ?? 0)}</td>
                <td class="num">{duration(totals?.today[row.id]?.over_cap_s ?? 0)}</td>
                <td>
                  <button
                    type="button"
                    class="button quiet small"
                    aria-label={t("tracker.overrideOf", { tracker: row.name })}
                    onClick={() => onOverride(row.id)}
                  >
                    <Icon name="clock" />
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
