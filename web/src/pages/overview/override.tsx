/** A dialog for a cap that holds for a while. */

import { useState } from "preact/hooks";
import { setOverride } from "../../api/client";
import { now, refresh } from "../../api/live";
import type { ParentRow, TrackerRow } from "../../api/types.gen";
import { t } from "../../i18n";
import { Dialog } from "../../ui/dialog";
import { FormError, Input, Select, useSubmit } from "../../ui/field";
import { say } from "../../ui/toasts";
import { duration, moment, rate } from "../../units";
import { groupName } from "../../words";
import { endOverrideOf } from "./tracker-card";

const SPANS = ["900", "3600", "14400", "43200", "86400", "604800"] as const;

export function OverrideDialog({ row, onClose }: { row: TrackerRow | ParentRow; onClose: () => void }) {
  const name = groupName(row);
  const [cap, setCap] = useState("");
  const [span, setSpan] = useState<(typeof SPANS)[number]>("3600");
  const until = now.value + Number(span);
  const { submit, busy, error, of } = useSubmit(async () => {
    const set = await setOverride(row.id, cap, Number(span));
    say(t("tracker.overrideSet", { tracker: name, cap: rate(set.cap), time: moment(set.until, now.value) }));
    onClose();
    await refresh();
  });
  return (
    <Dialog title={t("tracker.overrideOf", { tracker: name })} onClose={onClose}>
      <form class="stack" onSubmit={submit}>
        <Input
          label={t("tracker.overrideCap")}
          help={t("tracker.overrideCapHelp", { cap: rate(row.cap) })}
          value={cap}
          onValue={setCap}
          error={of("cap")}
          maxLength={60}
          required
        />
        <Select
          label={t("tracker.overrideFor")}
          value={span}
          options={SPANS.map((value) => ({ value, label: duration(Number(value)) }))}
          onValue={setSpan}
        />
        <p class="muted">{t("tracker.overrideUntilTime", { time: moment(until, now.value) })}</p>
        <FormError error={error} fields={["cap"]} />
        <div class="actions">
          {row.override_until !== null && (
            <button
              type="button"
              class="button danger"
              onClick={() => {
                onClose();
                void endOverrideOf(row);
              }}
            >
              {t("tracker.overrideEndNow")}
            </button>
          )}
          <button type="button" class="button push" onClick={onClose}>
            {t("app.cancel")}
          </button>
          <button type="submit" class="button primary" aria-busy={busy}>
            {t("tracker.overrideSave")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
