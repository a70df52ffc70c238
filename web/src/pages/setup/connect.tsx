/** Where qBittorrent is, tried before it is saved. */

import { plain } from "../../words";
import { Setting } from "../../edit/setting";
import { draft, savePart } from "../../edit/store";
import { t } from "../../i18n";
import { FormError, useSubmit } from "../../ui/field";
import { tell } from "../../edit/review";
import { Notice } from "../../ui/notice";
import { ConnectionTest } from "../settings/connection";

const FIRST = ["url", "username", "password"] as const;
const MORE = ["qbittorrent.api_key", "qbittorrent.auth", "qbittorrent.verify_tls"] as const;

/** `problem`: why qBittorrent does not answer; empty if it does, or was never asked. */
export function Connect({ problem, again }: { problem: string; again: () => void }) {
  const { submit, busy, error } = useSubmit(async () => {
    tell(await savePart((name) => name.startsWith("qbittorrent.")), t("edit.saved"));
    again();
  });
  const changed = Object.keys(draft.value.settings).some((name) => name.startsWith("qbittorrent."));
  return (
    <div>
      {problem !== "" && (
        <Notice tone="warn">
          <p>{t("setup.connection.problem", { why: plain(problem) })}</p>
        </Notice>
      )}
      {FIRST.map((name) => (
        <Setting
          key={name}
          name={`qbittorrent.${name}`}
          plainly={{ label: t(`setup.connection.${name}`), help: t(`setup.connection.${name}Help`) }}
        />
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
