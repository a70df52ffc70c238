/** A schedule: a week to paint with caps, by mouse, finger or keys, and its windows as text beneath. */

import { useId, useRef, useState } from "preact/hooks";
import { language, locale, t } from "../i18n";
import { Icon } from "../ui/icon";
import type { Json } from "./selector";
import {
  clockText,
  DAY,
  isReadable,
  numbersOf,
  painted,
  paintAt,
  paintsOf,
  same,
  weekOf,
  windowsOf,
  type Numbers,
  type Window,
} from "./week";
import "./week-editor.css";

const SLOT = 30; // minutes
const SLOTS = DAY / SLOT;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const COLOURS = 6;

interface Cell {
  readonly day: number;
  readonly slot: number;
}

interface WeekEditorProps {
  label: string;
  value: readonly Window[];
  /** Whether a window may also change the priority. */
  withPriority: boolean;
  /** Why nothing can be changed; empty if it can. */
  locked: string;
  fault: string;
  onValue: (windows: Json) => void;
}

/** The days' names from Monday on. */
export function dayNames(form: "short" | "long"): string[] {
  const format = new Intl.DateTimeFormat(locale.value, { weekday: form, timeZone: "UTC" });
  return Array.from({ length: 7 }, (_, day) => format.format(Date.UTC(2024, 0, 1 + day)));
}

const between = (one: number, other: number) => {
  const [first, last] = [Math.min(one, other), Math.max(one, other)];
  return Array.from({ length: last - first + 1 }, (_, step) => first + step);
};

export function WeekEditor({ label, value, withPriority, locked, fault, onValue }: WeekEditorProps) {
  const id = useId();
  const [extra, setExtra] = useState<readonly Numbers[]>([]);
  const paints = [...extra]; // in the order in which they were met, so that their letters stay
  for (const one of paintsOf(value)) if (!paints.some((paint) => same(paint, one))) paints.push(one);
  if (paints.length === 0) paints.push({ cap: "" });
  const [chosen, setChosen] = useState(1);
  const brush = Math.min(chosen, paints.length);
  const [said, setSaid] = useState("");
  const week = weekOf(value, paints);
  const write = (windows: readonly Window[]) => onValue(windows.length === 0 ? null : (windows as unknown as Json));

  const paint = (days: readonly number[], from: number, to: number, number: number) => {
    if (locked !== "") return;
    const made = windowsOf(painted(week, days, from, to, number), paints);
    setExtra(paints);
    write([...made, ...value.filter((window) => !isReadable(window))]);
    setSaid(t("week.painted", { when: spanText(days, from, to), what: nameOf(paints[number - 1]) }));
  };
  const setPaint = (index: number, key: string, text: string) => {
    const old = paints[index] ?? {};
    const all = { ...old, [key]: numberOf(key, text) };
    const made = text === "" && key !== "cap" ? numbersOf(without({ ...all, [key]: undefined })) : all;
    setExtra(paints.map((one, place) => (place === index ? made : one)));
    if (!value.some((window) => same(numbersOf(window), old))) return;
    write(value.map((window) => (same(numbersOf(window), old) ? { ...timesOf(window), ...made } : window)));
  };
  const setWindow = (index: number, changes: Window) =>
    write(value.map((window, place) => (place === index ? without({ ...window, ...changes }) : window)));

  return (
    <div class="week" role="group" aria-label={label}>
      <p class="muted">{t("week.about")}</p>
      <ul class="week-paints">
        {paints.map((numbers, index) => (
          <li key={index} class={`row paint-${index % COLOURS}`}>
            <label class="week-brush">
              <input
                type="radio"
                name={`${id}-brush`}
                checked={brush === index + 1}
                disabled={locked !== ""}
                onChange={() => setChosen(index + 1)}
              />
              <i aria-hidden="true">{LETTERS[index]}</i>
              <span class="visually-hidden">{t("week.brush", { what: nameOf(numbers) })}</span>
            </label>
            <input
              class="input"
              aria-label={t("week.cap", { letter: LETTERS[index] ?? "" })}
              aria-describedby={`${id}-fault`}
              placeholder={t("week.capHint")}
              spellcheck={false}
              autocomplete="off"
              readOnly={locked !== ""}
              value={text(numbers["cap"])}
              onInput={(event) => setPaint(index, "cap", event.currentTarget.value)}
            />
            {withPriority && (
              <input
                class="input week-priority"
                aria-label={t("week.priority", { letter: LETTERS[index] ?? "" })}
                placeholder={t("trackers.priority")}
                inputMode="numeric"
                readOnly={locked !== ""}
                value={text(numbers["priority"])}
                onInput={(event) => setPaint(index, "priority", event.currentTarget.value)}
              />
            )}
          </li>
        ))}
        <li class="row">
          <label class="week-brush">
            <input
              type="radio"
              name={`${id}-brush`}
              checked={brush === 0}
              disabled={locked !== ""}
              onChange={() => setChosen(0)}
            />
            <i class="none" aria-hidden="true" />
            <span>{t("week.none")}</span>
          </label>
          <button
            type="button"
            class="button small push"
            disabled={locked !== "" || paints.length >= LETTERS.length}
            onClick={() => {
              setExtra([...paints, { cap: "" }]);
              setChosen(paints.length + 1);
            }}
          >
            <Icon name="plus" />
            {t("week.addPaint")}
          </button>
        </li>
      </ul>
      <Grid label={label} week={week} paints={paints} brush={brush} locked={locked !== ""} onPaint={paint} />
      <p class="visually-hidden" role="status">
        {said}
      </p>
      <p class="error" id={`${id}-fault`} aria-live="polite" hidden={fault === ""}>
        {fault}
      </p>
      {locked !== "" && <p class="muted">{locked}</p>}
      <details class="week-windows" open={value.some((window) => !isReadable(window)) || undefined}>
        <summary>{t("week.windows", { n: value.length })}</summary>
        <ul>
          {value.map((window, index) => (
            <li key={index} class="row">
              <WindowField
                label={t("week.days")}
                value={text(window.days)}
                hint="daily"
                onValue={(days) => setWindow(index, { days })}
              />
              <WindowField
                label={t("week.from")}
                value={text(window.from)}
                hint="00:00"
                onValue={(from) => setWindow(index, { from })}
              />
              <WindowField
                label={t("week.to")}
                value={text(window.to)}
                hint="24:00"
                onValue={(to) => setWindow(index, { to })}
              />
              <WindowField
                label={t("trackers.cap")}
                value={text(window["cap"])}
                hint=""
                onValue={(cap) => setWindow(index, { cap })}
              />
              <button
                type="button"
                class="button quiet small"
                aria-label={t("week.remove", { n: index + 1 })}
                disabled={locked !== ""}
                onClick={() => write(value.filter((_, place) => place !== index))}
              >
                <Icon name="close" />
              </button>
            </li>
          ))}
        </ul>
        <button
          type="button"
          class="button small"
          disabled={locked !== ""}
          onClick={() => write([...value, { days: "mon-fri", from: "08:00", to: "18:00", ...paints[0] }])}
        >
          <Icon name="plus" />
          {t("week.addWindow")}
        </button>
      </details>
    </div>
  );
}

