/** One tracker: its chart and its figures. */

import { endOverride } from "../../api/client";
import { now, refresh, samplesOf, status } from "../../api/live";
import type { ParentRow, RateRow, TotalRow, TrackerRow } from "../../api/types.gen";
import { t } from "../../i18n";
import { capital, groupName } from "../../words";
import { href } from "../../routes";
import { Chart } from "../../ui/chart";
import { Icon } from "../../ui/icon";
import { say, sayError } from "../../ui/toasts";
import { bytes, duration, moment, percent, rate } from "../../units";
import { Quota } from "./quota-line";
import { points, RANGES, summaryOf, type Range } from "./series";

/** As in the daemon: this much over the cap for a minute is worth a word. */
const TOLD_OF = 1.05;
const LINE_EVERY_S = 2; // seconds between two moves of the axis

interface CardProps {
  row: TrackerRow;
  range: Range;
  history: readonly RateRow[];
  today: TotalRow | undefined;
  month: TotalRow | undefined;
  onOverride: () => void;
}

export function isOver(row: TrackerRow): boolean {
  return row.cap !== null && row.rate_60s > TOLD_OF * row.cap;
}

/** Why a cap is what it is, and until when. The reason is the server's. */
export function capWhy(row: Pick<TrackerRow, "cap_reason" | "cap_until">): string {
  if (row.cap_until === null) return capital(row.cap_reason);
  return t("tracker.capUntil", { reason: capital(row.cap_reason), time: moment(row.cap_until, now.value) });
}

export async function endOverrideOf(row: TrackerRow | ParentRow): Promise<void> {
  try {
    await endOverride(row.id);
    say(t("tracker.overrideEnded", { tracker: groupName(row) }));
    await refresh();
  } catch (error) {
    sayError(error);
  }
}

export function TrackerCard({ row, range, history, today, month, onOverride }: CardProps) {
  const heading = `tracker-${row.id}`;
  return (
    <article class="card overview-card" aria-labelledby={heading}>
      <header class="row">
        <h3 id={heading}>
          <a href={href("torrents", { tracker: row.id })} title={t("tracker.torrentsOf", { tracker: row.name })}>
            {row.name}
          </a>
        </h3>
        {isOver(row) && (
          <span class="pill warn">
            <Icon name="warn" />
            {t("tracker.overNow")}
          </span>
        )}
        <button
          type="button"
          class="button quiet small push"
          aria-label={t("tracker.overrideOf", { tracker: row.name })}
          onClick={onOverride}
        >
          <Icon name="clock" />
          {t("tracker.override")}
        </button>
      </header>
      <Gauge row={row} />
      {row.override_until !== null && (
        <div class="notice info overview-override">
          <Icon name="clock" />
          <p>
            {t("tracker.overrideUntil", {
              cap: rate(row.cap),
              time: moment(row.override_until, now.value),
              configured: rate(row.configured),
            })}
          </p>
          <button type="button" class="button small push" onClick={() => void endOverrideOf(row)}>
            {t("tracker.overrideEnd")}
          </button>
        </div>
      )}
      {row.quota && <Quota quota={row.quota} />}
      {row.override_until === null && row.cap_reason !== "configured" && (
        <p class="overview-why">
          <Icon name="clock" />
          {capWhy(row)}
        </p>
      )}
      <TrackerChart row={row} range={range} history={history} />
      <dl class="overview-facts num">
        <Fact name={t("tracker.effective")} value={rate(row.effective)} />
        <Fact name={t("tracker.borrowed")} value={rate(row.borrowed)} />
        <Fact name={t("tracker.demand")} value={row.demand === null ? t("tracker.demandUnknown") : rate(row.demand)} />
        <Fact name={t("tracker.active")} value={t("tracker.activeOf", { active: row.active, n: row.torrents })} />
        <Fact name={t("tracker.today")} value={today ? bytes(today.bytes) : bytes(0)} />
        <Fact name={t("tracker.month")} value={month ? bytes(month.bytes) : bytes(0)} />
        <Fact name={t("tracker.over")} value={duration(today?.over_cap_s ?? 0)} />
        <Fact name={t("tracker.utilisation")} value={utilisation(row)} />
      </dl>
    </article>
  );
}

export function utilisation(row: TrackerRow): string {
  if (row.utilisation !== null) return percent(row.utilisation);
  return row.cap === null ? t("tracker.noCap") : t("tracker.nothingWanted");
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** The rate against the cap, as figures and as a bar. */
function Gauge({ row }: { row: TrackerRow }) {
  const share = row.effective === null ? null : row.rate_10s / Math.max(row.effective, 1);
  return (
    <div class="overview-gauge">
      <p class="num">
        <b>{rate(row.rate_10s)}</b>{" "}
        <span class="muted">{row.cap === null ? t("tracker.noCap") : t("tracker.of", { cap: rate(row.cap) })}</span>
        {share !== null && <span class="overview-share">{percent(share)}</span>}
      </p>
      <div class={`overview-bar ${share === null ? "none" : isOver(row) ? "warn" : ""}`} aria-hidden="true">
        <i style={{ width: `${Math.min(100, (share ?? 0) * 100)}%` }} />
      </div>
    </div>
  );
}

function TrackerChart({ row, range, history }: Pick<CardProps, "row" | "range" | "history">) {
  const to = Math.ceil(now.value / LINE_EVERY_S) * LINE_EVERY_S;
  const found = points(range, history, samplesOf(row.id), to, status.value?.interval_s ?? 5);
  const sum = summaryOf(found);
  const borrows = found.effective.some((effective, index) => effective !== null && effective !== found.cap[index]);
  const summary =
    sum === null
      ? t("chart.none")
      : t("chart.summary", {
          tracker: row.name,
          range: t(`overview.range.${range}`),
          rate: rate(row.rate_10s),
          mean: rate(sum.mean),
          peak: rate(sum.peak),
          cap: rate(row.cap),
        });
  return (
    <Chart
      at={found.at}
      from={to - RANGES[range].seconds}
      to={to}
      summary={summary}
      lines={[
        { label: t("tracker.rate"), kind: "area", color: "--accent", values: found.rate },
        ...(found.cap.some((cap) => cap !== null)
          ? [{ label: t("tracker.cap"), kind: "line", color: "--cap", values: found.cap } as const]
          : []),
        ...(borrows
          ? [{ label: t("tracker.effective"), kind: "dashed", color: "--muted", values: found.effective } as const]
          : []),
      ]}
    />
  );
}
