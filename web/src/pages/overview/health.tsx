/** The strip that says in one sentence whether all is well; if not, what is wrong and what to do. */

import { useState } from "preact/hooks";
import { ApiError, forceCycle } from "../../api/client";
import { refresh } from "../../api/live";
import { t } from "../../i18n";
import { href } from "../../routes";
import { currentVerdict, type Action } from "../../state";
import { Icon } from "../../ui/icon";
import { sayError } from "../../ui/toasts";
import { resumeNow } from ".";

export function Health() {
  const said = currentVerdict();
  if (!said) return <p class="boot">{t("app.loading")}</p>;
  return (
    <section class={`card overview-health ${said.tone}`} aria-label={t("overview.health")}>
      <Icon name={said.tone} />
      <div class="overview-said">
        <p class="overview-sentence">{said.sentence}</p>
        {said.details.length === 1 && <p class="overview-detail">{said.details[0]}</p>}
        {said.details.length > 1 && (
          <ul class="overview-detail">
            {said.details.map((detail) => (
              <li key={detail}>{detail}</li>
            ))}
          </ul>
        )}
      </div>
      {said.actions.length > 0 && (
        <div class="row push">
          {said.actions.map((action) => (
            <ActionButton key={action} action={action} />
          ))}
        </div>
      )}
    </section>
  );
}

function ActionButton({ action }: { action: Action }) {
  const [busy, setBusy] = useState(false);
  const run = async (work: () => Promise<unknown>) => {
    setBusy(true);
    try {
      await work();
    } finally {
      setBusy(false);
    }
  };
  switch (action) {
    case "try":
      return (
        <button type="button" class="button primary" aria-busy={busy} onClick={() => !busy && void run(tryNow)}>
          {t("verdict.tryNow")}
        </button>
      );
    case "resume":
      return (
        <button type="button" class="button primary" aria-busy={busy} onClick={() => !busy && void run(resumeNow)}>
          {t("verdict.resume")}
        </button>
      );
    case "setup":
      return (
        <a class="button primary" href={href("setup")}>
          {t("verdict.setup")}
        </a>
      );
    case "settings":
      return (
        <a class="button" href={href("settings")}>
          {t("verdict.settings")}
        </a>
      );
  }
}

async function tryNow(): Promise<void> {
  try {
    await forceCycle();
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 503) sayError(error); // 503: it failed again, and the strip says why
  }
  await refresh().catch(sayError);
}
