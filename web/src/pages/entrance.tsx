/** What somebody sees who is not let in: the login; on a first run, the form for the first user. */

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { getSetup } from "../api/client";
import type { Setup } from "../api/types.gen";
import { t } from "../i18n";
import { errorText } from "../ui/toasts";
import { Login } from "./login";

type FirstUserForm = ComponentType<{ keyWhy: string }>;

export function Entrance() {
  const [setup, setSetup] = useState<Setup | null | undefined>(undefined);
  const [withKey, setWithKey] = useState(false);
  useEffect(() => {
    getSetup().then(setSetup, () => setSetup(null)); // without an answer the login says what is wrong
  }, []);
  if (setup === undefined) return <p class="boot">{t("app.loading")}</p>;
  const nobody = setup !== null && !setup.user && !setup.open;
  if (nobody && (setup.may_create_user || withKey)) return <First keyWhy={withKey ? setup.why_not : ""} />;
  return (
    <div class="card stack">
      <h2>{t("login.title")}</h2>
      <Login />
      {nobody && (
        <div class="stack">
          <p class="muted">{t("setup.noUser", { why: setup.why_not })}</p>
          <div>
            <button type="button" class="button small" onClick={() => setWithKey(true)}>
              {t("setup.withKey")}
            </button>
          </div>
        </div>
      )}
    </div>
  );
}

/** Loaded when it is needed, which is once in the life of an installation. */
function First({ keyWhy }: { keyWhy: string }) {
  const [found, setFound] = useState<{ Form: FirstUserForm } | null>(null);
  const [failure, setFailure] = useState<unknown>(null);
  useEffect(() => {
    import("./setup/first-user").then((module) => setFound({ Form: module.FirstUser }), setFailure);
  }, []);
  return (
    <div class="card stack">
      <h2>{t("setup.welcome")}</h2>
      {found ? <found.Form keyWhy={keyWhy} /> : <p class="boot">{failure ? errorText(failure) : t("app.loading")}</p>}
    </div>
  );
}
