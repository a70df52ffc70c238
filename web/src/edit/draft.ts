/**
 * Changes of the configuration file that a person is making: kept as what is wished, and turned into the API's edits.
 *
 * A wish outlives a change of the file by somebody else: it is planned again on the new file (`rebased`).
 */

import type { EditBody, EditFault, FileState, SettingHelp, SettingState } from "../api/types.gen";
import type { Json, Mapping } from "./selector";

/** A value as it is typed or chosen; null: the default is to count. */
export type Value = Json;
export const RULE_FIELDS = ["id", "name", "pattern", "max_upload_speed", "priority"] as const;
export type RuleField = (typeof RULE_FIELDS)[number];
export type RuleValues = Readonly<Record<RuleField, string>>;

/** A rule that is not in the file yet. */
export interface NewRule {
  readonly key: string;
  readonly values: RuleValues;
  /** The tracker that it was made for; empty if a person began it. */
  readonly host: string;
}

/** A list whose items are secret: it cannot be written as a whole. */
export interface ListChange {
  /** Indices in the file. */
  readonly removed: readonly number[];
  readonly added: readonly string[];
}

export interface Draft {
  /** Settings by name, as `global.uplink`. */
  readonly settings: Readonly<Record<string, Value>>;
  /** Lists of secrets by name. */
  readonly lists: Readonly<Record<string, ListChange>>;
  /** Changed fields of rules, by their id in the file. */
  readonly rules: Readonly<Record<string, Readonly<Partial<RuleValues>>>>;
  /** Other fields of rules that were changed, by their keys; null: its default. */
  readonly extras: Readonly<Record<string, Mapping>>;
  readonly added: readonly NewRule[];
  /** Ids in the file. */
  readonly removed: readonly string[];
  /** Keys of all rules but the last, which stays; null: as in the file, new ones at the end. */
  readonly order: readonly string[] | null;
}

export const EMPTY: Draft = { settings: {}, lists: {}, rules: {}, extras: {}, added: [], removed: [], order: null };

/** A rule as it would be. */
export interface RuleView {
  /** Stays the same while one edits: its id in the file, or a name of its own if it is new. */
  readonly key: string;
  /** Its id as it would be. */
  readonly id: string;
  readonly isNew: boolean;
  readonly isRemoved: boolean;
  /** The catch-all, which stays at the end. */
  readonly isLast: boolean;
  readonly host: string;
  readonly values: RuleValues;
  /** Fields that differ from the file. */
  readonly changed: readonly RuleField[];
  /** Its other fields that are set; `parent` is the key of a rule. */
  readonly extras: Mapping;
  /** Those that differ from the file. */
  readonly changedExtras: readonly string[];
  /** Why a field cannot be edited. */
  readonly locked: Readonly<Partial<Record<string, string>>>;
}

/** Edits, and which field of the page each belongs to. */
export interface Plan {
  readonly edits: EditBody[];
  readonly fields: readonly string[];
}

// -- reading the file -------------------------------------------------------------------------------------------------

/** The name that the page gives to a field of a rule. */
export const ruleField = (key: string, field: string) => `rule/${key}/${field}`;

export function settingOf(file: FileState, name: string): SettingState | undefined {
  return file.settings.find((row) => row.setting === name);
}

