/** Whether all is well, and how each tracker does. */

import { computed } from "@preact/signals";
import { useState } from "preact/hooks";
import { getHistory, getTotals, pause, resume } from "../../api/client";
import { connects, now, refresh, status } from "../../api/live";
import type { InstanceRow, TotalRow } from "../../api/types.gen";
import { t } from "../../i18n";
import { go, href, route } from "../../routes";
import { Dialog } from "../../ui/dialog";
import { FormError, Input, Segments, useSubmit } from "../../ui/field";
import { useCall } from "../../ui/call";
import { Icon } from "../../ui/icon";
import { useLazy } from "../../ui/lazy";
import { Failure } from "../../ui/notice";
import { Page } from "../../ui/page";
import { say, sayError } from "../../ui/toasts";
import { bytes, count, rate } from "../../units";
import { Health } from "./health";
import "./overview.css";
import { GroupTree } from "./group-tree";
import { OverrideDialog } from "./override";
import { RANGES, RANGE_NAMES, type Range } from "./series";
import { TrackerCard } from "./tracker-card";
import { TrackerTable } from "./tracker-table";
import { isTree } from "./tree";

/** Cards beyond these wait for a click: each has a chart. */
const MOST_CARDS = 12;
const TOTALS_EVERY_MS = 60_000;

/** The beginnings of today and of this month, Unix seconds; they change at midnight only. */
const begins = computed(() => {
  const today = new Date(now.value * 1000);
  today.setHours(0, 0, 0, 0);
  const month = new Date(today.getFullYear(), today.getMonth(), 1);
  return `${today.getTime() / 1000} ${month.getTime() / 1000}`;
});

export interface TotalsByTracker {
  readonly today: Readonly<Record<string, TotalRow>>;
  readonly month: Readonly<Record<string, TotalRow>>;
}

export default function Overview() {
  const known = status.value;
  const range = RANGE_NAMES.find((name) => name === route.value.params["range"]) ?? "5m";
  const [today = 0, month = 0] = begins.value.split(" ").map(Number);
  const totals = useCall<TotalsByTracker>(
    async (signal) => {
      const [ofToday, ofMonth] = await Promise.all([getTotals(today, signal), getTotals(month, signal)]);
      return { today: ofToday.trackers, month: ofMonth.trackers };
    },
    [begins.value, connects.value],
    TOTALS_EVERY_MS,
  );
  const { seconds, step, refreshS } = RANGES[range];
  const history = useCall(
    (signal) => {
      const end = Date.now() / 1000 + 60;
      return getHistory(end - seconds - 60 - step, end, step, signal);
    },
    [range, connects.value],
    refreshS * 1000,
  );
  const Usage = useLazy(() => import("./usage-section"));
  const instances = known?.instances ?? [];
  const [ordering, setOrdering] = useState(false);
  const Orders = useLazy(() => import("./orders"));
  const [overriding, setOverriding] = useState<string | null>(null);
  const [all, setAll] = useState(false);
  const trackers = known?.trackers ?? [];
  const shown = all || trackers.length <= MOST_CARDS ? trackers : trackers.slice(0, MOST_CARDS);
  return (
    <Page
      title={t("overview.title")}
      actions={
        <>
          <button type="button" class="button" disabled={!Orders} onClick={() => setOrdering(true)}>
            <Icon name="clock" />
            {t("orders.button")}
          </button>
          <PauseButton />
        </>
      }
    >
      <Health />
      {Orders && <Orders asking={ordering} onClose={() => setOrdering(false)} />}
      {known && <Figures totals={totals.data} />}
      {totals.error !== null && <Failure error={totals.error} again={totals.again} />}
      {instances.length > 1 && <Instances instances={instances} />}
      {known && isTree(known) && <GroupTree status={known} onOverride={setOverriding} />}
      <section class="stack" aria-labelledby="overview-charts">
        <div class="page-head">
          <h2 id="overview-charts">{t("overview.charts")}</h2>
          <div class="push">
            <Segments<Range>
              label={t("overview.range")}
              value={range}
              options={RANGE_NAMES.map((value) => ({ value, label: t(`overview.range.${value}`) }))}
              onValue={(value) => go("overview", value === "5m" ? {} : { range: value }, { replace: true })}
            />
          </div>
        </div>
        {history.error !== null && <Failure error={history.error} again={history.again} />}
        {known && trackers.length === 0 && <p class="muted">{t("overview.none")}</p>}
        <div class="overview-cards">
          {shown.map((row) => (
            <TrackerCard
              key={row.id}
              row={row}
              range={range}
              history={history.data?.trackers[row.id] ?? []}
              today={totals.data?.today[row.id]}
              month={totals.data?.month[row.id]}
              onOverride={() => setOverriding(row.id)}
            />
          ))}
        </div>
        {shown.length < trackers.length && (
          <button type="button" class="button" onClick={() => setAll(true)}>
            {t("overview.more", { n: trackers.length - shown.length })}
          </button>
        )}
      </section>
      {trackers.length > 0 && <TrackerTable trackers={trackers} totals={totals.data} onOverride={setOverriding} />}
      {Usage && <Usage />}
      {[...trackers, ...(known?.parents ?? [])]
        .filter((row) => row.id === overriding)
        .map((row) => (
          <OverrideDialog key={row.id} row={row} onClose={() => setOverriding(null)} />
        ))}
    </Page>
  );
}

