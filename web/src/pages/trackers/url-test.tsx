/** Which rule takes an announce URL, by the rules in force. */

import { useState } from "preact/hooks";
import { matchUrl } from "../../api/client";
import type { Match } from "../../api/types.gen";
import { rules } from "../../edit/store";
import { t } from "../../i18n";
import { FormError, Input, useSubmit } from "../../ui/field";
import { Icon } from "../../ui/icon";

const URL_EXAMPLE = "https://tracker.example.org/announce";

export function UrlTest() {
  const [url, setUrl] = useState("");
  const [found, setFound] = useState<Match | null>(null);
  const { submit, busy, error, of } = useSubmit(async () => {
    setFound(null);
    setFound(await matchUrl(url.trim()));
  });
  const named = (id: string) => rules.value.find((rule) => rule.key === id)?.values.name || id;
  const others = found?.matches.filter((one) => one.matches && one.tracker_id !== found.matched_tracker) ?? [];
  return (
    <section class="card stack" aria-labelledby="trackers-test">
      <h2 id="trackers-test">{t("trackers.test")}</h2>
      <form class="trackers-test" onSubmit={submit}>
        <Input
          label={t("trackers.testUrl")}
          help={t("trackers.testHelp")}
          value={url}
          onValue={setUrl}
          error={of("url")}
          placeholder={URL_EXAMPLE}
          autocomplete="off"
          inputMode="url"
          required
        />
        <button type="submit" class="button" aria-busy={busy}>
          {t("trackers.testSubmit")}
        </button>
      </form>
      <FormError error={error} fields={["url"]} />
      <div role="status">
        {found && (
          <p class="trackers-found">
            <Icon name="ok" />
            <span>
              {t("trackers.testFound", { url: found.url, rule: named(found.matched_tracker) })}
              {others.length > 0 &&
                ` ${t("trackers.testOthers", { rules: others.map((one) => named(one.tracker_id)).join(", ") })}`}
            </span>
          </p>
        )}
      </div>
    </section>
  );
}
