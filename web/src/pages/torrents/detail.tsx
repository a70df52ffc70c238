/** One torrent closely: why it has its limit, its last minutes, what was written to it, and its own limit back. */

import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, getLimitHistory, getRecentTorrent, getTorrentHosts } from "../../api/client";
import { now, status } from "../../api/live";
import type { AnnounceBudget, JournalRow, RecentTorrent, TorrentRow } from "../../api/types.gen";
import { keyed, t } from "../../i18n";
import { href } from "../../routes";
import { useCall } from "../../ui/call";
import { Chart } from "../../ui/chart";
import { Icon } from "../../ui/icon";
import { Failure, Notice } from "../../ui/notice";
import { bytes, exact, moment, percent, rate } from "../../units";
import { roomLeft, usedShare } from "./budget";
import { hashOf, instanceOf } from "../../torrent-key";
import { joined, NOTHING, points, SPAN_S, summaryOf, type Recent } from "./recent";
import { ResetDialog } from "./reset";
import { isByHand, nameOf, reasonOf, stateOf } from "./words";

const ASK_MS = 1500;
const LINES = 20;
const MOST_LINES = 500;

/** The torrent as it is now, and its last minutes; asked with each cycle. */
function useRecent(torrent: string) {
  const [row, setRow] = useState<TorrentRow | undefined>();
  const [recent, setRecent] = useState<Recent>(NOTHING);
  const [error, setError] = useState<unknown>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const aborter = new AbortController();
    let known: Recent = NOTHING;
    let askedAt = 0;
    let asking = false;
    const take = (found: RecentTorrent) => {
      known = joined(known, found);
      setRow(found.torrent);
      setRecent(known);
      setError(null);
    };
    const ask = () => {
      if (asking || document.hidden || Date.now() - askedAt < ASK_MS) return;
      asking = true;
      askedAt = Date.now();
      getRecentTorrent(hashOf(torrent), instanceOf(torrent), known.at.at(-1) ?? 0, aborter.signal)
        .then(take, (failure: unknown) => !aborter.signal.aborted && setError(failure))
        .finally(() => (asking = false));
    };
    ask();
    const stop = status.subscribe(ask);
    return () => {
      stop();
      aborter.abort();
    };
  }, [torrent, turn]);
  return { row, recent, error, again: () => setTurn((last) => last + 1) };
}

/** `torrent`: see `keyOf`. */
export function Detail({ torrent, onClose }: { torrent: string; onClose: () => void }) {
  const hash = hashOf(torrent);
  const { row, recent, error, again } = useRecent(torrent);
  const [lines, setLines] = useState(LINES);
  const history = useCall(
    (signal) => getLimitHistory(hash, instanceOf(torrent), lines, signal),
    [torrent, lines, row?.limit ?? -1, row?.limited ?? false],
  );
  const [resetting, setResetting] = useState(false);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // In a window of its own, as on a phone, it is read from its beginning; beside the list the focus stays there.
    if (heading.current && getComputedStyle(heading.current.closest("aside") ?? heading.current).position === "fixed") {
      heading.current.focus({ preventScroll: true });
    }
  }, []);
  const isGone = error instanceof ApiError && error.status === 404;
  return (
    <aside
      class="card torrents-detail"
      aria-label={t("torrents.details")}
      onKeyDown={(event) => event.key === "Escape" && !resetting && onClose()}
    >
      <div class="torrents-detail-head">
        <button type="button" class="button quiet small torrents-back" onClick={onClose}>
          <Icon name="undo" />
          {t("torrents.back")}
        </button>
        <h2 ref={heading} tabIndex={-1}>
          {row ? nameOf(row) : isGone ? hash.slice(0, 12) : t("app.loading")}
        </h2>
        <button
          type="button"
          class="button quiet small torrents-close"
          aria-label={t("torrents.close")}
          title={t("torrents.close")}
          onClick={onClose}
        >
          <Icon name="close" />
        </button>
      </div>
      {isGone ? (
        <Notice tone="info">
          <p>{t("torrents.gone")}</p>
        </Notice>
      ) : (
        error !== null && <Failure error={error} again={again} />
      )}
      {row && (
        <>
          <Why row={row} />
          <section class="stack" aria-labelledby="torrents-minutes">
            <h3 id="torrents-minutes">{t("torrents.lastMinutes")}</h3>
            <Minutes row={row} recent={recent} history={history.data?.lines ?? []} />
          </section>
          <Facts row={row} />
          {row.announce && <Budget budget={row.announce} />}
          <div class="row">
            {row.limited ? (
              <button type="button" class="button" onClick={() => setResetting(true)}>
                <Icon name="undo" />
                {t("torrents.reset")}
              </button>
            ) : (
              <p class="muted">{t("torrents.reset.none")}</p>
            )}
          </div>
          <Hosts torrent={torrent} />
        </>
      )}
      <section class="stack" aria-labelledby="torrents-history">
        <h3 id="torrents-history">{t("torrents.history")}</h3>
        {history.error !== null && <Failure error={history.error} again={history.again} />}
        {history.data && <History lines={history.data.lines} />}
        {history.data?.next_before_id && lines < MOST_LINES ? (
          <button
            type="button"
            class="button small"
            aria-busy={history.loading}
            onClick={() => setLines((last) => Math.min(MOST_LINES, 3 * last))}
          >
            {t("torrents.historyMore")}
          </button>
        ) : null}
      </section>
      {resetting && row && (
        <ResetDialog
          row={row}
          onClose={() => setResetting(false)}
          onDone={() => {
            again();
            history.again();
          }}
        />
      )}
    </aside>
  );
}

