/** The frame around all pages: header, pages by address, login, toasts. */

import { effect } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { checkSession, logOut, session } from "./api/client";
import { connection, loadedVersion, start, status, stop } from "./api/live";
import { languageChoice, theme, unitSystem } from "./choices";
import iconUrl from "./icon.svg";
import { t } from "./i18n";
import { Entrance } from "./pages/entrance";
import { Login } from "./pages/login";
import { href, route, type PageName } from "./routes";
import { currentVerdict } from "./state";
import { Dialog } from "./ui/dialog";
import { Select } from "./ui/field";
import { Icon } from "./ui/icon";
import { Failure, Notice } from "./ui/notice";
import { sayError, Toasts } from "./ui/toasts";

/** Each page is loaded when it is asked for. Its module exports the component as `default`. */
const PAGES: Readonly<Record<PageName, () => Promise<{ default: ComponentType }>>> = {
  overview: () => import("./pages/overview"),
  torrents: () => import("./pages/torrents"),
  trackers: () => import("./pages/trackers"),
  journal: () => import("./pages/journal"),
  settings: () => import("./pages/settings"),
  setup: () => import("./pages/setup"),
};
const NAV = ["overview", "torrents", "trackers", "journal", "settings"] as const satisfies readonly PageName[];

export function App() {
  const [failure, setFailure] = useState<unknown>(null);
  const check = () => {
    setFailure(null);
    checkSession().catch(setFailure);
  };
  useEffect(check, []);
  useEffect(() => effect(() => (session.value.state === "in" ? start() : stop())), []);
  const who = session.value;
  // A session that ended leaves the page as it is, below the login: what was typed is kept.
  const shown = who.state === "in" || (who.state === "out" && who.expired);
  return (
    <>
      {shown ? <Frame /> : who.state === "out" ? <LoginPage /> : <First failure={failure} again={check} />}
      {who.state === "out" && who.expired && (
        <Dialog title={t("login.title")}>
          <Login expired />
        </Dialog>
      )}
      <Toasts />
    </>
  );
}

function First({ failure, again }: { failure: unknown; again: () => void }) {
  return (
    <main class="login">
      {failure === null ? <p class="boot">{t("app.loading")}</p> : <Failure error={failure} again={again} />}
    </main>
  );
}

function LoginPage() {
  useEffect(() => {
    document.title = `${t("login.title")} · ${t("app.name")}`;
  });
  return (
    <main class="login">
      <h1 class="brand">
        <img src={iconUrl} alt="" />
        {t("app.name")}
      </h1>
      <Entrance />
    </main>
  );
}

function Frame() {
  return (
    <>
      <a
        class="skip button primary"
        href="#main"
        onClick={(event) => {
          event.preventDefault(); // the address behind # is the page's
          document.getElementById("main")?.focus();
        }}
      >
        {t("app.skip")}
      </a>
      <Header />
      <main id="main" class="main" tabIndex={-1}>
        <NewVersion />
        <CurrentPage name={route.value.page} />
      </main>
    </>
  );
}

function Header() {
  const current = route.value.page;
  const said = currentVerdict();
  return (
    <header class="header">
      <a class="brand" href={href("overview")}>
        <img src={iconUrl} alt="" />
        {t("app.name")}
      </a>
      <nav class="nav" aria-label={t("nav.label")}>
        {NAV.map((name) => (
          <a key={name} href={href(name)} aria-current={name === current ? "page" : undefined}>
            <Icon name={name} />
            {t(`nav.${name}`)}
          </a>
        ))}
      </nav>
      <span class="push" />
      {said && (
        <a class={`pill ${said.tone}`} href={href("overview")} title={said.sentence}>
          <Icon name={said.tone} />
          {said.short}
        </a>
      )}
      <ConnectionState />
      <Menu />
    </header>
  );
}

function ConnectionState() {
  const now = connection.value;
  const tone = now === "live" || now === "polling" ? "ok live" : now === "offline" ? "bad" : "";
  const words = t(`connection.${now}`);
  return (
    <span class={`connection ${tone}`} title={words}>
      <span>{words}</span>
    </span>
  );
}

function Menu() {
  const who = session.value;
  return (
    <>
      <button
        type="button"
        class="menu-button"
        popovertarget="menu"
        aria-label={t("choices.open")}
        title={t("choices.open")}
      >
        <Icon name="gear" />
      </button>
      <div class="menu" id="menu" popover="auto" role="group" aria-label={t("choices.open")}>
        <Select
          label={t("choices.theme")}
          value={theme.value}
          options={(["system", "light", "dark"] as const).map((value) => ({
            value,
            label: t(`choices.theme.${value}`),
          }))}
          onValue={(value) => (theme.value = value)}
        />
        <Select
          label={t("choices.language")}
          value={languageChoice.value}
          options={[
            { value: "auto", label: t("choices.language.auto") },
            { value: "en", label: "English" },
            { value: "zh", label: "中文" },
          ]}
          onValue={(value) => (languageChoice.value = value)}
        />
        <Select
          label={t("choices.units")}
          value={unitSystem.value}
          options={(["binary", "si"] as const).map((value) => ({ value, label: t(`choices.units.${value}`) }))}
          onValue={(value) => (unitSystem.value = value)}
        />
        <div class="row">
          <a href="docs">{t("choices.api")}</a>
          {status.value && <span class="muted push">{t("choices.version", { version: status.value.version })}</span>}
        </div>
        {who.state === "in" && who.info.kind === "proxy" && (
          <p class="muted">{t("choices.loggedInByProxy", { user: who.info.user })}</p>
        )}
        {who.state === "in" && who.info.kind === "session" && (
          <div class="row">
            <span class="muted">{t("choices.loggedInAs", { user: who.info.user })}</span>
            <button type="button" class="button small push" onClick={() => void logOut().catch(sayError)}>
              {t("choices.logout")}
            </button>
          </div>
        )}
      </div>
    </>
  );
}

function NewVersion() {
  const version = status.value?.version;
  if (version === undefined || version === loadedVersion.value) return null;
  return (
    <Notice tone="info">
      <div class="row">
        <p>{t("app.newVersion", { version })}</p>
        <button type="button" class="button small" onClick={() => location.reload()}>
          {t("app.reload")}
        </button>
      </div>
    </Notice>
  );
}

const loaded = new Map<PageName, ComponentType>();

/** The page of this name, once it is loaded. */
function CurrentPage({ name }: { name: PageName }) {
  const [, setLoaded] = useState<PageName | null>(null);
  const [failed, setFailed] = useState<PageName | null>(null);
  useEffect(() => {
    if (loaded.has(name)) return;
    PAGES[name]().then(
      (module) => {
        loaded.set(name, module.default);
        setLoaded(name);
      },
      () => setFailed(name),
    );
  }, [name]);
  const Found = loaded.get(name);
  if (Found) return <Found key={name} />;
  if (failed === name) {
    return (
      <Notice tone="bad">
        <div class="row">
          <p>{t("error.chunk")}</p>
          <button type="button" class="button small" onClick={() => location.reload()}>
            {t("app.reload")}
          </button>
        </div>
      </Notice>
    );
  }
  return <p class="boot">{t("app.loading")}</p>;
}
