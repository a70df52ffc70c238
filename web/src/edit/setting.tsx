/** One setting: its meaning, a control for its kind, where its value comes from, and what is wrong with what was typed. */

import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import type { SettingHelp, SettingState } from "../api/types.gen";
import { t } from "../i18n";
import { Icon } from "../ui/icon";
import { useLazy } from "../ui/lazy";
import { rate } from "../units";
import { revertSetting, setList, setSetting, settingOf, valueNow, type Value } from "./draft";
import { capital, plain } from "../words";
import "./edit.css";
import { textOf } from "./selector";
import { change, draft, faults, file, helps } from "./store";

/** `global.max_api_calls_per_cycle` as a heading: the last key in words. */
export function nameOf(help: SettingHelp): string {
  const words = (help.path.at(-1) ?? "")
    .replaceAll("_", " ")
    .replace(/\b(api|url|tls|id|ttl|urls|kb|mb)\b/g, (word) => KNOWN[word] ?? word);
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const KNOWN: Readonly<Record<string, string>> = {
  api: "API",
  url: "URL",
  urls: "URLs",
  tls: "TLS",
  id: "ID",
  ttl: "TTL",
  kb: "(KiB)",
  mb: "(MiB)",
};

/** Backticks as code. */
export function Help({ text }: { text: string }) {
  return <>{text.split("`").map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part))}</>;
}

interface SettingProps {
  name: string;
  extra?: ComponentChildren;
  /** In place of the setting's own name and help, for a page that leads a newcomer; says less of the file. */
  plainly?: { label: string; help: string };
}

export function Setting({ name, extra, plainly }: SettingProps) {
  const help = helps.value.get(name);
  const known = file.value;
  const id = useId();
  if (!help || !known) return null;
  const row = settingOf(known, name);
  const fault = faults.value.get(name) ?? "";
  const wished = draft.value.settings[name] !== undefined || draft.value.lists[name] !== undefined;
  const whyNot = row && !row.editable ? plain(row.why_not) : !help.editable ? plain(help.why_not) : "";
  const several = help.type === "choices" || help.type === "secrets" || help.type === "structure";
  const title = plainly?.label ?? nameOf(help);
  return (
    <div
      class={`setting ${wished && !plainly ? "changed" : ""}`}
      role={several ? "group" : undefined}
      aria-labelledby={several ? `${id}-name` : undefined}
    >
      <div class="setting-about">
        <div class="row">
          {several ? (
            <span class="legend" id={`${id}-name`}>
              {title}
            </span>
          ) : (
            <label class="legend" id={`${id}-name`} for={id}>
              {title}
            </label>
          )}
          {wished && !plainly && <span class="pill info">{t("edit.changed")}</span>}
        </div>
        {!plainly && <p class="setting-key">{name}</p>}
        <p class="help" id={`${id}-help`}>
          <Help text={plainly?.help ?? help.help} />
          {help.restart && ` ${t("edit.restart")}`}
        </p>
      </div>
      <div class="setting-value">
        <Control
          help={help}
          row={row}
          locked={whyNot !== ""}
          hint={plainly ? "" : (help.default_text.split(":")[0] ?? "")}
          control={{ id, "aria-describedby": `${id}-help ${id}-error ${id}-from`, "aria-invalid": fault !== "" }}
        />
        <p class="error" id={`${id}-error`} aria-live="polite" hidden={fault === ""}>
          {capital(fault)}
        </p>
        {whyNot !== "" && <p class="setting-locked">{t("edit.locked", { why: whyNot })}</p>}
        <p class="setting-from" id={`${id}-from`} hidden={plainly !== undefined}>
          {row && <span>{originOf(row)}</span>}
          {help.default_text !== "" && row?.source !== "default" && (
            <span>
              <Help text={t("edit.default", { value: help.default_text })} />
            </span>
          )}
          {wished ? (
            <ActionLink name={title} text={t("edit.revert")} act={() => change((now) => revertSetting(now, name))} />
          ) : (
            row?.source === "file" &&
            whyNot === "" &&
            !help.required && (
              <ActionLink
                name={title}
                text={t("edit.toDefault")}
                act={() => change((now, on) => setSetting(now, on, help, null))}
              />
            )
          )}
        </p>
        {extra}
      </div>
    </div>
  );
}

