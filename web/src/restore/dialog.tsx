/** The dialog of a rollback: what will happen, then what happened. Nothing is written before the person has seen it. */

import { useState } from "preact/hooks";
import { getStatus, restore, resume } from "../api/client";
import { takeStatus } from "../api/live";
import type { Restoring, RestoreRow } from "../api/types.gen";
import { t } from "../i18n";
import { useCall } from "../ui/call";
import { Dialog } from "../ui/dialog";
import { FormError, Input, useSubmit } from "../ui/field";
import { Icon } from "../ui/icon";
import { Failure, Notice, type Tone } from "../ui/notice";
import { say } from "../ui/toasts";
import { commonInstance, hashOf } from "../torrent-key";
import { count, rate } from "../units";
import { torrentName } from "./name";
import "./restore.css";

type Outcome = RestoreRow["outcome"];
const OUTCOMES: readonly Outcome[] = ["restored", "already_original", "set_by_hand", "gone", "failed", "never_limited"];
const TONES: Record<Outcome, Tone> = {
  restored: "ok",
  already_original: "ok",
  set_by_hand: "warn",
  gone: "info",
  failed: "bad",
  never_limited: "info",
};

interface RestoreProps {
  /** Keys of torrents (see `keyOf`); null: all of them. */
  torrents: readonly string[] | null;
  /** Called once it was tried. */
  onDone: () => void;
  onClose: () => void;
}

export function RestoreDialog({ torrents, onDone, onClose }: RestoreProps) {
  const [done, setDone] = useState<Restoring | null>(null);
  if (done) return <Done found={done} onClose={onClose} />;
  return (
    <Ask
      torrents={torrents}
      onClose={onClose}
      onDone={(found) => {
        setDone(found);
        onDone();
      }}
    />
  );
}

interface AskProps extends Omit<RestoreProps, "onDone"> {
  onDone: (found: Restoring) => void;
}

function Ask({ torrents, onDone, onClose }: AskProps) {
  const [pausing, setPausing] = useState(true);
  const [reason, setReason] = useState<string>(t("restore.reason.default"));
  const hashes = torrents && [...new Set(torrents.map(hashOf))];
  const body = { hashes, instance: commonInstance(torrents ?? []), pause: pausing, reason };
  const outlook = useCall((signal) => restore({ ...body, dry_run: true, pause: true }, signal), []);
  const { submit, busy, error, of } = useSubmit(async () => {
    const found = await restore({ ...body, dry_run: false });
    takeStatus(await getStatus());
    onDone(found);
  });
  const found = outlook.data;
  const paused = found?.paused ?? null;
  const title = hashes === null ? t("restore.titleAll") : t("restore.titleSome", { n: hashes.length });
  return (
    <Dialog title={title} onClose={onClose} wide>
      <div aria-live="polite" aria-busy={outlook.loading} class="stack">
        {outlook.loading && <p>{t("restore.asking")}</p>}
        {outlook.error !== null && <Failure error={outlook.error} again={outlook.again} />}
        {found && <Outlook found={found} />}
      </div>
      <form class="stack" onSubmit={submit}>
        {found && isSomething(found) && paused !== null && (
          <Notice tone="info">
            <p>{t("restore.then.pausedAlready")}</p>
          </Notice>
        )}
        {found && isSomething(found) && paused === null && (
          <fieldset class="restore-then">
            <legend class="legend">{t("restore.then")}</legend>
            <Then
              title={t("restore.then.pause")}
              about={t("restore.then.pauseAbout")}
              chosen={pausing}
              onChoose={() => setPausing(true)}
            />
            <Then
              title={t("restore.then.on")}
              about={t("restore.then.onAbout")}
              chosen={!pausing}
              onChoose={() => setPausing(false)}
            />
            {pausing && (
              <Input
                label={t("restore.reason")}
                value={reason}
                onValue={setReason}
                error={of("reason")}
                maxLength={200}
              />
            )}
          </fieldset>
        )}
        <FormError error={error} fields={["reason"]} />
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {found && !isSomething(found) ? t("app.close") : t("app.cancel")}
          </button>
          {found && isSomething(found) && (
            <button type="submit" class="button danger" aria-busy={busy}>
              <Icon name="undo" />
              {found.counts.restored > 0 ? t("restore.submit", { n: found.counts.restored }) : t("restore.submitNone")}
            </button>
          )}
        </div>
      </form>
    </Dialog>
  );
}

