/** The list of rules: dragged, moved by keys or buttons, edited in place. */

import { useEffect, useId, useRef, useState } from "preact/hooks";
import { status } from "../../api/live";
import type { HostRow } from "../../api/types.gen";
import {
  moveRule,
  removeRule,
  restoreRule,
  RULE_FIELDS,
  ruleField,
  setRule,
  type RuleField,
  type RuleView,
} from "../../edit/draft";
import { conditionsOf, textOf } from "../../edit/selector";
import { change, faults, placeOf, rules } from "../../edit/store";
import { keyed, t } from "../../i18n";
import { href } from "../../routes";
import { Icon } from "../../ui/icon";
import { rate } from "../../units";
import { targetOf } from "./place";
import { CapInput } from "./cap-input";
import GroupEditor from "../../edit/group-editor";

/** Which control of a rule takes the focus again after a move. */
type Grip = "handle" | "up" | "down";

export function Rules({ hosts }: { hosts: readonly HostRow[] }) {
  const list = useRef<HTMLOListElement>(null);
  const help = useId();
  const [said, setSaid] = useState("");
  const [refocus, setRefocus] = useState<{ key: string; grip: Grip } | null>(null);
  const [drag, setDrag] = useState<{ key: string; from: number; to: number } | null>(null);
  const shown = rules.value;
  const movable = shown.filter((rule) => !rule.isLast);

  // A moved element loses the focus.
  useEffect(() => {
    if (refocus === null) return;
    const row = list.current?.querySelector(`[data-key="${CSS.escape(refocus.key)}"]`);
    const grip = row?.querySelector<HTMLButtonElement>(`[data-grip="${refocus.grip}"]`);
    (grip?.disabled ? row?.querySelector<HTMLButtonElement>('[data-grip="handle"]') : grip)?.focus();
    setRefocus(null);
  }, [refocus]);

  // A rule that was just made wants a name.
  const known = useRef<ReadonlySet<string> | null>(null);
  useEffect(() => {
    const fresh =
      known.current === null ? undefined : shown.find((rule) => rule.isNew && !known.current?.has(rule.key));
    known.current = new Set(shown.map((rule) => rule.key));
    if (!fresh || fresh.host !== "") return;
    const row = list.current?.querySelector(`[data-key="${CSS.escape(fresh.key)}"]`);
    row?.querySelector<HTMLInputElement>("input")?.focus();
  }, [shown]);

  const move = (rule: RuleView, to: number, grip: Grip) => {
    if (to < 0 || to >= movable.length) return;
    change((draft, file) => moveRule(draft, file, rule.key, to));
    const place = placeOf(rules.peek().find((one) => one.key === rule.key));
    setSaid(t("trackers.moved", { rule: nameOf(rule), place, n: shown.filter((one) => !one.isRemoved).length }));
    setRefocus({ key: rule.key, grip });
  };
  const begin = (rule: RuleView, event: PointerEvent) => {
    if (event.button !== 0 || !(event.currentTarget instanceof HTMLElement)) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    const from = movable.indexOf(rule);
    setDrag({ key: rule.key, from, to: from });
  };
  const follow = (event: PointerEvent) => {
    if (drag === null) return;
    const rows = [...(list.current?.children ?? [])].slice(0, movable.length);
    const middles = rows.map((row) => {
      const box = row.getBoundingClientRect();
      return (box.top + box.bottom) / 2;
    });
    setDrag({ ...drag, to: targetOf(middles, drag.from, event.clientY) });
  };
  const end = (rule: RuleView) => {
    if (drag !== null && drag.to !== drag.from) move(rule, drag.to, "handle");
    setDrag(null);
  };

  return (
    <>
      <p class="visually-hidden" role="status" aria-live="polite">
        {said}
      </p>
      <p class="visually-hidden" id={help}>
        {t("trackers.dragHelp")}
      </p>
      <div class="trackers-head" aria-hidden="true">
        <span />
        <span>{t("trackers.name")}</span>
        <span>{t("trackers.pattern")}</span>
        <span>{t("trackers.cap")}</span>
        <span>{t("trackers.priority")}</span>
        <span>{t("trackers.now")}</span>
      </div>
      <ol class="trackers-rules" ref={list}>
        {shown.map((rule, index) => (
          <Rule
            key={rule.key}
            rule={rule}
            index={index}
            place={placeOf(rule)}
            last={movable.length - 1}
            hosts={hosts.filter((host) => host.rules.includes(rule.key))}
            helpId={help}
            drop={drag && drag.to !== drag.from && drag.to === index ? (drag.to < drag.from ? "above" : "below") : ""}
            dragged={drag?.key === rule.key}
            onMove={move}
            pointer={{
              onPointerDown: (event: PointerEvent) => begin(rule, event),
              onPointerMove: follow,
              onPointerUp: () => end(rule),
              onPointerCancel: () => setDrag(null),
            }}
          />
        ))}
      </ol>
    </>
  );
}