function Why({ row }: { row: TorrentRow }) {
  return (
    <p class="torrents-why">
      {reasonOf(
        row,
        status.value?.trackers.find((one) => one.id === row.tracker),
      ) || t("torrents.reasonNone")}
      {!row.managed && <span class="muted"> {t("torrents.notManaged")}</span>}
    </p>
  );
}

function Minutes({ row, recent, history }: { row: TorrentRow; recent: Recent; history: readonly JournalRow[] }) {
  const to = Math.max(now.value, recent.at.at(-1) ?? 0);
  const found = points(recent, history, to, status.value?.interval_s ?? 5);
  const sum = summaryOf(found);
  const summary =
    sum === null
      ? t("torrents.chartBegins")
      : t("torrents.chart", {
          rate: rate(row.rate),
          mean: rate(sum.mean),
          peak: rate(sum.peak),
          limit: rate(row.limit),
        });
  const limits = found.limit.some((limit) => limit !== null);
  return (
    <>
      <Chart
        at={found.at}
        from={to - SPAN_S}
        to={to}
        height={150}
        summary={summary}
        lines={[
          { label: t("torrents.column.rate"), kind: "area", color: "--accent", values: found.rate },
          ...(limits
            ? [{ label: t("torrents.column.limit"), kind: "line", color: "--cap", values: found.limit } as const]
            : []),
        ]}
      />
      {(recent.at.at(-1) ?? 0) - (recent.at[0] ?? 0) < SPAN_S / 5 && (
        <p class="muted torrents-small">{t("torrents.chartBegins")}</p>
      )}
    </>
  );
}

