/** All changes of limits, why they were made, and the way back. */

import { useEffect, useState } from "preact/hooks";
import { getStatus, resume } from "../../api/client";
import { status, takeStatus } from "../../api/live";
import { t } from "../../i18n";
import { RestoreDialog } from "../../restore/dialog";
import { torrentName } from "../../restore/name";
import { go, route } from "../../routes";
import { useSubmit } from "../../ui/field";
import { Icon } from "../../ui/icon";
import { Failure, Notice } from "../../ui/notice";
import { Page } from "../../ui/page";
import { say, sayError } from "../../ui/toasts";
import { FilterBar } from "./filter-bar";
import { filters, filtersOf, paramsOf, type Filters } from "./filters";
import "./journal.css";
import { Lines } from "./lines";
import { useJournal } from "./pages";

export default function Journal() {
  const wanted = filtersOf(route.value.params);
  const pages = useJournal(wanted);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [restoring, setRestoring] = useState<readonly string[] | "all" | null>(null);
  const change = (changed: Partial<Filters>) => go("journal", paramsOf({ ...wanted, ...changed }), { replace: true });
  const clear = () => go("journal", {}, { replace: true });
  const lines = pages.lines ?? [];
  const only = wanted.torrent === "" ? undefined : lines.find((line) => line.hash === wanted.torrent);
  return (
    <Page
      title={t("journal.title")}
      actions={
        <button type="button" class="button danger" onClick={() => setRestoring("all")}>
          <Icon name="undo" />
          {t("journal.undoAll")}
        </button>
      }
    >
      <PausedNotice />
      <FilterBar wanted={wanted} onChange={change} onClear={clear} />
      {wanted.torrent !== "" && (
        <div class="row journal-only">
          <p>{t("journal.onlyTorrent", { torrent: only ? torrentName(only) : wanted.torrent })}</p>
          <button type="button" class="button small" onClick={() => change({ torrent: "" })}>
            {t("journal.allTorrents")}
          </button>
        </div>
      )}
      {pages.error !== null && <Failure error={pages.error} again={pages.again} />}
      <section class="stack" aria-labelledby="journal-changes" aria-busy={pages.loading}>
        <div class="page-head">
          <h2 id="journal-changes">{t("journal.changes")}</h2>
          <NewerButton newest={lines[0]?.id ?? 0} all={!filters(wanted)} loading={pages.loading} again={pages.again} />
        </div>
        {pages.lines === undefined && pages.error === null && <p class="boot">{t("app.loading")}</p>}
        {lines.length > 0 && (
          <Lines
            lines={lines}
            selected={selected}
            onSelect={setSelected}
            onOnly={(torrent) => change({ torrent })}
            onRestore={(torrent) => setRestoring([torrent])}
          />
        )}
        {pages.lines !== undefined && (
          <div class="row journal-foot">
            <p class="muted" role="status">
              {summary(lines.length, pages.more, filters(wanted))}
            </p>
            {pages.more && (
              <button type="button" class="button" aria-busy={pages.loading} onClick={pages.older}>
                {t("journal.older")}
              </button>
            )}
          </div>
        )}
      </section>
      {selected.size > 0 && (
        <div class="journal-selection card row" role="region" aria-label={t("journal.undoSome")}>
          <p aria-live="polite">{t("journal.selected", { n: selected.size })}</p>
          <button type="button" class="button quiet push" onClick={() => setSelected(new Set())}>
            {t("journal.unselect")}
          </button>
          <button type="button" class="button danger" onClick={() => setRestoring([...selected])}>
            <Icon name="undo" />
            {t("journal.undoSome")}
          </button>
        </div>
      )}
      {restoring !== null && (
        <RestoreDialog
          torrents={restoring === "all" ? null : restoring}
          onDone={() => {
            setSelected(new Set());
            pages.again();
          }}
          onClose={() => setRestoring(null)}
        />
      )}
    </Page>
  );
}

function summary(shown: number, more: boolean, filtered: boolean): string {
  if (shown > 0) return more ? t("journal.shown", { n: shown }) : t("journal.end", { n: shown });
  if (more) return t("journal.noneYet");
  return filtered ? t("journal.noneFound") : t("journal.none");
}

interface NewerProps {
  /** The newest line that is shown. */
  newest: number;
  /** Whether nothing is left out, so that their number is known. */
  all: boolean;
  loading: boolean;
  again: () => void;
}

/** Newer changes wait for a click: rows that move under the pointer cannot be chosen. */
function NewerButton({ newest, all, loading, again }: NewerProps) {
  const [known, setKnown] = useState(0);
  const last = status.value?.journal_line ?? 0;
  useEffect(() => {
    if (!loading) setKnown(Math.max(newest, status.peek()?.journal_line ?? 0));
  }, [loading, newest]);
  if (last <= known) return null;
  return (
    <button type="button" class="button small push" aria-busy={loading} onClick={again}>
      <Icon name="up" />
      {all ? t("journal.newer", { n: last - Math.max(known, newest) }) : t("journal.newerSome")}
    </button>
  );
}

/** That nothing is written now, as after a rollback, and the way on. */
function PausedNotice() {
  const { submit, busy } = useSubmit(async () => {
    try {
      await resume();
      takeStatus(await getStatus());
      say(t("overview.resume.done"));
    } catch (error) {
      sayError(error);
    }
  });
  const known = status.value;
  if (known?.state !== "paused") return null;
  return (
    <Notice tone="warn">
      <div class="row journal-paused">
        <div>
          <p>
            <b>{t("journal.paused", { reason: known.problem })}</b>
          </p>
          <p>{t("journal.pausedAbout")}</p>
        </div>
        <button type="button" class="button primary push" aria-busy={busy} onClick={submit}>
          <Icon name="play" />
          {t("verdict.resume")}
        </button>
      </div>
    </Notice>
  );
}