function ActionLink({ name, text, act }: { name: string; text: string; act: () => void }) {
  return (
    <button type="button" class="button quiet small" aria-label={`${text}: ${name}`} onClick={act}>
      {text}
    </button>
  );
}

function originOf(row: SettingState): string {
  if (row.source === "file") return t("edit.fromFile", { line: row.line ?? 0 });
  if (row.source === "environment") return t("edit.fromEnvironment", { name: row.variables.join(", ") });
  return t("edit.fromDefault");
}

interface ControlProps {
  help: SettingHelp;
  row: SettingState | undefined;
  locked: boolean;
  /** Shown in an empty field. */
  hint: string;
  control: { id: string; "aria-describedby": string; "aria-invalid": boolean };
}

function Control(props: ControlProps) {
  const { help, row, locked, hint, control } = props;
  const known = file.value;
  if (!known) return null;
  const value = valueNow(draft.value, known, help);
  const set = (wished: Value) => change((now, on) => setSetting(now, on, help, wished));
  const isSpeed = help.type === "speed" || help.also === "speed";
  switch (help.type) {
    case "boolean":
      return (
        <span class="switch">
          <input
            {...control}
            type="checkbox"
            role="switch"
            checked={value === true}
            disabled={locked}
            onChange={(event) => set(event.currentTarget.checked)}
          />
          <span aria-hidden="true">{value === true ? t("edit.on") : t("edit.off")}</span>
        </span>
      );
    case "choice":
      if (help.also !== null) break;
      return (
        <select
          {...control}
          class="input"
          value={textOf(value)}
          disabled={locked}
          onChange={(event) => set(event.currentTarget.value)}
        >
          <option value="">{t("edit.defaultChoice", { value: help.default_text })}</option>
          {help.choices.map((choice) => (
            <option key={choice} value={choice}>
              {choice}
            </option>
          ))}
        </select>
      );
    case "choices":
      return <Choices {...props} value={Array.isArray(value) ? value : []} set={set} />;
    case "texts":
      return <Lines {...props} value={Array.isArray(value) ? value : []} set={set} />;
    case "secrets":
      return <Secrets {...props} count={Array.isArray(row?.value) ? row.value.length : 0} />;
    case "secret":
      return <Secret {...props} set={set} />;
    case "structure":
      return <Structure {...props} value={value} set={set} />;
    case "integer":
      if (help.setting === "global.rollout_percentage") return <Slider {...props} value={value} set={set} />;
      break;
    case "number":
    case "path":
    case "speed":
    case "text":
  }
  const shown = locked && isSpeed ? speedOf(row) : textOf(value);
  const numeric = help.type === "integer" || help.type === "number";
  return (
    <span class="setting-unit">
      <input
        {...control}
        class="input"
        spellcheck={false}
        autocomplete="off"
        inputMode={numeric ? "decimal" : "text"}
        value={shown}
        readOnly={locked}
        placeholder={hint}
        list={help.choices.length > 0 ? `${control.id}-choices` : undefined}
        onInput={(event) => set(event.currentTarget.value)}
      />
      {help.choices.length > 0 && (
        <datalist id={`${control.id}-choices`}>
          {help.choices.map((choice) => (
            <option key={choice} value={choice} />
          ))}
        </datalist>
      )}
      {numeric && help.unit !== "" && <span class="muted">{help.unit}</span>}
    </span>
  );
}

/** A speed that cannot be edited here, as figures are shown. */
function speedOf(row: SettingState | undefined): string {
  if (typeof row?.value !== "number") return typeof row?.value === "string" ? row.value : "";
  return rate(row.value < 0 ? null : row.value);
}

function Slider({ help, locked, control, value, set }: ControlProps & { value: Value; set: (value: Value) => void }) {
  const shown = typeof value === "string" && value !== "" ? value : String(help.default);
  return (
    <span class="setting-unit">
      <input
        {...control}
        type="range"
        min={help.min ?? 1}
        max={help.max ?? 100}
        value={shown}
        disabled={locked}
        aria-valuetext={`${shown} %`}
        onInput={(event) => set(event.currentTarget.value)}
      />
      <output class="num">{`${shown} ${help.unit}`}</output>
    </span>
  );
}

/** A list of mappings, or a mapping: what edits it is loaded when it is needed. */
function Structure({ help, locked, value, set }: ControlProps & { value: Value; set: (value: Value) => void }) {
  const Editor = useLazy(() => import("./structure-editor"));
  const fault = faults.value.get(help.setting) ?? "";
  if (!Editor) return <p class="muted">{t("app.loading")}</p>;
  return <Editor help={help} value={value} locked={locked} fault={fault} onValue={set} />;
}

