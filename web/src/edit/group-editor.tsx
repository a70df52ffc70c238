/** All of a group besides its row: which torrents it takes, its place in the tree, its times, what bounds each torrent. */

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { getLabels } from "../api/client";
import { status } from "../api/live";
import { t } from "../i18n";
import { useCall } from "../ui/call";
import { Help, nameOf } from "./setting";
import { ruleField, setExtra, type RuleView } from "./draft";
import "./group-editor.css";
import { QuotaEditor } from "./quota-editor";
import { FIELDS, textOf, type Json, type Mapping } from "./selector";
import { Selected } from "./selected";
import { SelectorEditor } from "./selector-editor";
import { change, faults, helps, rules } from "./store";
import { TiersEditor } from "./tiers-editor";
import type { Window } from "./week";
import { WeekEditor } from "./week-editor";

const HERE = "trackers[].";

/** Fields of groups that the settings have. */
function known(): Set<string> {
  return new Set(
    [...helps.value.keys()].filter((name) => name.startsWith(HERE)).map((name) => name.slice(HERE.length)),
  );
}

export interface PartProps {
  value: Json;
  /** Why nothing can be changed; empty if it can. */
  locked: string;
  fault: string;
  onValue: (value: Json) => void;
}

export default function GroupEditor({ rule }: { rule: RuleView }) {
  const isSelector = !rules.value.some((one) => one.extras["parent"] === rule.key);
  const part = (field: string): PartProps => ({
    value: rule.extras[field] ?? null,
    locked: rule.locked[field] ?? "",
    fault: faults.value.get(ruleField(rule.key, field)) ?? "",
    onValue: (value) => change((draft, file) => setExtra(draft, file, rule.key, field, value)),
  });
  const labels = useCall(getLabels, []);
  const instances = (status.value?.instances ?? []).filter(({ name }) => name !== "");
  const fields = known();
  if (instances.length === 0 && rule.extras["instance"] === undefined) fields.delete("instance");
  const offered = {
    category: labels.data?.categories ?? [],
    tags: labels.data?.tags ?? [],
    instance: instances,
  };
  const has = (...some: string[]) => some.some((field) => fields.has(field));
  const isSet = (...some: string[]) => some.some((field) => rule.extras[field] !== undefined);
  return (
    <div class="group-editor">
      {!rule.isLast && isSelector && has(...FIELDS) && (
        <Part title={t("group.selector")} open={isSet(...FIELDS, "not")}>
          <SelectorEditor
            entry={rule.extras}
            known={fields}
            offered={offered}
            faultOf={(field) => part(field).fault}
            onField={(field, value) => part(field).onValue(value)}
          />
          <Selected rule={rule} />
        </Part>
      )}
      {has("parent") && (
        <Part title={t("group.tree")} open={isSet("parent", "rate", "weight", "when_busy")}>
          <div class="group-fields">
            {!rule.isLast && <Parent rule={rule} {...part("parent")} />}
            {has("rate") && <Field field="rate" {...part("rate")} />}
            {has("weight") && <Field field="weight" {...part("weight")} />}
            {has("when_busy") && <Switch field="when_busy" {...part("when_busy")} />}
          </div>
        </Part>
      )}
      {has("schedule") && (
        <Part title={t("group.schedule")} open={isSet("schedule")}>
          <Week label={t("group.scheduleOf", { rule: rule.id })} withPriority {...part("schedule")} />
        </Part>
      )}
      {has("quota") && (
        <Part title={t("group.quota")} open={isSet("quota")}>
          <QuotaEditor {...part("quota")} />
        </Part>
      )}
      {has("overspeed", "tiers") && (
        <Part title={t("group.bounds")} open={isSet("overspeed", "tiers")}>
          {has("overspeed") && (
            <div class="group-fields">
              <Field field="overspeed" {...part("overspeed")} />
            </div>
          )}
          {has("tiers") && <TiersEditor {...part("tiers")} />}
        </Part>
      )}
    </div>
  );
}

