/** Until the person says go, nothing is written to qBittorrent. */

import { useState } from "preact/hooks";
import type { SetupSteps } from "../../api/types.gen";
import { revertSetting, setSetting } from "../../edit/draft";
import { Review } from "../../edit/review";
import { change, helps } from "../../edit/store";
import { t } from "../../i18n";
import { href } from "../../routes";
import { Notice } from "../../ui/notice";

export function Go({ steps, again }: { steps: SetupSteps; again: () => void }) {
  const [asking, setAsking] = useState(false);
  const wish = (value: boolean | null) => {
    const help = helps.peek().get("global.dry_run");
    if (!help) return;
    change((draft, file) =>
      value === null ? revertSetting(draft, "global.dry_run") : setSetting(draft, file, help, value),
    );
  };
  if (steps.live) {
    return (
      <>
        <Notice tone="ok">
          <p>{t("setup.go.live")}</p>
        </Notice>
        <div>
          <a class="button primary" href={href("overview")}>
            {t("setup.go.overview")}
          </a>
        </div>
      </>
    );
  }
  return (
    <>
      <p>{steps.capped > 0 ? t("setup.go.about") : t("setup.go.noCaps")}</p>
      {steps.dry_run ? (
        <div>
          <button
            type="button"
            class="button primary"
            disabled={!steps.connection}
            onClick={() => {
              wish(false);
              setAsking(true);
            }}
          >
            {t("setup.go.now")}
          </button>
        </div>
      ) : (
        <p class="muted">{steps.problem || steps.next}</p>
      )}
      {asking && (
        <Review
          onClose={() => {
            setAsking(false);
            wish(null);
          }}
          onSaved={again}
        />
      )}
    </>
  );
}
