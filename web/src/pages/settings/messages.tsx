/** Sends a test message to what is typed, or to all that are configured. */

import { useState } from "preact/hooks";
import { testMessage } from "../../api/client";
import type { MessageAnswer } from "../../api/types.gen";
import { draft } from "../../edit/store";
import { t } from "../../i18n";
import { FormError, useSubmit } from "../../ui/field";
import { Notice } from "../../ui/notice";

export function MessageTest() {
  const [found, setFound] = useState<MessageAnswer | null>(null);
  const fresh = draft.value.lists["notifications.urls"]?.added.filter((url) => url.trim() !== "") ?? [];
  const { submit, busy, error } = useSubmit(async () => {
    setFound(null);
    setFound(await testMessage(fresh.length > 0 ? fresh : null));
  });
  return (
    <div class="settings-test">
      <div class="row">
        <button type="button" class="button" aria-busy={busy} onClick={submit}>
          {t("settings.testMessage")}
        </button>
        <span class="muted">
          {busy
            ? t("settings.testing")
            : fresh.length > 0
              ? t("settings.testMessageTyped", { n: fresh.length })
              : t("settings.testMessageAbout")}
        </span>
      </div>
      <div role="status" class="stack settings-results">
        {found?.results.map((result) => (
          <Notice key={result.place} tone={result.ok ? "ok" : "bad"}>
            <p>
              {result.ok
                ? t("settings.messageArrived", { service: result.service || result.place })
                : t("settings.messageFailed", { service: result.service || result.place, why: result.problem })}
            </p>
          </Notice>
        ))}
      </div>
      <FormError error={error} />
    </div>
  );
}
