/** Around all pages that edit: remarks on the file, the strip with the draft at the bottom, undo of the last save. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { now } from "../api/live";
import { t } from "../i18n";
import { Dialog } from "../ui/dialog";
import { FormError, useSubmit } from "../ui/field";
import { Icon } from "../ui/icon";
import { Failure, Notice } from "../ui/notice";
import { errorText } from "../ui/toasts";
import { moment } from "../units";
import { faultText } from "./draft";
import { plain } from "../words";
import "./edit.css";
import { Conflict, Review, tell } from "./review";
import {
  changes,
  checkError,
  checking,
  conflict,
  discard,
  faults,
  file,
  load,
  loadError,
  rebase,
  schema,
  undo,
} from "./store";

/** What edits the file: shows it once the file is read, with remarks above and the draft below. */
export function Editing({ children, bar = true }: { children: ComponentChildren; bar?: boolean }) {
  useEffect(() => void load(), []);
  const known = file.value;
  return (
    <>
      {loadError.value !== null && <Failure error={loadError.value} again={() => void load()} />}
      {(!known || !schema.value) && loadError.value === null && <p class="boot">{t("edit.reading")}</p>}
      {known && schema.value && (
        <>
          <Remarks />
          {known.faults.length === 0 && children}
          {bar && <DraftBar />}
        </>
      )}
    </>
  );
}

function Remarks() {
  const known = file.value;
  const met = rebase.value;
  if (!known) return null;
  return (
    <>
      {!known.writable && (
        <Notice tone="info">
          <p>{t("edit.fileReadOnly", { file: known.file, why: plain(known.why_not) })}</p>
        </Notice>
      )}
      {!known.exists && known.writable && (
        <Notice tone="info">
          <p>{t("edit.noFile", { file: known.file })}</p>
        </Notice>
      )}
      {known.faults.length > 0 && (
        <Notice tone="bad">
          <p>{t("edit.fileFaulty", { file: known.file })}</p>
          <ul class="edit-list">
            {known.faults.map((fault, index) => (
              <li key={index}>
                <code>{fault.setting}</code> {faultText(fault)}
                {fault.line !== null && ` (${t("edit.line", { line: fault.line })})`}
              </li>
            ))}
          </ul>
          <button type="button" class="button small" onClick={() => void load()}>
            {t("edit.readAgain")}
          </button>
        </Notice>
      )}
      {met && (
        <Notice tone="info">
          <div class="row">
            <p>
              {t("edit.rebased")}
              {met.lost.length > 0 && ` ${t("edit.rebasedLost", { rules: met.lost.join(", ") })}`}
              {met.both.length > 0 && ` ${t("edit.rebasedBoth", { settings: met.both.join(", ") })}`}
            </p>
            <button
              type="button"
              class="button quiet small push"
              aria-label={t("app.close")}
              onClick={() => (rebase.value = null)}
            >
              <Icon name="close" />
            </button>
          </div>
        </Notice>
      )}
    </>
  );
}

/** What is not saved yet; `onSaved` is called after a save. */
export function DraftBar({ onSaved }: { onSaved?: () => void }) {
  const [reviewing, setReviewing] = useState(false);
  const n = changes.value;
  if (n === 0 && !reviewing) return null;
  const wrong = faults.value.size;
  const loose = faults.value.get("");
  return (
    <>
      <section class="edit-bar" aria-label={t("edit.bar")}>
        {conflict.value && <Conflict />}
        {loose !== undefined && (
          <Notice tone="bad">
            <p>{loose}</p>
          </Notice>
        )}
        <div class="row">
          <strong>{t("edit.changes", { n })}</strong>
          <span class={`edit-state ${wrong > 0 || checkError.value !== null ? "bad" : ""}`} role="status">
            {conflict.value ? (
              ""
            ) : checkError.value !== null ? (
              errorText(checkError.value)
            ) : checking.value ? (
              t("edit.checking")
            ) : wrong > 0 ? (
              <>
                <Icon name="bad" />
                {t("edit.wrong", { n: wrong })}
              </>
            ) : (
              t("edit.right")
            )}
          </span>
          <span class="row push">
            <button type="button" class="button" onClick={discard}>
              {t("edit.discard")}
            </button>
            <button type="button" class="button primary" onClick={() => setReviewing(true)}>
              {t("edit.reviewAndSave")}
            </button>
          </span>
        </div>
      </section>
      {reviewing && <Review onClose={() => setReviewing(false)} onSaved={onSaved} />}
    </>
  );
}

/** Puts the file before the last save back, after a question. */
export function UndoButton() {
  const [asking, setAsking] = useState(false);
  const state = file.value?.undo;
  if (!state?.possible && !asking) return null;
  return (
    <>
      <button type="button" class="button" onClick={() => setAsking(true)}>
        <Icon name="undo" />
        {t("edit.undo")}
      </button>
      {asking && <UndoDialog onClose={() => setAsking(false)} savedAt={state?.saved_at ?? null} />}
    </>
  );
}

function UndoDialog({ onClose, savedAt }: { onClose: () => void; savedAt: number | null }) {
  const { submit, busy, error } = useSubmit(async () => {
    const saved = await undo();
    onClose();
    tell(saved, t("edit.undone"));
  });
  return (
    <Dialog title={t("edit.undoTitle")} onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <p>
          {savedAt === null ? t("edit.undoAbout") : t("edit.undoAboutAt", { time: moment(savedAt, now.value) })}
          {changes.value > 0 && ` ${t("edit.undoKeeps")}`}
        </p>
        <FormError error={error} />
        <div class="actions">
          <button type="button" class="button" onClick={onClose}>
            {t("app.cancel")}
          </button>
          <button type="submit" class="button primary" aria-busy={busy}>
            {t("edit.undo")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
