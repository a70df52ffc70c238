/** What can be done with the torrents that are chosen. */

import { useState } from "preact/hooks";
import { t } from "../../i18n";
import { RestoreDialog } from "../../restore/dialog";
import { Icon } from "../../ui/icon";
import { say, sayError } from "../../ui/toasts";
import { MOST_CHOSEN, type Selection } from "./selection";

interface SelectedProps {
  selection: Selection;
  /** Number of torrents in the list. */
  total: number;
  onDone: () => void;
}

export function Selected({ selection, total, onDone }: SelectedProps) {
  const [resetting, setResetting] = useState<readonly string[] | null>(null);
  const { size } = selection.chosen.value;
  if (size === 0 && resetting === null) return null;
  return (
    <>
      {size > 0 && (
        <div class="torrents-selected card row" role="region" aria-label={t("torrents.selection")}>
          <p aria-live="polite">{t("torrents.selected", { n: size })}</p>
          {size < total && total <= MOST_CHOSEN && (
            <button
              type="button"
              class="button quiet"
              aria-busy={selection.busy.value}
              onClick={() => void chooseAll(selection, total)}
            >
              {t("torrents.selectAllOf", { n: total })}
            </button>
          )}
          <button type="button" class="button quiet push" onClick={() => selection.clear()}>
            {t("torrents.selectNone")}
          </button>
          <button type="button" class="button" onClick={() => setResetting([...selection.chosen.value])}>
            <Icon name="undo" />
            {t("torrents.resetSelected")}
          </button>
        </div>
      )}
      {resetting !== null && (
        <RestoreDialog
          torrents={resetting}
          onDone={() => {
            selection.clear();
            onDone();
          }}
          onClose={() => setResetting(null)}
        />
      )}
    </>
  );
}

/** Choose all of the list, or say why not. */
export async function chooseAll(selection: Selection, total: number): Promise<void> {
  await told(selection.all(total));
}

/** Say if they were too many, or could not be fetched. */
export async function told(choosing: Promise<boolean>): Promise<void> {
  try {
    if (!(await choosing)) say(t("torrents.tooMany", { n: MOST_CHOSEN }));
  } catch (error) {
    sayError(error);
  }
}