/** Several qBittorrents. */
function Instances({ instances }: { instances: readonly InstanceRow[] }) {
  const Section = useLazy(() => import("./instances-section"));
  return Section ? <Section instances={instances} /> : null;
}

/** What concerns all trackers together. */
function Figures({ totals }: { totals: TotalsByTracker | undefined }) {
  const known = status.value;
  if (!known) return null;
  const sum = (rows: Readonly<Record<string, TotalRow>> | undefined) =>
    rows === undefined ? "…" : bytes(Object.values(rows).reduce((all, row) => all + row.bytes, 0));
  const upload = known.trackers.reduce((all, row) => all + row.rate_10s, 0);
  return (
    <dl class="overview-figures num">
      <Figure name={t("overview.total")} value={rate(upload)} />
      <Figure name={t("overview.totalToday")} value={sum(totals?.today)} />
      <Figure name={t("overview.totalMonth")} value={sum(totals?.month)} />
      <Figure
        name={t("overview.torrents")}
        value={<a href={href("torrents")}>{count(known.torrents)}</a>}
        more={t("overview.limited", { n: known.limited })}
      />
      <Figure
        name={t("overview.writes")}
        value={<a href={href("journal")}>{count(known.written_limits)}</a>}
        more={t("overview.writesCalls", { n: known.written_calls })}
      />
      <Figure
        name={t("overview.qbittorrent")}
        value={
          known.instances.length > 1
            ? t("instances.connected", {
                read: count(known.instances.filter(({ state }) => state === "read").length),
                all: count(known.instances.length),
              })
            : (known.qbittorrent_version ?? t("overview.unknown"))
        }
      />
    </dl>
  );
}

function Figure({ name, value, more }: { name: string; value: preact.ComponentChildren; more?: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <b>{value}</b>
        {more !== undefined && <span class="muted"> {more}</span>}
      </dd>
    </div>
  );
}

export async function resumeNow(): Promise<void> {
  try {
    await resume();
    await refresh();
    say(t("overview.resume.done"));
  } catch (error) {
    sayError(error);
  }
}

function PauseButton() {
  const [asking, setAsking] = useState(false);
  const state = status.value?.state;
  if (state === undefined || state === "paused") {
    return (
      <button type="button" class="button" disabled={state === undefined} onClick={() => void resumeNow()}>
        <Icon name="play" />
        {t("verdict.resume")}
      </button>
    );
  }
  return (
    <>
      <button type="button" class="button" onClick={() => setAsking(true)}>
        <Icon name="pause" />
        {t("verdict.pause")}
      </button>
      {asking && <PauseDialog onClose={() => setAsking(false)} />}
    </>
  );
}

function PauseDialog({ onClose }: { onClose: () => void }) {
  const [reason, setReason] = useState<string>(t("overview.pause.default"));
  const { submit, busy, error, of } = useSubmit(async () => {
    await pause(reason);
    await refresh();
    say(t("overview.pause.done"));
    onClose();
  });
  return (
    <Dialog title={t("overview.pause.title")} onClose={onClose}>
      <p>{t("overview.pause.about")}</p>
      <form class="stack" onSubmit={submit}>
        <Input
          label={t("overview.pause.reason")}
          value={reason}
          onValue={setReason}
          error={of("reason")}
          maxLength={200}
        />
        <FormError error={error} fields={["reason"]} />
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("app.cancel")}
          </button>
          <button type="submit" class="button primary" aria-busy={busy}>
            {t("verdict.pause")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
