/** All qBittorrents, if there are several: whether each answers, and what counts of one that does not. */

import { now } from "../../api/live";
import type { InstanceRow } from "../../api/types.gen";
import { t } from "../../i18n";
import { href } from "../../routes";
import { Icon } from "../../ui/icon";
import { clock, moment, rate } from "../../units";
import { capital } from "../../words";
import "./instances.css";

const TONES = { read: "ok", starting: "info", away: "bad" } as const;

export default function InstancesSection({ instances }: { instances: readonly InstanceRow[] }) {
  return (
    <section class="card stack" aria-labelledby="overview-instances">
      <h2 id="overview-instances">{t("instances.title")}</h2>
      <ul class="instances">
        {instances.map((row) => (
          <Instance key={row.name} row={row} />
        ))}
      </ul>
    </section>
  );
}

function Instance({ row }: { row: InstanceRow }) {
  return (
    <li>
      <p class="instances-name">
        <b>{row.name}</b>
        <span class={`pill ${TONES[row.state]}`}>
          <Icon name={TONES[row.state]} />
          {stateText(row)}
        </span>
      </p>
      <p class="num">
        <a href={href("torrents", { instance: row.name })} title={t("tracker.torrentsOf", { tracker: row.name })}>
          {t("torrents.count", { n: row.torrents })}
        </a>
        <span class="muted"> · {t("overview.limited", { n: row.limited })}</span>
      </p>
      <p class="muted">
        {row.version === null ? t("instances.noVersion") : `qBittorrent ${row.version}`} · {row.url}
      </p>
      {row.state !== "read" && (
        <div class="instances-away num">
          {row.problem !== "" && <p>{capital(row.problem)}</p>}
          {row.login_pause && <p>{loginText(row.login_pause.next_try_at)}</p>}
          <p>{countsText(row)}</p>
        </div>
      )}
    </li>
  );
}

function stateText(row: InstanceRow): string {
  if (row.state !== "away" || row.away_since === null) return t(`instances.state.${row.state}`);
  return t("instances.awaySince", { time: moment(row.away_since, now.value) });
}

function loginText(nextTry: number | null): string {
  return nextTry === null ? t("verdict.loginNever") : t("verdict.loginAt", { time: clock(nextTry) });
}

/** What is kept of the caps for one that does not answer. */
function countsText({ counts, held_back }: InstanceRow): string {
  return counts === "last" ? t("instances.counts.last", { rate: rate(held_back) }) : t(`instances.counts.${counts}`);
}
