/** Puts a torrent's own limit back, after it was said what will happen. */

import { useState } from "preact/hooks";
import { pause, resetTorrent } from "../../api/client";
import { status } from "../../api/live";
import type { ResetTorrents, TorrentRow } from "../../api/types.gen";
import { t } from "../../i18n";
import { Dialog } from "../../ui/dialog";
import { FormError, useSubmit } from "../../ui/field";
import { say, sayError } from "../../ui/toasts";
import { duration, rate } from "../../units";
import { outlookOf } from "./outlook";
import { nameOf } from "./words";

interface ResetProps {
  row: TorrentRow;
  onClose: () => void;
  onDone: () => void;
}

export function ResetDialog({ row: newest, onClose, onDone }: ResetProps) {
  const [row] = useState(newest); // what was shown is what is agreed to
  const known = status.value;
  const outlook = outlookOf(row, known);
  const tracker = known?.trackers.find((one) => one.id === row.tracker)?.name ?? row.tracker;
  const time = duration(Math.max(1, Math.ceil(known?.interval_s ?? 5)));
  const [pausing, setPausing] = useState(false);
  const reset = async (andPause: boolean) => {
    setPausing(andPause);
    if (andPause) await pause(t("torrents.reset.pauseReason"));
    told(await resetTorrent(row.hash, row.instance || null), row);
    onClose();
    onDone();
  };
  const plain = useSubmit(() => reset(false));
  const paused = useSubmit(() => reset(true));
  const busy = plain.busy || paused.busy;
  return (
    <Dialog title={t("torrents.reset.title")} onClose={onClose}>
      <p>{nameOf(row)}</p>
      <dl class="torrents-facts num">
        <div>
          <dt>{t("torrents.reset.now")}</dt>
          <dd>{rate(row.limit)}</dd>
        </div>
        <div>
          <dt>{t("torrents.reset.then")}</dt>
          <dd>
            <b>{rate(row.original)}</b>
          </dd>
        </div>
      </dl>
      <p>
        {outlook === "again"
          ? t("torrents.reset.again", { tracker, time })
          : outlook === "unknown"
            ? t("torrents.reset.unknown")
            : outlook === "uncapped"
              ? t("torrents.reset.stays.uncapped", { tracker })
              : t(`torrents.reset.stays.${outlook}`)}
      </p>
      <FormError error={pausing ? paused.error : plain.error} />
      <div class="actions">
        <button type="button" class="button" onClick={onClose}>
          {t("app.cancel")}
        </button>
        <button type="button" class="button" aria-busy={plain.busy} disabled={busy} onClick={() => plain.submit()}>
          {t("torrents.reset.do")}
        </button>
        {outlook === "again" && (
          <button
            type="button"
            class="button primary"
            aria-busy={paused.busy}
            disabled={busy}
            onClick={() => paused.submit()}
          >
            {t("torrents.reset.pause")}
          </button>
        )}
      </div>
    </Dialog>
  );
}

/** Say what came of it. */
function told(done: ResetTorrents, row: TorrentRow): void {
  const failed = done.failed[row.hash];
  if (failed !== undefined) sayError(new Error(failed));
  else if (done.restored.length > 0) say(t("torrents.reset.done", { limit: rate(row.original) }));
  else if (done.set_by_hand.length > 0) say(t("torrents.reset.byHand"));
  else if (done.gone.length > 0) say(t("torrents.reset.gone"));
  else say(t("torrents.reset.never"));
}