/** A schedule, whatever stands in the file. */
export function Week({ value, label, withPriority, ...rest }: PartProps & { label: string; withPriority: boolean }) {
  const windows = Array.isArray(value) ? (value as unknown as readonly Window[]) : [];
  return <WeekEditor {...rest} label={label} withPriority={withPriority} value={windows} />;
}

function Part({ title, open, children }: { title: string; open: boolean; children: ComponentChildren }) {
  return (
    <details class="group-part" open={open || undefined}>
      <summary>{title}</summary>
      <div class="group-body">{children}</div>
    </details>
  );
}

function Frame({
  field,
  fault,
  locked,
  children,
}: Pick<PartProps, "fault" | "locked"> & {
  field: string;
  children: (control: { id: string; "aria-describedby": string; "aria-invalid": boolean }) => ComponentChildren;
}) {
  const id = useId();
  const help = helps.value.get(HERE + field);
  if (!help) return null;
  return (
    <div class="field">
      <label for={id}>{nameOf(help)}</label>
      {children({ id, "aria-describedby": `${id}-help ${id}-error`, "aria-invalid": fault !== "" })}
      <p class="help" id={`${id}-help`}>
        <Help text={locked === "" ? help.help : locked} />
      </p>
      <p class="error" id={`${id}-error`} aria-live="polite" hidden={fault === ""}>
        {fault}
      </p>
    </div>
  );
}

/** A field of one text. A mapping in its place is shown, and not changed here. */
function Field({ field, value, locked, fault, onValue }: PartProps & { field: string }) {
  const help = helps.value.get(HERE + field);
  const isMapping = typeof value === "object" && value !== null;
  const numeric = help?.type === "integer" || help?.type === "number";
  return (
    <Frame field={field} fault={fault} locked={locked}>
      {(control) => (
        <input
          {...control}
          class="input"
          spellcheck={false}
          autocomplete="off"
          inputMode={numeric ? "decimal" : "text"}
          placeholder={help?.default_text.split(":")[0] ?? ""}
          readOnly={locked !== "" || isMapping}
          value={textOf(value)}
          onInput={(event) => {
            const text = event.currentTarget.value;
            onValue(text === "" ? null : text);
          }}
        />
      )}
    </Frame>
  );
}

function Switch({ field, value, locked, fault, onValue }: PartProps & { field: string }) {
  return (
    <Frame field={field} fault={fault} locked={locked}>
      {(control) => (
        <span class="switch">
          <input
            {...control}
            type="checkbox"
            role="switch"
            checked={value === true}
            disabled={locked !== ""}
            onChange={(event) => onValue(event.currentTarget.checked ? true : null)}
          />
          <span aria-hidden="true">{value === true ? t("edit.on") : t("edit.off")}</span>
        </span>
      )}
    </Frame>
  );
}

/** Whether a group can have others beneath it: it selects nothing itself. */
function canBeAbove(one: RuleView, rule: RuleView): boolean {
  if (one.key === rule.key || one.isLast || one.isRemoved) return false;
  const selects = one.values.pattern.trim() !== "" || FIELDS.some((field) => one.extras[field] !== undefined);
  return !selects && !isBeneath(one, rule.key);
}

function isBeneath(rule: RuleView, key: string): boolean {
  let above: Mapping[string] | undefined = rule.extras["parent"];
  for (let left = rules.value.length; left > 0 && above !== undefined; left--) {
    if (above === key) return true;
    above = rules.value.find((one) => one.key === above)?.extras["parent"];
  }
  return false;
}

function Parent({ rule, value, locked, fault, onValue }: PartProps & { rule: RuleView }) {
  const options = rules.value.filter((one) => canBeAbove(one, rule) || one.key === value);
  return (
    <Frame field="parent" fault={fault} locked={locked}>
      {(control) => (
        <select
          {...control}
          class="input"
          disabled={locked !== ""}
          value={textOf(value)}
          onChange={(event) => onValue(event.currentTarget.value === "" ? null : event.currentTarget.value)}
        >
          <option value="">{t("group.line")}</option>
          {options.map((one) => (
            <option key={one.key} value={one.key}>
              {one.values.name || one.id}
            </option>
          ))}
        </select>
      )}
    </Frame>
  );
}