const PATTERN_EXAMPLE = "//tracker\\.example\\.org\\b";
const nameOf = (rule: RuleView) => rule.values.name.trim() || rule.id;

interface RuleProps {
  rule: RuleView;
  index: number;
  /** Number of the rule among those that stay. */
  place: number;
  /** Index of the last place that a rule can be moved to. */
  last: number;
  hosts: readonly HostRow[];
  helpId: string;
  drop: "" | "above" | "below";
  dragged: boolean;
  onMove: (rule: RuleView, to: number, grip: Grip) => void;
  pointer: object;
}

function Rule({ rule, index, place, last, hosts, helpId, drop, dragged, onMove, pointer }: RuleProps) {
  const [open, setOpen] = useState(false);
  const more = useId();
  const name = nameOf(rule);
  const live = status.value?.trackers.find((row) => row.id === rule.key);
  const fault = faults.value.get(`rule/${rule.key}`);
  const others = [...faults.value.keys()]
    .filter((name) => name.startsWith(ruleField(rule.key, "")))
    .map((name) => name.slice(ruleField(rule.key, "").length))
    .filter((field) => !RULE_FIELDS.some((one) => one === field));
  const idFault = faults.value.get(ruleField(rule.key, "id"));
  const shown = open || idFault !== undefined;
  const set = (field: RuleField) => (text: string) =>
    change((draft, file) => setRule(draft, file, rule.key, field, text));
  const changed = rule.isNew || rule.changed.length + rule.changedExtras.length > 0;
  if (rule.isRemoved) {
    return (
      <li class="trackers-rule removed" data-key={rule.key}>
        <p>
          <s>{name}</s> <span class="pill bad">{t("trackers.goes")}</span>
        </p>
        <button
          type="button"
          class="button small push"
          aria-label={`${t("trackers.restore")}: ${name}`}
          onClick={() => change((draft) => restoreRule(draft, rule.key))}
        >
          {t("trackers.restore")}
        </button>
        {fault !== undefined && <p class="trackers-fault">{fault}</p>}
      </li>
    );
  }
  return (
    <li
      class={`trackers-rule ${changed ? "changed" : ""} ${dragged ? "dragged" : ""} ${drop && `drop-${drop}`}`}
      data-key={rule.key}
      aria-label={t("trackers.rule", { place, rule: name })}
    >
      <div class="trackers-grip">
        {!rule.isLast && (
          <button
            {...pointer}
            type="button"
            class="trackers-handle"
            data-grip="handle"
            aria-label={t("trackers.drag", { rule: name })}
            aria-describedby={helpId}
            onKeyDown={(event) => {
              const step = event.key === "ArrowUp" ? -1 : event.key === "ArrowDown" ? 1 : 0;
              const to = event.key === "Home" ? 0 : event.key === "End" ? last : index + step;
              if (to === index) return;
              event.preventDefault();
              onMove(rule, to, "handle");
            }}
          >
            <Icon name="drag" />
          </button>
        )}
        <span class="trackers-place" aria-hidden="true">
          {place}
        </span>
      </div>
      <Cell rule={rule} field="name" label={t("trackers.name")} placeholder={rule.id} onValue={set("name")} />
      <Cell
        rule={rule}
        field="pattern"
        label={t("trackers.pattern")}
        placeholder={PATTERN_EXAMPLE}
        code
        onValue={set("pattern")}
      />
      <Cell rule={rule} field="max_upload_speed" label={t("trackers.cap")} onValue={set("max_upload_speed")} speed />
      <Cell
        rule={rule}
        field="priority"
        label={t("trackers.priority")}
        placeholder="1"
        numeric
        onValue={set("priority")}
      />
      <p class="trackers-live num">
        {live ? (
          <>
            <b>{rate(live.rate_10s)}</b>{" "}
            <a href={href("torrents", { tracker: rule.key })}>{t("trackers.torrents", { n: live.torrents })}</a>
          </>
        ) : (
          <span class="pill ok">{t("edit.isNew")}</span>
        )}
        {live && live.override_until !== null && (
          <span class="pill info">{t("trackers.override", { cap: rate(live.cap) })}</span>
        )}
      </p>
      <div class="trackers-buttons">
        {!rule.isLast && (
          <>
            <button
              type="button"
              class="button quiet small"
              data-grip="up"
              aria-label={t("trackers.up", { rule: name })}
              disabled={index === 0}
              onClick={() => onMove(rule, index - 1, "up")}
            >
              <Icon name="up" />
            </button>
            <button
              type="button"
              class="button quiet small"
              data-grip="down"
              aria-label={t("trackers.down", { rule: name })}
              disabled={index === last}
              onClick={() => onMove(rule, index + 1, "down")}
            >
              <Icon name="down" />
            </button>
          </>
        )}
        <button
          type="button"
          class="button quiet small"
          aria-expanded={shown}
          aria-controls={more}
          aria-label={t("trackers.more", { rule: name })}
          onClick={() => setOpen(!shown)}
        >
          <Icon name="gear" />
        </button>
        {!rule.isLast && (
          <button
            type="button"
            class="button quiet small"
            aria-label={t("trackers.remove", { rule: name })}
            onClick={() => change((draft) => removeRule(draft, rule.key))}
          >
            <Icon name="close" />
          </button>
        )}
      </div>
      <Extras rule={rule} />
      {rule.isLast && <p class="trackers-note">{t("trackers.lastAbout")}</p>}
      <ul class="trackers-faults" aria-live="polite">
        {fault !== undefined && <li>{fault}</li>}
        {RULE_FIELDS.map((field) => {
          const text = faults.value.get(ruleField(rule.key, field));
          return (
            text !== undefined && (
              <li key={field} id={errorId(rule.key, field)}>
                {t("trackers.fault", { field: t(LABELS[field]), text })}
              </li>
            )
          );
        })}
        {others.map((field) => (
          <li key={field}>
            {t("trackers.fault", {
              field: keyed("group.field", field, field),
              text: faults.value.get(ruleField(rule.key, field)) ?? "",
            })}
          </li>
        ))}
      </ul>
      <div class="trackers-more" id={more} hidden={!shown}>
        {shown && (
          <>
            <Cell rule={rule} field="id" label={t("trackers.id")} onValue={set("id")} help={t("trackers.idHelp")} />
            <div>
              <p class="legend">{t("trackers.takes")}</p>
              {hosts.length === 0 ? (
                <p class="muted">{rule.isNew ? t("trackers.takesUnknown") : t("trackers.takesNone")}</p>
              ) : (
                <ul class="trackers-hosts">
                  {hosts.map((host) => (
                    <li key={host.host}>
                      {host.host} <span class="muted">{t("trackers.torrents", { n: host.torrents })}</span>
                    </li>
                  ))}
                </ul>
              )}
            </div>
            <GroupEditor rule={rule} />
          </>
        )}
      </div>
    </li>
  );
}