function Facts({ row }: { row: TorrentRow }) {
  const tracker = status.value?.trackers.find((one) => one.id === row.tracker);
  return (
    <dl class="torrents-facts num">
      <div>
        <dt>{t("torrents.state")}</dt>
        <dd>{t(`torrents.state.${stateOf(row)}`)}</dd>
      </div>
      {row.instance !== "" && (
        <div>
          <dt>{t("torrents.instance")}</dt>
          <dd>
            <a href={href("torrents", { instance: row.instance })}>{row.instance}</a>
          </dd>
        </div>
      )}
      <div>
        <dt>{t("torrents.tracker")}</dt>
        <dd>
          <a href={href("torrents", { tracker: row.tracker })}>{tracker?.name ?? row.tracker}</a>
        </dd>
      </div>
      <div>
        <dt>{t("torrents.column.rate")}</dt>
        <dd>{rate(row.rate)}</dd>
      </div>
      <div>
        <dt>{t("torrents.column.demand")}</dt>
        <dd>{row.demand === null ? t("tracker.demandUnknown") : rate(row.demand)}</dd>
      </div>
      <div>
        <dt>{t("torrents.column.limit")}</dt>
        <dd>
          {rate(row.limit)}
          {row.limited && <span class="muted"> {t("torrents.ours")}</span>}
          {isByHand(row) && <span class="muted"> {t("torrents.byHand")}</span>}
        </dd>
      </div>
      {row.bound_reason !== "" && (
        <div>
          <dt>{t("torrents.bound")}</dt>
          <dd>
            {rate(row.bound)} <span class="muted">{row.bound_reason}</span>
          </dd>
        </div>
      )}
      <div>
        <dt>{t("torrents.column.original")}</dt>
        <dd>{rate(row.original)}</dd>
      </div>
      <div>
        <dt>{t("torrents.leechers")}</dt>
        <dd>{row.leechers}</dd>
      </div>
      <div class="torrents-hash">
        <dt>{t("torrents.hash")}</dt>
        <dd>
          <code>{row.hash}</code>
        </dd>
      </div>
    </dl>
  );
}

/** What its site lets it upload before the next announce. */
function Budget({ budget }: { budget: AnnounceBudget }) {
  return (
    <section class="stack" aria-labelledby="torrents-budget">
      <h3 id="torrents-budget">{t("budget.title")}</h3>
      <progress
        class="torrents-budget"
        aria-label={t("budget.used")}
        aria-valuetext={percent(usedShare(budget))}
        max={1}
        value={usedShare(budget)}
      />
      <dl class="torrents-facts num">
        <div>
          <dt>{t("budget.limit")}</dt>
          <dd>{rate(budget.limit)}</dd>
        </div>
        <div>
          <dt>{t("budget.since")}</dt>
          <dd>{moment(budget.at, now.value)}</dd>
        </div>
        <div>
          <dt>{t("budget.used")}</dt>
          <dd>
            {bytes(budget.sent)} <span class="muted">{t("budget.usedOf", { share: percent(usedShare(budget)) })}</span>
          </dd>
        </div>
        <div>
          <dt>{t("budget.left")}</dt>
          <dd>{bytes(roomLeft(budget))}</dd>
        </div>
      </dl>
      <p class="muted">{t(`budget.mode.${budget.mode}`)}</p>
    </section>
  );
}

function Hosts({ torrent }: { torrent: string }) {
  const found = useCall((signal) => getTorrentHosts(hashOf(torrent), instanceOf(torrent), signal), [torrent]);
  const names = new Map((status.value?.trackers ?? []).map((row) => [row.id, row.name]));
  return (
    <section class="stack" aria-labelledby="torrents-hosts">
      <h3 id="torrents-hosts">{t("torrents.hosts")}</h3>
      {found.error !== null && <Failure error={found.error} again={found.again} />}
      {found.loading && !found.data && <p class="muted">{t("app.loading")}</p>}
      {found.data?.hosts.length === 0 && <p class="muted">{t("torrents.hostsNone")}</p>}
      {found.data && found.data.hosts.length > 0 && (
        <ul class="torrents-hosts">
          {found.data.hosts.map(({ host, rule }) => (
            <li key={host}>
              {host} <span class="muted">{t("torrents.hostRule", { rule: names.get(rule) ?? rule })}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function History({ lines }: { lines: readonly JournalRow[] }) {
  if (lines.length === 0) return <p class="muted">{t("torrents.historyNone")}</p>;
  return (
    <ol class="torrents-history num">
      {lines.map((line) => (
        <li key={line.id}>
          <p class="row">
            <b>{t("torrents.change", { old: rate(line.old), new: rate(line.new) })}</b>
            <span class={`pill ${line.status === "failed" ? "bad" : line.status === "restored" ? "ok" : ""}`}>
              {keyed("torrents.status", line.status, line.status)}
            </span>
            <time class="muted push" dateTime={new Date(line.at * 1000).toISOString()} title={exact(line.at)}>
              {moment(line.at, now.value)}
            </time>
          </p>
          <p class="muted">{line.reason}</p>
        </li>
      ))}
    </ol>
  );
}
