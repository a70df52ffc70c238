/** Which torrents a group takes: conditions as rows, and exceptions of the same kind. */

import { useId, useState } from "preact/hooks";
import type { LabelRow } from "../api/types.gen";
import { keyed, t } from "../i18n";
import { Icon } from "../ui/icon";
import {
  CHOICES,
  conditionsOf,
  emptyOf,
  exceptionsOf,
  FIELDS,
  freeOf,
  mappingOf,
  notOf,
  type Condition,
  type Json,
  type Mapping,
} from "./selector";

/** A word to choose, and how many torrents it would take. */
type Offer = Pick<LabelRow, "name" | "torrents">;
type Offered = Readonly<Partial<Record<Condition["field"], readonly Offer[]>>>;

interface SelectorEditorProps {
  /** All fields of the entry. */
  entry: Mapping;
  /** Fields that the settings have. */
  known: ReadonlySet<string>;
  /** What qBittorrent has, to choose from: categories, tags, instances. */
  offered: Offered;
  /** What is wrong, by field. */
  faultOf: (field: string) => string;
  onField: (field: string, value: Json) => void;
}

/** Rows as they are typed, with those that say nothing yet. */
interface Rows {
  readonly own: readonly Condition[];
  readonly exceptions: readonly (readonly Condition[])[];
}

const meaning = (rows: Rows) => JSON.stringify([mappingOf(rows.own), notOf(rows.exceptions.map(mappingOf))]);

export function SelectorEditor({ entry, known, offered, faultOf, onField }: SelectorEditorProps) {
  const fields = FIELDS.filter((field) => known.has(field));
  const beneath = ["pattern", ...fields] as const;
  const inEntry: Rows = {
    own: conditionsOf(entry, fields),
    exceptions: exceptionsOf(entry["not"]).map((one) => conditionsOf(one, beneath)),
  };
  const [typed, setTyped] = useState(inEntry);
  const rows = meaning(typed) === meaning(inEntry) ? typed : inEntry;
  const write = (made: Rows) => {
    setTyped(made);
    const found = mappingOf(made.own);
    for (const field of fields) change(field, found[field] ?? null);
    change("not", notOf(made.exceptions.map(mappingOf)));
  };
  const change = (field: string, value: Json) => {
    if (JSON.stringify(value) !== JSON.stringify(entry[field] ?? null)) onField(field, value);
  };
  const setException = (index: number, conditions: readonly Condition[]) =>
    write({ ...rows, exceptions: rows.exceptions.map((one, at) => (at === index ? conditions : one)) });
  return (
    <div class="selector">
      {rows.own.length === 0 && <p class="muted">{t("selector.none")}</p>}
      <Conditions
        conditions={rows.own}
        fields={fields}
        offered={offered}
        faultOf={faultOf}
        onChange={(own) => write({ ...rows, own })}
      />
      {known.has("not") &&
        rows.exceptions.map((exception, index) => (
          <fieldset key={index}>
            <legend>{t("selector.except")}</legend>
            <Conditions
              conditions={exception}
              fields={beneath}
              offered={offered}
              faultOf={() => ""}
              onChange={(conditions) => setException(index, conditions)}
            />
            <button
              type="button"
              class="button quiet small"
              onClick={() => write({ ...rows, exceptions: rows.exceptions.filter((_, at) => at !== index) })}
            >
              <Icon name="close" />
              {t("selector.removeException")}
            </button>
          </fieldset>
        ))}
      {faultOf("not") !== "" && <p class="error">{faultOf("not")}</p>}
      {known.has("not") && (
        <div>
          <button
            type="button"
            class="button quiet small"
            onClick={() => write({ ...rows, exceptions: [...rows.exceptions, []] })}
          >
            <Icon name="plus" />
            {t("selector.addException")}
          </button>
        </div>
      )}
    </div>
  );
}

interface ConditionsProps {
  conditions: readonly Condition[];
  fields: readonly Condition["field"][];
  offered: Offered;
  faultOf: (field: string) => string;
  onChange: (conditions: readonly Condition[]) => void;
}

const key = ({ field, op }: Pick<Condition, "field" | "op">) => `${field} ${op}`;

/** `Category is any of`. */
const asked = ({ field, op }: Pick<Condition, "field" | "op">) =>
  `${keyed("selector.field", field, field)} ${keyed("selector.op", op, op)}`;