/** Whether there is anything to do, or to try. */
function isSomething({ counts }: Restoring): boolean {
  return counts.restored + counts.already_original + counts.set_by_hand + counts.failed > 0;
}

interface ThenProps {
  title: string;
  about: string;
  chosen: boolean;
  onChoose: () => void;
}

function Then({ title, about, chosen, onChoose }: ThenProps) {
  return (
    <label class="restore-choose">
      <input type="radio" name="then" checked={chosen} onChange={onChoose} />
      <span>
        <b>{title}</b>
        <span class="muted">{about}</span>
      </span>
    </label>
  );
}

function Done({ found, onClose }: { found: Restoring; onClose: () => void }) {
  const { submit, busy, error } = useSubmit(async () => {
    await resume();
    takeStatus(await getStatus());
    say(t("overview.resume.done"));
    onClose();
  });
  return (
    <Dialog title={t("restore.titleDone")} onClose={onClose} wide>
      <div aria-live="polite" class="stack">
        <Outlook found={found} />
        {found.paused === null ? (
          <p>{t("restore.goneOn")}</p>
        ) : (
          <Notice tone="warn">
            <p>
              <b>{t("journal.paused", { reason: found.paused })}</b>
            </p>
            <p>{t("journal.pausedAbout")}</p>
          </Notice>
        )}
        <FormError error={error} />
      </div>
      <div class="actions">
        {found.paused !== null && (
          <button type="button" class="button" aria-busy={busy} onClick={submit}>
            <Icon name="play" />
            {t("verdict.resume")}
          </button>
        )}
        <button type="button" class="button primary" onClick={onClose}>
          {t("app.close")}
        </button>
      </div>
    </Dialog>
  );
}

/** Counts by outcome, the limits that come back, and the torrents. */
function Outlook({ found }: { found: Restoring }) {
  const tense = found.dry_run ? "will" : "did";
  const outcomes = OUTCOMES.filter((outcome) => found.counts[outcome] > 0);
  const all = outcomes.reduce((sum, outcome) => sum + found.counts[outcome], 0);
  if (all === 0) return <p>{t("restore.nothing")}</p>;
  return (
    <>
      <div>
        <h3>{t(`restore.${tense}`)}</h3>
        <ul class="restore-outcomes">
          {outcomes.map((outcome) => (
            <li key={outcome} class={TONES[outcome]}>
              <Icon name={TONES[outcome]} />
              <span>{t(`restore.${tense}.${outcome}`, { n: found.counts[outcome] })}</span>
            </li>
          ))}
        </ul>
      </div>
      {found.originals.length > 0 && (
        <div>
          <h3>{t("restore.groups")}</h3>
          <ul class="row restore-groups">
            {found.originals.map((group) => (
              <li key={group.original ?? -1} class="pill num">
                {t("restore.group", { n: count(group.torrents), limit: rate(group.original) })}
              </li>
            ))}
          </ul>
        </div>
      )}
      {found.problems.map((problem) => (
        <Notice key={problem} tone="bad">
          <p>{problem}</p>
        </Notice>
      ))}
      <details open={found.torrents.length <= 5}>
        <summary>
          {found.torrents.length < all
            ? t("restore.torrentsFirst", { n: count(found.torrents.length), all: count(all) })
            : t("restore.torrents", { n: all })}
        </summary>
        <Torrents found={found} />
      </details>
    </>
  );
}

function Torrents({ found }: { found: Restoring }) {
  return (
    <div class="table-scroll restore-torrents" role="group" aria-label={t("restore.column.torrent")} tabIndex={0}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">{t("restore.column.torrent")}</th>
            <th scope="col" class="num">
              {found.dry_run ? t("restore.column.now") : t("restore.column.before")}
            </th>
            <th scope="col" class="num">
              {t("restore.column.original")}
            </th>
            <th scope="col">{t("restore.column.outcome")}</th>
          </tr>
        </thead>
        <tbody>
          {found.torrents.map((row) => (
            <tr key={`${row.hash} ${row.instance}`}>
              <th scope="row" title={row.hash}>
                {torrentName(row)}
                {row.instance !== "" && <span class="muted"> · {row.instance}</span>}
              </th>
              <td class="num">{row.known ? rate(row.limit) : "–"}</td>
              <td class="num">{row.known ? rate(row.original) : "–"}</td>
              <td>
                <span class={`pill ${TONES[row.outcome]}`}>
                  {found.dry_run && row.outcome === "restored"
                    ? t("restore.outcome.toRestore")
                    : t(`restore.outcome.${row.outcome}`)}
                </span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