function text(value: unknown): string {
  if (Array.isArray(value)) return value.join(",");
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

const numberOf = (key: string, typed: string) => (key === "priority" && /^\d+$/.test(typed) ? Number(typed) : typed);
const timesOf = ({ days, from, to }: Window) => without({ days, from, to } as Window);
const without = (window: Window): Window =>
  Object.fromEntries(
    Object.entries(window).filter(([key, value]) => value !== undefined && (value !== "" || key === "cap")),
  );

function nameOf(numbers: Numbers | undefined): string {
  if (numbers === undefined) return t("week.none");
  const cap = text(numbers["cap"]);
  const priority = text(numbers["priority"]);
  const parts = [cap, priority === "" ? "" : t("week.priorityIs", { priority })].filter((part) => part !== "");
  return parts.length === 0 ? t("week.noCap") : parts.join(", ");
}

/** `Monday – Friday 08:00–18:00`. */
function spanText(days: readonly number[], from: number, to: number): string {
  const names = dayNames("long");
  const [first, last] = [names[days[0] ?? 0] ?? "", names[days.at(-1) ?? 0] ?? ""];
  return `${first === last ? first : `${first} – ${last}`} ${clockText(from)}–${clockText(to)}`;
}

function WindowField(props: { label: string; value: string; hint: string; onValue: (text: string) => void }) {
  return (
    <label class="week-field">
      {props.label}
      <input
        class="input"
        spellcheck={false}
        autocomplete="off"
        placeholder={props.hint}
        value={props.value}
        onInput={(event) => props.onValue(event.currentTarget.value)}
      />
    </label>
  );
}

interface GridProps {
  label: string;
  week: Uint8Array;
  paints: readonly Numbers[];
  brush: number;
  locked: boolean;
  onPaint: (days: readonly number[], from: number, to: number, paint: number) => void;
}

function Grid({ label, week, paints, brush, locked, onPaint }: GridProps) {
  const id = useId();
  const area = useRef<HTMLDivElement>(null);
  const [at, setAt] = useState<Cell>({ day: 0, slot: 16 });
  const [from, setFrom] = useState<Cell>(at);
  const drag = useRef<number | null>(null); // what is being painted
  const [focused, setFocused] = useState(false);
  const [short, long] = [dayNames("short"), dayNames("long")];
  const isMarked = ({ day, slot }: Cell) =>
    day >= Math.min(at.day, from.day) &&
    day <= Math.max(at.day, from.day) &&
    slot >= Math.min(at.slot, from.slot) &&
    slot <= Math.max(at.slot, from.slot);
  const [days, slots] = [between(at.day, from.day), between(at.slot, from.slot)];
  const [begin, end] = [(slots[0] ?? 0) * SLOT, ((slots.at(-1) ?? 0) + 1) * SLOT];
  const several = at.day !== from.day || at.slot !== from.slot;

  const cellOf = (event: PointerEvent): Cell | null => {
    const box = area.current?.getBoundingClientRect();
    if (!box || box.width === 0) return null;
    const within = (share: number, n: number) => Math.max(0, Math.min(n - 1, Math.floor(share * n)));
    return {
      day: within((event.clientY - box.top) / box.height, 7),
      slot: within((event.clientX - box.left) / box.width, SLOTS),
    };
  };
  const press = (event: PointerEvent) => {
    const cell = cellOf(event);
    if (event.button !== 0 || cell === null || locked) return;
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    const there = paintAt(week, cell.day, cell.slot * SLOT, (cell.slot + 1) * SLOT);
    drag.current = there === brush ? 0 : brush;
    setAt(cell);
    setFrom(cell);
  };
  const follow = (event: PointerEvent) => {
    const cell = drag.current === null ? null : cellOf(event);
    if (cell !== null) setAt(cell);
  };
  const lift = () => {
    if (drag.current !== null) onPaint(days, begin, end, drag.current);
    drag.current = null;
    setFrom(at);
  };
  const key = (event: KeyboardEvent) => {
    const steps: Readonly<Record<string, [number, number]>> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      Home: [0, -SLOTS],
      End: [0, SLOTS],
    };
    const step = steps[event.key];
    if (step) {
      const to = {
        day: Math.max(0, Math.min(6, at.day + step[0])),
        slot: Math.max(0, Math.min(SLOTS - 1, at.slot + step[1])),
      };
      setAt(to);
      if (!event.shiftKey) setFrom(to);
    } else if (event.key === " " || event.key === "Enter") onPaint(days, begin, end, brush);
    else if (event.key === "Delete" || event.key === "Backspace") onPaint(days, begin, end, 0);
    else return;
    event.preventDefault();
  };

  return (
    <div class="week-grid-frame">
      <div
        class="week-grid"
        role="grid"
        aria-label={label}
        aria-describedby={`${id}-help`}
        aria-multiselectable="true"
        aria-activedescendant={`${id}-${at.day}-${at.slot}`}
        aria-readonly={locked}
        tabIndex={0}
        onKeyDown={key}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
      >
        <div class="week-hours" aria-hidden="true">
          {[0, 6, 12, 18, 24].map((hour) => (
            <span key={hour} style={{ left: `${(hour / 24) * 100}%` }}>
              {clockText(hour * 60)}
            </span>
          ))}
        </div>
        <div class="week-names" aria-hidden="true">
          {short.map((name) => (
            <span key={name}>{name}</span>
          ))}
        </div>
        <div
          class="week-area"
          role="presentation"
          ref={area}
          onPointerDown={press}
          onPointerMove={follow}
          onPointerUp={lift}
          onPointerCancel={() => {
            drag.current = null;
            setFrom(at);
          }}
        >
          {long.map((name, day) => (
            <div key={day} role="row" class="week-day" aria-label={name}>
              {Array.from({ length: SLOTS }, (_, slot) => {
                const number = paintAt(week, day, slot * SLOT, (slot + 1) * SLOT);
                const before = slot === 0 ? 0 : paintAt(week, day, (slot - 1) * SLOT, slot * SLOT);
                const marked = isMarked({ day, slot });
                const what = number === null ? t("week.mixed") : nameOf(paints[number - 1]);
                return (
                  <div
                    key={slot}
                    id={`${id}-${day}-${slot}`}
                    role="gridcell"
                    class={`week-cell ${number === null ? "mixed" : number > 0 ? `painted paint-${(number - 1) % COLOURS}` : ""} ${marked && (several || focused) ? "marked" : ""}`}
                    aria-label={`${name} ${clockText(slot * SLOT)}: ${what}`}
                    aria-selected={marked}
                  >
                    {number !== null && number > 0 && number !== before && (
                      <span aria-hidden="true">{LETTERS[number - 1]}</span>
                    )}
                  </div>
                );
              })}
            </div>
          ))}
        </div>
      </div>
      <p class="week-readout num muted" aria-hidden="true">
        {several || focused ? spanText(days, begin, end) : "\u00a0"}
      </p>
      <p class="visually-hidden" id={`${id}-help`} lang={language.value}>
        {t("week.help")}
      </p>
    </div>
  );
}
