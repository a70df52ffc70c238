/** Logs in to qBittorrent with what is typed, or as it is configured. */

import { useState } from "preact/hooks";
import { testConnection } from "../../api/client";
import type { ConnectionAnswer, ConnectionBody } from "../../api/types.gen";
import { capital } from "../../words";
import { draft, file } from "../../edit/store";
import { t } from "../../i18n";
import { FormError, useSubmit } from "../../ui/field";
import { Notice } from "../../ui/notice";
import "./settings.css";

/** The typed parts of the connection; null: as configured. */
function typed(): ConnectionBody {
  const { settings } = draft.value;
  const of = (key: string) => {
    const value = settings[`qbittorrent.${key}`];
    return value === undefined ? null : typeof value === "string" ? value : "";
  };
  const login = { username: of("username"), password: of("password"), api_key: of("api_key") };
  return { instance: null, url: of("url") ?? addressOf(), ...login };
}

/** An address of host and port, if one of them was typed. */
function addressOf(): string | null {
  const { settings } = draft.value;
  if (settings["qbittorrent.host"] === undefined && settings["qbittorrent.port"] === undefined) return null;
  const now = (key: string, otherwise: string) => {
    const name = `qbittorrent.${key}`;
    const value = settings[name] ?? file.value?.settings.find((row) => row.setting === name)?.value;
    return typeof value === "string" || typeof value === "number" ? String(value) : otherwise;
  };
  return `http://${now("host", "localhost")}:${now("port", "8080")}`;
}

export function ConnectionTest() {
  const [found, setFound] = useState<ConnectionAnswer | null>(null);
  const { submit, busy, error } = useSubmit(async () => {
    setFound(null);
    setFound(await testConnection(typed()));
  });
  return (
    <div class="settings-test">
      <div class="row">
        <button type="button" class="button" aria-busy={busy} onClick={submit}>
          {t("settings.testConnection")}
        </button>
        <span class="muted">{busy ? t("settings.testing") : t("settings.testConnectionAbout")}</span>
      </div>
      <div role="status">{found && <ConnectionFound answer={found} />}</div>
      <FormError error={error} />
    </div>
  );
}

export function ConnectionFound({ answer }: { answer: ConnectionAnswer }) {
  if (answer.ok) {
    return (
      <Notice tone="ok">
        <p>{t("settings.connected", { version: answer.version, api: answer.webapi })}</p>
      </Notice>
    );
  }
  return (
    <Notice tone="bad">
      <p>{capital(answer.reason)}.</p>
      {answer.hint !== "" && <p>{capital(answer.hint)}.</p>}
    </Notice>
  );
}
