/** What a group would select, as the draft is now: how many torrents, and the names of the first. */

import { useState } from "preact/hooks";
import type { EffectTracker } from "../api/types.gen";
import { t } from "../i18n";
import { FormError, useSubmit } from "../ui/field";
import { plain } from "../words";
import type { RuleView } from "./draft";
import { plan, preview } from "./store";

/** Torrents that are named. */
const FIRST = 10;

interface Found {
  /** The draft that it was found for. */
  readonly draft: string;
  readonly row: EffectTracker | undefined;
  readonly names: readonly string[];
  readonly problem: string;
}

export function Selected({ rule }: { rule: RuleView }) {
  const draft = JSON.stringify(plan.value.edits);
  const [found, setFound] = useState<Found | null>(null);
  const { submit, busy, error } = useSubmit(async () => {
    const trial = await preview(undefined, rule.id);
    const problem = trial.ok ? trial.effect_problem : t("selected.faulty");
    const row = trial.effect?.trackers.find((one) => one.id === rule.id);
    const names = trial.effect?.selected.slice(0, FIRST).map((one) => one.name ?? one.hash.slice(0, 12)) ?? [];
    setFound({ draft, row, names, problem });
  });
  const shown = found?.draft === draft ? found : null;
  return (
    <div class="selected">
      <button type="button" class="button small" aria-busy={busy} onClick={submit}>
        {t("selected.ask")}
      </button>
      <FormError error={error} />
      <div role="status">
        {shown?.row && (
          <>
            <p>
              {t("selected.count", { n: shown.row.new_torrents })}{" "}
              {!shown.row.new && <span class="muted">{t("selected.now", { n: shown.row.torrents })}</span>}
            </p>
            {shown.names.length > 0 && (
              <ul>
                {shown.names.map((name, index) => (
                  <li key={index}>{name}</li>
                ))}
                {shown.row.new_torrents > shown.names.length && (
                  <li class="muted">{t("selected.more", { n: shown.row.new_torrents - shown.names.length })}</li>
                )}
              </ul>
            )}
          </>
        )}
        {shown && shown.problem !== "" && <p>{plain(shown.problem)}</p>}
      </div>
    </div>
  );
}
