/** The form that lets a person in: by name and password, or by API key. */

import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, logIn, session } from "../api/client";
import { t } from "../i18n";
import { FormError, Input, Segments, useSubmit } from "../ui/field";
import { duration } from "../units";

const SHOW_KEY = "qguardarr api-key";

type Way = "password" | "key";

export function Login({ expired = false }: { expired?: boolean }) {
  const who = session.value;
  const [way, setWay] = useState<Way>(who.state === "out" && who.password ? "password" : "key");
  const [username, setUsername] = useState("");
  const [secret, setSecret] = useState("");
  const form = useRef<HTMLFormElement>(null);
  const { submit, busy, error } = useSubmit(() =>
    logIn(way === "key" ? { api_key: secret } : { username, password: secret }),
  );
  useEffect(() => form.current?.querySelector<HTMLInputElement>("input.input")?.focus(), [way]);
  const offersPassword = who.state === "out" && who.password;
  return (
    <form ref={form} class="stack" onSubmit={submit}>
      {expired && <p>{t("login.expired")}</p>}
      {offersPassword && (
        <Segments
          label={t("login.with")}
          value={way}
          options={[
            { value: "password", label: t("login.with.password") },
            { value: "key", label: t("login.with.key") },
          ]}
          onValue={(chosen) => {
            setWay(chosen);
            setSecret("");
          }}
        />
      )}
      {way === "password" && (
        <Input label={t("login.username")} value={username} onValue={setUsername} autocomplete="username" required />
      )}
      <Input
        key={way}
        label={way === "key" ? t("login.key") : t("login.password")}
        help={
          way === "key" ? (
            <>
              {t("login.keyHelp")} <code>{SHOW_KEY}</code>
            </>
          ) : undefined
        }
        type="password"
        value={secret}
        onValue={setSecret}
        autocomplete={way === "key" ? "off" : "current-password"}
        required
      />
      <FormError error={error} />
      {error instanceof ApiError && error.retryAfterS > 0 && (
        <p>{t("login.wait", { time: duration(error.retryAfterS) })}</p>
      )}
      <div class="row">
        <button type="submit" class="button primary" aria-busy={busy}>
          {t("login.submit")}
        </button>
      </div>
    </form>
  );
}