function Conditions({ conditions, fields, offered, faultOf, onChange }: ConditionsProps) {
  const free = freeOf(conditions, fields);
  const put = (index: number, made: Condition) => onChange(conditions.map((one, at) => (at === index ? made : one)));
  return (
    <>
      <ul class="selector-rows">
        {conditions.map((condition, index) => (
          <li key={key(condition)}>
            <select
              class="input"
              aria-label={t("selector.condition", { n: index + 1 })}
              value={key(condition)}
              onChange={(event) => {
                const found = free.find((one) => key(one) === event.currentTarget.value);
                if (found) put(index, emptyOf(found));
              }}
            >
              {[condition, ...free].map((one) => (
                <option key={key(one)} value={key(one)}>
                  {asked(one)}
                </option>
              ))}
            </select>
            <Value
              condition={condition}
              offered={offered[condition.field] ?? []}
              onValue={(made) => put(index, made)}
            />
            <button
              type="button"
              class="button quiet small"
              aria-label={t("selector.remove", { condition: asked(condition) })}
              onClick={() => onChange(conditions.filter((_, at) => at !== index))}
            >
              <Icon name="close" />
            </button>
            {faultOf(condition.field) !== "" && <p class="error">{faultOf(condition.field)}</p>}
          </li>
        ))}
      </ul>
      {free.length > 0 && (
        <select
          class="input selector-add"
          aria-label={t("selector.add")}
          value=""
          onChange={(event) => {
            const found = free.find((one) => key(one) === event.currentTarget.value);
            event.currentTarget.value = "";
            if (found) onChange([...conditions, emptyOf(found)]);
          }}
        >
          <option value="">{t("selector.add")}</option>
          {free.map((one) => (
            <option key={key(one)} value={key(one)}>
              {asked(one)}
            </option>
          ))}
        </select>
      )}
    </>
  );
}

interface ValueProps {
  condition: Condition;
  offered: readonly Offer[];
  onValue: (condition: Condition) => void;
}

function Value({ condition, offered, onValue }: ValueProps) {
  const id = useId();
  const choices = CHOICES[condition.field];
  const { value } = condition;
  const label = t("selector.value", { condition: asked(condition) });
  if (typeof value !== "string") {
    return (
      <Several
        label={label}
        value={value}
        offered={offered}
        onValue={(made) => onValue({ ...condition, value: made })}
      />
    );
  }
  if (choices) {
    return (
      <select
        class="input"
        aria-label={label}
        value={value}
        onChange={(event) => onValue({ ...condition, value: event.currentTarget.value })}
      >
        {choices.map((choice) => (
          <option key={choice} value={choice}>
            {keyed("selector.choice", choice, choice)}
          </option>
        ))}
      </select>
    );
  }
  return (
    <input
      id={id}
      class={`input ${condition.op === "matches" ? "selector-code" : ""}`}
      aria-label={label}
      placeholder={keyed("selector.example", condition.field, "")}
      spellcheck={false}
      autocomplete="off"
      value={value}
      onInput={(event) => onValue({ ...condition, value: event.currentTarget.value })}
    />
  );
}

interface SeveralProps {
  label: string;
  value: readonly string[];
  offered: readonly Offer[];
  onValue: (value: readonly string[]) => void;
}

/** A list of words: those chosen as buttons that take them away, and a field for more. */
function Several({ label, value, offered, onValue }: SeveralProps) {
  const id = useId();
  const [text, setText] = useState("");
  const add = (typed: string) => {
    setText("");
    const word = typed.trim();
    if (word !== "" && !value.includes(word)) onValue([...value, word]);
  };
  return (
    <span class="selector-several">
      {value.map((word) => (
        <button
          key={word}
          type="button"
          class="pill info selector-word"
          aria-label={t("selector.removeWord", { word: word || t("selector.empty") })}
          onClick={() => onValue(value.filter((one) => one !== word))}
        >
          {word || t("selector.empty")}
          <Icon name="close" />
        </button>
      ))}
      <input
        class="input"
        aria-label={label}
        list={`${id}-offered`}
        placeholder={t("selector.addWord")}
        spellcheck={false}
        autocomplete="off"
        value={text}
        onInput={(event) => {
          const typed = event.currentTarget.value;
          // Chosen from the list: taken at once. Typed: with Enter, a comma, or when one leaves.
          if (offered.some(({ name }) => name === typed) && (event as InputEvent).inputType !== "insertText")
            add(typed);
          else if (typed.endsWith(",")) add(typed.slice(0, -1));
          else setText(typed);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") {
            event.preventDefault();
            add(text);
          } else if (event.key === "Backspace" && text === "") onValue(value.slice(0, -1));
        }}
        onBlur={() => add(text)}
      />
      <datalist id={`${id}-offered`}>
        {offered
          .filter(({ name }) => !value.includes(name))
          .map(({ name, torrents }) => (
            <option key={name} value={name} label={`${name} (${t("torrents.count", { n: torrents })})`} />
          ))}
      </datalist>
    </span>
  );
}
