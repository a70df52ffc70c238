/** Where qBittorrent is, tried before it is saved. */

import { Setting } from "../../edit/setting";
import { draft, savePart } from "../../edit/store";
import { t } from "../../i18n";
import { FormError, useSubmit } from "../../ui/field";
import { tell } from "../../edit/review";
import { ConnectionTest } from "../settings/connection";

const FIRST = ["qbittorrent.url", "qbittorrent.username", "qbittorrent.password"] as const;
const MORE = ["qbittorrent.api_key", "qbittorrent.auth", "qbittorrent.verify_tls"] as const;

export function Connect({ again }: { again: () => void }) {
  const { submit, busy, error } = useSubmit(async () => {
    tell(await savePart((name) => name.startsWith("qbittorrent.")), t("edit.saved"));
    again();
  });
  const changed = Object.keys(draft.value.settings).some((name) => name.startsWith("qbittorrent."));
  return (
    <div>
      {FIRST.map((name) => (
        <Setting key={name} name={name} />
      ))}
      <details class="setup-more">
        <summary>{t("setup.connection.more")}</summary>
        {MORE.map((name) => (
          <Setting key={name} name={name} />
        ))}
      </details>
      <ConnectionTest />
      <div class="setup-save">
        <FormError error={error} />
        <button type="button" class="button primary" aria-busy={busy} disabled={!changed} onClick={submit}>
          {t("setup.connection.save")}
        </button>
      </div>
    </div>
  );
}