function Choices(props: ControlProps & { value: readonly string[]; set: (value: Value) => void }) {
  const { help, locked, control, value, set } = props;
  return (
    <div class="setting-choices">
      {help.choices.map((choice) => (
        <label key={choice}>
          <input
            type="checkbox"
            aria-describedby={control["aria-describedby"]}
            checked={value.includes(choice)}
            disabled={locked}
            onChange={(event) => {
              const { checked } = event.currentTarget;
              set(help.choices.filter((one) => (one === choice ? checked : value.includes(one))));
            }}
          />
          {choice}
        </label>
      ))}
    </div>
  );
}

function Lines(props: ControlProps & { value: readonly string[]; set: (value: Value) => void }) {
  const { help, locked, control, value, set } = props;
  const [typed, setTyped] = useState<string | null>(null);
  const own = typed?.split("\n").filter((line) => line.trim() !== "");
  const text = own && own.join("\n") === value.join("\n") ? (typed ?? "") : value.join("\n"); // keeps empty lines while one types
  return (
    <textarea
      {...control}
      class="input"
      rows={Math.max(2, text.split("\n").length)}
      spellcheck={false}
      value={text}
      readOnly={locked}
      placeholder={help.default_text}
      onInput={(event) => {
        const { value: all } = event.currentTarget;
        setTyped(all);
        const lines = all.split("\n").filter((line) => line.trim() !== "");
        set(lines.length === 0 ? null : lines);
      }}
    />
  );
}

/** No password field: a browser would fill in, or offer to keep, what is no login of this page. */
function Secret({ help, row, locked, control, set }: ControlProps & { set: (value: Value) => void }) {
  const wished = draft.value.settings[help.setting];
  const isSet = row !== undefined && row.value !== null && row.value !== "";
  return (
    <input
      {...control}
      class="input masked"
      type="text"
      spellcheck={false}
      autocomplete="off"
      value={typeof wished === "string" ? wished : ""}
      readOnly={locked}
      placeholder={wished === null ? t("edit.secretGoes") : isSet ? t("edit.secretSet") : t("edit.secretUnset")}
      onInput={(event) => set(event.currentTarget.value)}
    />
  );
}

/** Secret items: those there can be removed, new ones added. */
function Secrets({ help, locked, control, count }: ControlProps & { count: number }) {
  const name = help.setting;
  const now = draft.value.lists[name] ?? { removed: [], added: [] };
  const set = (made: typeof now) => change((all) => setList(all, name, made));
  const title = nameOf(help);
  return (
    <div class="stack setting-list">
      {Array.from({ length: count }, (_, index) => {
        const gone = now.removed.includes(index);
        const removed = gone ? now.removed.filter((one) => one !== index) : [...now.removed, index];
        const text = gone ? t("edit.keep") : t("edit.remove");
        return (
          <div class="row" key={index}>
            <span class={gone ? "setting-gone" : ""}>{t("edit.secretItem", { n: index + 1 })}</span>
            {!locked && (
              <button
                type="button"
                class="button small push"
                aria-label={`${text}: ${title} ${index + 1}`}
                onClick={() => set({ ...now, removed })}
              >
                {text}
              </button>
            )}
          </div>
        );
      })}
      {now.added.map((value, index) => (
        <div class="setting-unit" key={index}>
          <input
            class="input"
            spellcheck={false}
            autocomplete="off"
            aria-label={t("edit.newItem", { name: title, n: count + index + 1 })}
            aria-describedby={control["aria-describedby"]}
            aria-invalid={control["aria-invalid"]}
            value={value}
            onInput={(event) => {
              const { value: typed } = event.currentTarget;
              set({ ...now, added: now.added.map((one, place) => (place === index ? typed : one)) });
            }}
          />
          <button
            type="button"
            class="button quiet small"
            aria-label={`${t("edit.remove")}: ${title} ${count + index + 1}`}
            onClick={() => set({ ...now, added: now.added.filter((_, place) => place !== index) })}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
      {!locked && (
        <div>
          <button type="button" class="button small" onClick={() => set({ ...now, added: [...now.added, ""] })}>
            <Icon name="plus" />
            {t("edit.addItem")}
          </button>
        </div>
      )}
    </div>
  );
}
