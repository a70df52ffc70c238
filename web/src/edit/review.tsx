/** What the draft would do, before it is saved: consequences, effect on limits, and the change of the file. */

import { useState } from "preact/hooks";
import { ApiError } from "../api/client";
import type { Effect, EffectTracker, Saved, Trial } from "../api/types.gen";
import { t } from "../i18n";
import { useCall } from "../ui/call";
import { Dialog } from "../ui/dialog";
import { FormError, useSubmit } from "../ui/field";
import { Failure, Notice } from "../ui/notice";
import { say, sayError } from "../ui/toasts";
import { count, rate } from "../units";
import { faultText } from "./draft";
import { plain } from "../words";
import { conflict, file, load, preview, save } from "./store";

/** What is to be said after a save or an undo. */
export function tell(saved: Saved, done: string): void {
  if (saved.in_effect) say(done);
  else sayError(new Error(t("edit.notInEffect", { why: plain(saved.problem) })));
  if (saved.consequences.includes("address")) say(t("edit.addressMoves"));
}

export function Review({ onClose, onSaved }: { onClose: () => void; onSaved?: (() => void) | undefined }) {
  const trial = useCall(preview, [file.value?.etag ?? ""]);
  const { submit, busy, error } = useSubmit(async () => {
    const saved = await save();
    onClose();
    tell(saved, t("edit.saved"));
    onSaved?.();
  });
  const found = trial.data;
  const changed = conflict.value;
  const refused = error instanceof ApiError && error.kind === "config-read-only" ? error.problem : null;
  const yaml = refused?.yaml ?? found?.yaml ?? "";
  const writable = found?.writable === true && refused === null;
  const why = refused === null ? (found?.why_not ?? "") : [refused.detail, refused.hint].filter(Boolean).join(": ");
  return (
    <Dialog title={t("edit.review")} onClose={onClose} wide>
      {found === undefined && trial.error === null && <p class="muted">{t("edit.trying")}</p>}
      {trial.error !== null && !changed && <Failure error={trial.error} again={trial.again} />}
      {changed && <Conflict />}
      {found && !changed && <Outcome trial={found} />}
      {found && !changed && !writable && <ToCopy yaml={yaml} why={why} />}
      {refused === null && !changed && <FormError error={error} />}
      <form class="actions" onSubmit={submit}>
        <button type="button" class="button" onClick={onClose}>
          {t("edit.back")}
        </button>
        <button
          type="submit"
          class="button primary"
          aria-busy={busy}
          disabled={!found?.ok || !writable || changed || trial.loading}
        >
          {busy ? t("edit.saving") : found?.consequences.includes("live") ? t("edit.saveLive") : t("edit.save")}
        </button>
      </form>
    </Dialog>
  );
}

/** Somebody else changed the file: take it and keep what was typed. */
export function Conflict() {
  const [busy, setBusy] = useState(false);
  const act = async () => {
    setBusy(true);
    await load();
    setBusy(false);
  };
  return (
    <Notice tone="warn">
      <div class="stack">
        <p>{t("edit.conflict")}</p>
        <div>
          <button type="button" class="button small" aria-busy={busy} onClick={() => !busy && void act()}>
            {t("edit.reapply")}
          </button>
        </div>
      </div>
    </Notice>
  );
}

function Outcome({ trial }: { trial: Trial }) {
  return (
    <>
      {trial.faults.length > 0 && (
        <Notice tone="bad">
          <p>{t("edit.faulty")}</p>
          <ul class="edit-list">
            {trial.faults.map((fault, index) => (
              <li key={index}>
                {fault.setting !== "" && <code>{fault.setting}</code>} {faultText(fault)}
              </li>
            ))}
          </ul>
        </Notice>
      )}
      {trial.consequences.map((one) => (
        <Notice key={one} tone="warn">
          <p>{t(`edit.consequence.${one}`)}</p>
        </Notice>
      ))}
      {trial.notes.map((note) => (
        <Notice key={note} tone="info">
          <p>{plain(note)}</p>
        </Notice>
      ))}
      {trial.effect && <EffectTable effect={trial.effect} />}
      {trial.effect_problem !== "" && (
        <Notice tone="info">
          <p>{t("edit.noEffect", { why: plain(trial.effect_problem) })}</p>
        </Notice>
      )}
      {trial.diff !== "" && <Diff text={trial.diff} />}
      {trial.diff === "" && trial.ok && <p>{t("edit.noDiff")}</p>}
    </>
  );
}