/** A text of the file without its quotes. */
function unquoted(written: string): string {
  const quoted = /^(['"])(.*)\1$/s.exec(written);
  return quoted === null ? written : (quoted[2] ?? "");
}

/** What a field shows of the file; a default is an empty field. Speeds stay as they are written. */
export function shownValue(row: SettingState, type: SettingHelp["type"]): Value {
  if (type === "boolean") return row.value === true;
  if (type === "structure") return row.source === "file" ? extraOf(row) : null;
  if (type === "texts" || type === "choices" || type === "secrets") {
    return Array.isArray(row.value) ? row.value.map(String) : [];
  }
  if (type === "secret" || row.source === "default" || row.value === null) return "";
  if (typeof row.value === "string") return row.value;
  return row.written === null ? textOf(row.value) : unquoted(row.written);
}

function textOf(value: unknown): string {
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

function fieldState(file: FileState, rule: string, field: string): SettingState | undefined {
  return file.settings.find((row) => row.path[0] === "trackers" && row.path[1] === rule && row.path[2] === field);
}

function fileValues(file: FileState, rule: string): RuleValues {
  const of = (field: RuleField) => {
    const row = fieldState(file, rule, field);
    const shown = row && shownValue(row, field === "max_upload_speed" ? "speed" : "text");
    return typeof shown === "string" ? shown : "";
  };
  return {
    id: rule,
    name: of("name"),
    pattern: of("pattern"),
    max_upload_speed: of("max_upload_speed"),
    priority: of("priority"),
  };
}

/** The fields of a rule besides those that are texts, as they stand in the file. */
function fileExtras(file: FileState, rule: string): Mapping {
  const found: Record<string, Json> = {};
  for (const row of file.settings) {
    const field = String(row.path[2]);
    if (row.path[0] !== "trackers" || row.path[1] !== rule || row.source !== "file") continue;
    if (!RULE_FIELDS.some((one) => one === field)) found[field] = extraOf(row);
  }
  return found;
}

function extraOf(row: SettingState): Json {
  if (row.plain !== null && row.plain !== undefined) return row.plain as Json;
  if (Array.isArray(row.value) || typeof row.value === "boolean") return row.value as Json;
  return row.written === null ? textOf(row.value) : unquoted(row.written);
}

// -- rules ------------------------------------------------------------------------------------------------------------

/** Keys of all rules but the last, in the wished order. */
function orderOf(draft: Draft, file: FileState): string[] {
  const all = [...file.rules.slice(0, -1), ...draft.added.map((rule) => rule.key)];
  if (draft.order === null) return all;
  const known = new Set(all);
  const kept = draft.order.filter((key) => known.has(key));
  return [...kept, ...all.filter((key) => !kept.includes(key))];
}

/** All rules as they would be; removed ones stand where they were. */
export function rulesOf(draft: Draft, file: FileState): RuleView[] {
  const last = file.rules.at(-1);
  const keys = last === undefined ? orderOf(draft, file) : [...orderOf(draft, file), last];
  return keys.map((key) => {
    const fresh = draft.added.find((rule) => rule.key === key);
    if (fresh) {
      const id = idOf(fresh);
      const flags = { isNew: true, isRemoved: false, isLast: false };
      const extras = set(draft.extras[key] ?? {});
      const values = { ...fresh.values, id };
      return { key, id, ...flags, host: fresh.host, values, changed: [], extras, changedExtras: [], locked: {} };
    }
    const changes = draft.rules[key] ?? {};
    const locked: Partial<Record<string, string>> = {};
    for (const row of file.settings) {
      if (row.path[0] === "trackers" && row.path[1] === key && !row.editable) locked[String(row.path[2])] = row.why_not;
    }
    const extras = draft.extras[key] ?? {};
    return {
      key,
      id: changes.id ?? key,
      isNew: false,
      isRemoved: draft.removed.includes(key),
      isLast: key === last,
      host: "",
      values: { ...fileValues(file, key), ...changes },
      changed: RULE_FIELDS.filter((field) => changes[field] !== undefined),
      extras: set({ ...fileExtras(file, key), ...extras }),
      changedExtras: Object.keys(extras),
      locked,
    };
  });
}

/** An id for a new rule: what was typed, or made of its name. */
function idOf(rule: NewRule): string {
  return rule.values.id.trim() || slug(rule.values.name) || slug(rule.host) || rule.key.replace("+", "rule-");
}

function slug(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
}

export function setRule(draft: Draft, file: FileState, key: string, field: RuleField, text: string): Draft {
  if (draft.added.some((rule) => rule.key === key)) {
    const added = draft.added.map((rule) =>
      rule.key === key ? { ...rule, values: { ...rule.values, [field]: text } } : rule,
    );
    return { ...draft, added };
  }
  const others = without(draft.rules[key] ?? {}, field);
  const changes = fileValues(file, key)[field] === text ? others : { ...others, [field]: text };
  const rest = without(draft.rules, key);
  return { ...draft, rules: Object.keys(changes).length === 0 ? rest : { ...rest, [key]: changes } };
}

/** Only what is not null. */
function set(extras: Mapping): Mapping {
  return Object.fromEntries(Object.entries(extras).filter(([, value]) => value !== null));
}

/** Change another field of a rule; null is its default. */
export function setExtra(draft: Draft, file: FileState, key: string, field: string, value: Json): Draft {
  const others = without(draft.extras[key] ?? {}, field);
  const made = same(fileExtras(file, key)[field] ?? null, value) ? others : { ...others, [field]: value };
  const rest = without(draft.extras, key);
  return { ...draft, extras: Object.keys(made).length === 0 ? rest : { ...rest, [key]: made } };
}

/** Add a rule before the last one. */
export function addRule(draft: Draft, values: Partial<RuleValues> = {}, host = ""): Draft {
  const numbers = draft.added.map((rule) => Number(rule.key.slice(1)));
  const key = `+${Math.max(0, ...numbers) + 1}`;
  const empty = { id: "", name: "", pattern: "", max_upload_speed: "", priority: "" };
  const order = draft.order === null ? null : [...draft.order, key];
  return { ...draft, added: [...draft.added, { key, values: { ...empty, ...values }, host }], order };
}

export function removeRule(draft: Draft, key: string): Draft {
  if (draft.added.some((rule) => rule.key === key)) {
    const order = draft.order?.filter((one) => one !== key) ?? null;
    const extras = without(draft.extras, key);
    return { ...draft, added: draft.added.filter((rule) => rule.key !== key), extras, order };
  }
  return { ...draft, removed: [...draft.removed.filter((one) => one !== key), key] };
}

export function restoreRule(draft: Draft, key: string): Draft {
  return { ...draft, removed: draft.removed.filter((one) => one !== key) };
}

/** Put a rule at another place, counted from 0 among all. The last rule stays the last. */
export function moveRule(draft: Draft, file: FileState, key: string, to: number): Draft {
  const keys = orderOf(draft, file);
  if (!keys.includes(key)) return draft;
  const others = keys.filter((one) => one !== key);
  others.splice(Math.max(0, Math.min(to, others.length)), 0, key);
  const asInFile = [...file.rules.slice(0, -1), ...draft.added.map((rule) => rule.key)];
  return { ...draft, order: others.join("\n") === asInFile.join("\n") ? null : others };
}

// -- settings ---------------------------------------------------------------------------------------------------------

const same = (one: Json, other: Json) => JSON.stringify(one) === JSON.stringify(other);

/** The same without one of its members. */
function without<T extends object>(all: T, name: string): T {
  return Object.fromEntries(Object.entries(all).filter(([key]) => key !== name)) as T;
}

/** Let go of what was changed about a setting. */
export function revertSetting(draft: Draft, name: string): Draft {
  return { ...draft, settings: without(draft.settings, name), lists: without(draft.lists, name) };
}

/** Change a setting. An emptied field is its default. */
export function setSetting(draft: Draft, file: FileState, help: SettingHelp, value: Value): Draft {
  const row = settingOf(file, help.setting);
  const others = without(draft.settings, help.setting);
  const written = row !== undefined && row.source !== "default";
  const wished = value === "" ? null : value;
  const present: Value = row === undefined ? null : shownValue(row, help.type);
  const secret = help.type === "secret";
  // An emptied field of a secret is one that nothing was typed into.
  const nothing =
    wished === null
      ? !written || (secret && value === "")
      : !secret && same(wished, present) && (written || help.type === "boolean" || help.type === "choices");
  return { ...draft, settings: nothing ? others : { ...others, [help.setting]: wished } };
}

export function setList(draft: Draft, name: string, change: ListChange): Draft {
  const others = without(draft.lists, name);
  const nothing = change.removed.length === 0 && change.added.length === 0;
  return { ...draft, lists: nothing ? others : { ...others, [name]: change } };
}

/** What the field of a setting shows now. */
export function valueNow(draft: Draft, file: FileState, help: SettingHelp): Value {
  const wished = draft.settings[help.setting];
  if (wished !== undefined && wished !== null) return wished;
  const row = settingOf(file, help.setting);
  if (row === undefined || wished === null) return defaultShown(help);
  return shownValue(row, help.type);
}

function defaultShown(help: SettingHelp): Value {
  if (help.type === "boolean") return help.default === true;
  if (help.type === "structure") return null;
  return Array.isArray(help.default) ? help.default.map(String) : "";
}

// -- edits ------------------------------------------------------------------------------------------------------------

const edit = (op: EditBody["op"], path: (string | number)[], rest: Partial<EditBody> = {}): EditBody => ({
  op,
  path,
  value: null,
  before: null,
  ...rest,
});

/** The edits that bring the file to what is wished. */
export function planOf(draft: Draft, file: FileState): Plan {
  const edits: EditBody[] = [];
  const fields: string[] = [];
  const add = (field: string, made: EditBody) => {
    edits.push(made);
    fields.push(field);
  };
  for (const [name, value] of Object.entries(draft.settings)) {
    const path = name.split(".");
    add(name, value === null ? edit("remove", path) : edit("set", path, { value }));
  }
  for (const [name, change] of Object.entries(draft.lists)) {
    const path = name.split(".");
    for (const index of [...change.removed].sort((a, b) => b - a)) add(name, edit("remove", [...path, index]));
    for (const value of change.added) if (value.trim() !== "") add(name, edit("insert", path, { value }));
  }
  const rules = rulesOf(draft, file);
  for (const rule of rules) if (rule.isRemoved) add(`rule/${rule.key}`, edit("remove", ["trackers", rule.key]));
  const kept = rules.filter((rule) => !rule.isRemoved);
  for (const rule of kept) {
    for (const field of rule.changed) {
      if (field === "id") continue;
      const path = ["trackers", rule.key, field];
      const value = rule.values[field];
      const isDefault = value.trim() === "" && field !== "max_upload_speed";
      add(ruleField(rule.key, field), isDefault ? edit("remove", path) : edit("set", path, { value }));
    }
    if (rule.isNew) continue;
    const renamed = rules.some((one) => one.key === rule.extras["parent"] && one.changed.includes("id"));
    const more = renamed && !rule.changedExtras.includes("parent") ? ["parent"] : [];
    for (const field of [...rule.changedExtras, ...more]) {
      const path = ["trackers", rule.key, field];
      const value = extrasIn(rule, rules)[field];
      add(ruleField(rule.key, field), value === undefined ? edit("remove", path) : edit("set", path, { value }));
    }
  }
  const stay = new Set(
    longestRising(
      kept.filter((rule) => !rule.isNew && !rule.isLast).map((rule) => rule.key),
      file,
    ),
  );
  let next: string | null = null; // from the end, so that what a rule is put before stands there already
  for (const rule of [...kept].reverse()) {
    if (rule.isNew)
      add(`rule/${rule.key}`, edit("insert", ["trackers"], { value: written(rule, rules), before: next }));
    else if (!rule.isLast && !stay.has(rule.key)) {
      add(`rule/${rule.key}`, edit("move", ["trackers", rule.key], { before: next }));
    }
    next = rule.isNew ? rule.id : rule.key;
  }
  for (const rule of kept) {
    if (!rule.changed.includes("id")) continue;
    add(ruleField(rule.key, "id"), edit("set", ["trackers", rule.key, "id"], { value: rule.values.id }));
  }
  return { edits, fields };
}

/** Other fields as they are written: a parent by its id. */
function extrasIn(rule: RuleView, rules: readonly RuleView[]): Mapping {
  const parent = rules.find((one) => one.key === rule.extras["parent"]);
  return parent === undefined ? rule.extras : { ...rule.extras, parent: parent.id };
}

function written(rule: RuleView, rules: readonly RuleView[]): Mapping {
  const { name, pattern, max_upload_speed, priority } = rule.values;
  return {
    id: rule.id,
    ...(name.trim() === "" ? {} : { name }),
    ...(pattern.trim() === "" ? {} : { pattern }),
    max_upload_speed,
    ...(priority.trim() === "" ? {} : { priority }),
    ...extrasIn(rule, rules),
  };
}

/** Those rules that can stay where they are: the most that stand in the file in this order. */
function longestRising(keys: readonly string[], file: FileState): string[] {
  const best: string[][] = [];
  keys.forEach((key, index) => {
    const place = file.rules.indexOf(key);
    let longest: string[] = [];
    for (const before of best.slice(0, index)) {
      const end = file.rules.indexOf(before.at(-1) ?? "");
      if (end < place && before.length > longest.length) longest = before;
    }
    best.push([...longest, key]);
  });
  return best.reduce((most, one) => (one.length > most.length ? one : most), []);
}

/** How many things a person changed. */
export function changeCount(draft: Draft, file: FileState): number {
  const { fields } = planOf(draft, file);
  return new Set(fields.map((field) => /^rule\/[^/]*/.exec(field)?.[0] ?? field)).size;
}

// -- what the server says ---------------------------------------------------------------------------------------------

/** A fault in words: what is wrong and what to do. */
export function faultText(fault: Pick<EditFault, "reason" | "hint">): string {
  return fault.hint === "" ? fault.reason : `${fault.reason}: ${fault.hint}`;
}

/** Faults by the field of the page that they belong to; those of no field under the empty name. */
export function faultsByField(
  faults: readonly EditFault[],
  plan: Plan,
  rules: readonly RuleView[],
): Map<string, string> {
  const found = new Map<string, string>();
  for (const fault of faults) {
    const field = fieldOf(fault, plan, rules);
    const text = field === "" && fault.setting !== "" ? `${fault.setting}: ${faultText(fault)}` : faultText(fault);
    found.set(field, found.has(field) ? `${found.get(field)}; ${text}` : text);
  }
  return found;
}

function fieldOf(fault: EditFault, plan: Plan, rules: readonly RuleView[]): string {
  const edited = fault.edit === null ? undefined : plan.fields[fault.edit];
  const last = fault.path[2] === undefined ? undefined : String(fault.path[2]);
  if (edited !== undefined) {
    const rule = /^rule\/([^/]*)$/.exec(edited)?.[1];
    return rule === undefined || last === undefined ? edited : ruleField(rule, last);
  }
  if (fault.path[0] === "trackers") {
    const rule = rules.find((one) => !one.isRemoved && one.id === fault.path[1]);
    return rule && last ? ruleField(rule.key, last) : "";
  }
  return fault.path.length < 2 ? "" : fault.path.slice(0, 2).join(".");
}

// -- a file that somebody else changed --------------------------------------------------------------------------------

export interface Rebased {
  readonly draft: Draft;
  /** Rules with changes that are no longer there. */
  readonly lost: readonly string[];
  /** Settings that were changed on both sides; what was typed here counts. */
  readonly both: readonly string[];
}

/** The draft on another file: changes to rules that went away are let go, and so is what the file has already. */
export function rebased(draft: Draft, before: FileState, after: FileState): Rebased {
  const there = new Set(after.rules);
  const lost = Object.keys(draft.rules).filter((id) => !there.has(id));
  const both: string[] = [];
  let made: Draft = {
    ...draft,
    settings: {},
    rules: {},
    extras: {},
    removed: draft.removed.filter((id) => there.has(id) && id !== after.rules.at(-1)),
    order: draft.order,
  };
  for (const [name, value] of Object.entries(draft.settings)) {
    const [old, now] = [settingOf(before, name), settingOf(after, name)];
    const differs = !same((old?.value ?? null) as Value, (now?.value ?? null) as Value);
    const met = now !== undefined && value !== null && differs && same(value, shownLike(now, value));
    if (met) continue;
    if (differs) both.push(name);
    made = { ...made, settings: { ...made.settings, [name]: value } };
  }
  for (const [name, change] of Object.entries(draft.lists)) {
    const [old, now] = [settingOf(before, name), settingOf(after, name)];
    if (JSON.stringify(old?.value) === JSON.stringify(now?.value)) continue;
    made = setList(made, name, { ...change, removed: [] }); // which of them is meant cannot be told any more
    both.push(name);
  }
  for (const [id, changes] of Object.entries(draft.rules)) {
    if (!there.has(id)) continue;
    const [old, now] = [fileValues(before, id), fileValues(after, id)];
    for (const field of RULE_FIELDS) {
      const wished = changes[field];
      if (wished === undefined) continue;
      made = setRule(made, after, id, field, wished);
      if (before.rules.includes(id) && old[field] !== now[field] && wished !== now[field]) both.push(`${id}: ${field}`);
    }
  }
  for (const [id, changes] of Object.entries(draft.extras)) {
    if (!there.has(id) && !draft.added.some((rule) => rule.key === id)) {
      if (!lost.includes(id)) lost.push(id);
      continue;
    }
    const [old, now] = [fileExtras(before, id), fileExtras(after, id)];
    for (const [field, wished] of Object.entries(changes)) {
      made = setExtra(made, after, id, field, wished);
      const [was, is] = [old[field] ?? null, now[field] ?? null];
      if (before.rules.includes(id) && !same(was, is) && !same(wished, is)) both.push(`${id}: ${field}`);
    }
  }
  const added = made.added.filter((rule) => rule.host === "" || !there.has(idOf(rule)));
  return { draft: { ...made, added }, lost, both };
}

function shownLike(row: SettingState, value: Value): Value {
  if (typeof value === "boolean") return shownValue(row, "boolean");
  return shownValue(row, Array.isArray(value) ? "texts" : "text");
}
