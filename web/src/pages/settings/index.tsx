/** Everything in the schema, by group, with its help; and what belongs beside it: tests, temporary caps. */

import type { ComponentChildren } from "preact";
import { Editing, UndoButton } from "../../edit/bar";
import { Help, Setting } from "../../edit/setting";
import { changes, draft, faults, file, schema } from "../../edit/store";
import { t } from "../../i18n";
import { go, href, route } from "../../routes";
import { Page } from "../../ui/page";
import { ConnectionTest } from "./connection";
import { groupsOf, matching, type Group } from "./groups";
import { MessageTest } from "./messages";
import { Overrides } from "./overrides";
import "./settings.css";

const EXTRAS: Readonly<Record<string, () => ComponentChildren>> = {
  qbittorrent: () => <ConnectionTest />,
  notifications: () => <MessageTest />,
};

export default function Settings() {
  return (
    <Page title={t("settings.title")} actions={<UndoButton />}>
      <Editing>
        <All />
      </Editing>
    </Page>
  );
}

function All() {
  const words = route.value.params["q"] ?? "";
  const all = schema.value ? groupsOf(schema.value) : [];
  const changedOnly = route.value.params["show"] === "changed";
  const touched = (name: string) =>
    draft.value.settings[name] !== undefined || draft.value.lists[name] !== undefined || faults.value.has(name);
  const written = (name: string) =>
    touched(name) || file.value?.settings.some((row) => row.setting === name && row.source !== "default") === true;
  const groups = matching(all, words, changedOnly ? written : () => true);
  const count = groups.reduce((sum, group) => sum + group.settings.length, 0);
  const filtered = words !== "" || changedOnly;
  const search = (params: Record<string, string>) =>
    go("settings", { ...route.value.params, ...params }, { replace: true });
  return (
    <div class="settings">
      <div class="settings-side">
        <label class="settings-search">
          <span class="visually-hidden">{t("settings.search")}</span>
          <input
            class="input"
            type="search"
            placeholder={t("settings.search")}
            value={words}
            onInput={(event) => search({ q: event.currentTarget.value })}
          />
        </label>
        <label class="settings-only">
          <input
            type="checkbox"
            checked={changedOnly}
            onChange={(event) => search({ show: event.currentTarget.checked ? "changed" : "" })}
          />
          {t("settings.onlyChanged")}
        </label>
        <p class="visually-hidden" role="status">
          {filtered && t("settings.found", { n: count })}
        </p>
        <nav class="settings-nav" aria-label={t("settings.groups")}>
          {groups.map((group) => (
            <a
              key={group.name}
              href={href("settings", route.value.params)}
              onClick={(event) => {
                event.preventDefault();
                const heading = document.getElementById(`settings-${group.name}`);
                heading?.scrollIntoView({ block: "start" });
                heading?.focus({ preventScroll: true });
              }}
            >
              {t(`settings.group.${group.name}`)}
              {group.settings.some((help) => touched(help.setting)) && (
                <span class="settings-dot">
                  <span class="visually-hidden">{t("edit.changed")}</span>
                </span>
              )}
            </a>
          ))}
        </nav>
      </div>
      <div class="stack settings-groups">
        {!filtered && <Overrides />}
        {groups.map((group) => (
          <GroupCard key={group.name} group={group} extra={filtered ? undefined : EXTRAS[group.name]} />
        ))}
        {count === 0 && <p class="muted">{t("settings.none")}</p>}
        {!filtered && (
          <p class="muted">
            {t("settings.file", { file: file.value?.file ?? "" })} {changes.value === 0 && t("settings.hint")}{" "}
            <a href={href("trackers")}>{t("settings.toTrackers")}</a>
          </p>
        )}
      </div>
    </div>
  );
}

function GroupCard({ group, extra }: { group: Group; extra: (() => ComponentChildren) | undefined }) {
  return (
    <section class="card settings-group" aria-labelledby={`settings-${group.name}`}>
      <h2 id={`settings-${group.name}`} tabIndex={-1}>
        {t(`settings.group.${group.name}`)}
      </h2>
      {group.help !== "" && (
        <p class="muted">
          <Help text={group.help} />
        </p>
      )}
      {group.settings.map((help) => (
        <Setting
          key={help.setting}
          name={help.setting}
          extra={help.setting === "auth.password" ? <p class="setting-locked">{t("settings.password")}</p> : undefined}
        />
      ))}
      {extra?.()}
    </section>
  );
}