function EffectTable({ effect }: { effect: Effect }) {
  const shown = effect.trackers;
  return (
    <section class="stack edit-effect" aria-labelledby="edit-effect">
      <h3 id="edit-effect">{t("edit.effect")}</h3>
      <p>
        {effect.changes === 0 ? t("edit.effectNone") : t("edit.effectChanges", { n: effect.changes })}{" "}
        {effect.moved > 0 && t("edit.effectMoved", { n: effect.moved })} {effect.observing && t("edit.effectObserving")}{" "}
        {effect.left_out.length > 0 && t("edit.effectLeftOut", { names: effect.left_out.join(", ") })}
      </p>
      <div class="table-scroll" role="group" aria-labelledby="edit-effect" tabIndex={0}>
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
                {t("edit.share")}
              </th>
              <th scope="col" class="num">
                {t("tracker.torrents")}
              </th>
              <th scope="col" class="num">
                {t("edit.newLimits")}
              </th>
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <tr key={row.id} class={row.gone ? "edit-gone" : ""}>
                <th scope="row">
                  {row.name || row.id} {row.new && <span class="pill ok">{t("edit.isNew")}</span>}
                  {row.gone && <span class="pill bad">{t("edit.isGone")}</span>}
                </th>
                <td class="num">{row.new ? "–" : rate(row.rate)}</td>
                <Change row={row} before={rate(row.cap)} after={rate(row.new_cap)} />
                <Change row={row} before={rate(row.share)} after={rate(row.new_share)} />
                <Change row={row} before={count(row.torrents)} after={count(row.new_torrents)} />
                <td class="num">{count(row.changes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {effect.torrents.length > 0 && (
        <details>
          <summary>
            {effect.torrents.length < effect.changes
              ? t("edit.torrentsFirst", { n: effect.torrents.length })
              : t("edit.torrents", { n: effect.torrents.length })}
          </summary>
          <div class="table-scroll edit-torrents" role="group" aria-label={t("tracker.torrents")} tabIndex={0}>
            <table class="table">
              <thead>
                <tr>
                  <th scope="col">{t("edit.torrent")}</th>
                  <th scope="col">{t("tracker.name")}</th>
                  <th scope="col" class="num">
                    {t("edit.limit")}
                  </th>
                  <th scope="col">{t("edit.reason")}</th>
                </tr>
              </thead>
              <tbody>
                {effect.torrents.map((row) => (
                  <tr key={`${row.instance} ${row.hash}`}>
                    <th scope="row">
                      {row.name ?? row.hash.slice(0, 12)}
                      {row.instance !== "" && <span class="muted"> {row.instance}</span>}
                    </th>
                    <td>{row.tracker === row.new_tracker ? row.tracker : arrow(row.tracker, row.new_tracker)}</td>
                    <td class="num">{arrow(rate(row.limit), rate(row.new_limit))}</td>
                    <td>{row.reason}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      )}
    </section>
  );
}

const arrow = (before: string, after: string) => `${before} → ${after}`;

function Change({ row, before, after }: { row: EffectTracker; before: string; after: string }) {
  if (row.new) return <td class="num edit-differs">{after}</td>;
  if (row.gone) return <td class="num">{before}</td>;
  if (before === after) return <td class="num">{after}</td>;
  return (
    <td class="num">
      <s>
        <span class="visually-hidden">{t("edit.before")} </span>
        {before}
      </s>{" "}
      <span class="edit-differs">
        <span class="visually-hidden">{t("edit.after")} </span>
        {after}
      </span>
    </td>
  );
}

const KINDS: Readonly<Record<string, string>> = { "+": "added", "-": "removed", "@": "place" };

function Diff({ text }: { text: string }) {
  const lines = text.trimEnd().split("\n").slice(2);
  return (
    <section class="stack edit-effect" aria-labelledby="edit-diff">
      <h3 id="edit-diff">{t("edit.diff")}</h3>
      <pre class="edit-diff" tabIndex={0} aria-labelledby="edit-diff" role="group">
        {lines.map((line, index) => (
          <span key={index} class={KINDS[line.charAt(0)] ?? ""}>
            {`${line}\n`}
          </span>
        ))}
      </pre>
    </section>
  );
}

/** The sections to put into the file by hand. */
function ToCopy({ yaml, why }: { yaml: string; why: string }) {
  const [area, setArea] = useState<HTMLTextAreaElement | null>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(yaml);
      say(t("edit.copied"));
    } catch {
      area?.select(); // browsers give the clipboard to pages by HTTPS only
      say(t("edit.selected"));
    }
  };
  return (
    <section class="stack edit-effect" aria-labelledby="edit-yaml">
      <Notice tone="warn">
        <p>{t("edit.readOnly", { why: plain(why) })}</p>
      </Notice>
      {yaml !== "" && (
        <>
          <div class="row">
            <h3 id="edit-yaml">{t("edit.yaml")}</h3>
            <button type="button" class="button small push" onClick={() => void copy()}>
              {t("edit.copy")}
            </button>
          </div>
          <textarea
            ref={setArea}
            class="input edit-yaml"
            readOnly
            rows={Math.min(14, yaml.split("\n").length)}
            aria-labelledby="edit-yaml"
            value={yaml}
          />
        </>
      )}
    </section>
  );
}