/** What a group has besides its row, in a few words. */
function Extras({ rule }: { rule: RuleView }) {
  const parent = rules.value.find((one) => one.key === rule.extras["parent"]);
  const asked = conditionsOf(rule.extras);
  const set = ["not", "rate", "schedule", "quota", "overspeed", "tiers", "when_busy"].filter(
    (field) => rule.extras[field] !== undefined,
  );
  if (!parent && asked.length + set.length === 0) return null;
  return (
    <p class="trackers-extras">
      {parent && <span class="pill">{t("group.beneath", { parent: nameOf(parent) })}</span>}
      {asked.map((one) => (
        <span key={one.field + one.op} class="pill info">
          {t("trackers.fault", {
            field: keyed("selector.field", one.field, one.field),
            text: `${one.op === "above" ? "≥ " : one.op === "below" ? "< " : ""}${typeof one.value === "string" ? keyed("selector.choice", one.value, one.value) : one.value.join(", ")}`,
          })}
        </span>
      ))}
      {set.map((field) => (
        <span key={field} class="pill">
          {keyed("group.field", field, field)}
          {typeof rule.extras[field] === "string" && ` ${textOf(rule.extras[field])}`}
        </span>
      ))}
    </p>
  );
}

const LABELS = {
  id: "trackers.id",
  name: "trackers.name",
  pattern: "trackers.pattern",
  max_upload_speed: "trackers.cap",
  priority: "trackers.priority",
} as const satisfies Record<RuleField, string>;

const errorId = (key: string, field: RuleField) => `fault-${key.replace(/\s/g, "_")}-${field}`;

interface CellProps {
  rule: RuleView;
  field: RuleField;
  label: string;
  placeholder?: string;
  help?: string;
  code?: boolean;
  speed?: boolean;
  numeric?: boolean;
  onValue: (text: string) => void;
}

function Cell({ rule, field, label, placeholder, help, code, speed, numeric, onValue }: CellProps) {
  const id = useId();
  const fault = faults.value.get(ruleField(rule.key, field)) ?? "";
  const locked = rule.locked[field];
  const why = locked === undefined ? (help ?? "") : locked;
  const common = {
    id,
    class: `input ${code ? "trackers-code" : ""}`,
    value: rule.values[field],
    readOnly: locked !== undefined,
    "aria-invalid": fault !== "",
    "aria-describedby": `${errorId(rule.key, field)} ${id}-help`,
  };
  return (
    <div class={`trackers-cell ${field}`}>
      <label for={id}>
        {label}
        <span class="visually-hidden"> {rule.values.name.trim() || rule.id}</span>
      </label>
      {speed ? (
        <CapInput {...common} onValue={onValue} />
      ) : (
        <input
          {...common}
          type="text"
          placeholder={placeholder}
          spellcheck={false}
          autocomplete="off"
          inputMode={numeric ? "numeric" : "text"}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
      <p class="trackers-help" id={`${id}-help`} hidden={why === ""}>
        {why}
      </p>
    </div>
  );
}
