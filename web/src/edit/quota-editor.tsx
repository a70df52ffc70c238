/** How much may be uploaded in each period, and what then. */

import { useId } from "preact/hooks";
import { keyed, t } from "../i18n";
import type { PartProps } from "./group-editor";
import { textOf, without, type Json, type Mapping } from "./selector";

const PERIODS = ["hour", "day", "week", "month"] as const;
const THEN = ["stop-raising", "unlimited"] as const;

export function QuotaEditor({ value, locked, fault, onValue }: PartProps) {
  const id = useId();
  const quota: Mapping = typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Mapping) : {};
  const set = (key: string, made: Json) => {
    const all: Mapping = made === null ? without(quota, key) : { ...quota, [key]: made };
    const { bytes, ...others } = all;
    const isEmpty = bytes === undefined && Object.keys(others).every((name) => name === "per");
    onValue(isEmpty ? null : { ...all, ...(all["per"] === undefined ? { per: "month" } : {}) });
  };
  const readOnly = locked !== "";
  const text = (key: string) => textOf(quota[key]);
  const period = text("per") || "month";
  const described = { "aria-describedby": `${id}-fault`, readOnly, spellcheck: false, autocomplete: "off" } as const;
  return (
    <div class="stack">
      <div class="group-fields">
        <div class="field">
          <label for={`${id}-bytes`}>{t("quota.bytes")}</label>
          <input
            {...described}
            id={`${id}-bytes`}
            class="input"
            placeholder={t("quota.bytesHint")}
            aria-invalid={fault !== ""}
            value={text("bytes")}
            onInput={(event) => set("bytes", event.currentTarget.value || null)}
          />
        </div>
        <div class="field">
          <label for={`${id}-per`}>{t("quota.per")}</label>
          <select
            id={`${id}-per`}
            class="input"
            disabled={readOnly}
            value={period}
            onChange={(event) => set("per", event.currentTarget.value)}
          >
            {[...new Set<string>([...PERIODS, period])].map((per) => (
              <option key={per} value={per}>
                {keyed("quota.period", per, per)}
              </option>
            ))}
          </select>
        </div>
        <div class="field">
          <label for={`${id}-starts`}>{t("quota.starts")}</label>
          <input
            {...described}
            id={`${id}-starts`}
            class="input"
            placeholder={keyed("quota.startsHint", period, "")}
            value={text("starts")}
            onInput={(event) => {
              const typed = event.currentTarget.value;
              set("starts", typed === "" ? null : /^\d+$/.test(typed) ? Number(typed) : typed);
            }}
          />
        </div>
        <div class="field">
          <label for={`${id}-then`}>{t("quota.then")}</label>
          <input
            {...described}
            id={`${id}-then`}
            class="input"
            list={`${id}-thens`}
            placeholder={t("quota.thenHint")}
            value={text("then")}
            onInput={(event) => set("then", event.currentTarget.value || null)}
          />
          <datalist id={`${id}-thens`}>
            {THEN.map((word) => (
              <option key={word} value={word} />
            ))}
          </datalist>
        </div>
      </div>
      <label class="group-check">
        <input
          type="checkbox"
          checked={quota["pace"] === true}
          disabled={readOnly}
          onChange={(event) => set("pace", event.currentTarget.checked ? true : null)}
        />
        {t("quota.pace")}
      </label>
      <p class="error" id={`${id}-fault`} aria-live="polite" hidden={fault === ""}>
        {fault}
      </p>
      {readOnly && <p class="muted">{locked}</p>}
    </div>
  );
}
