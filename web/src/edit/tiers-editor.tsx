/** Caps of single torrents, by their ratio or age. */

import { useId } from "preact/hooks";
import { t } from "../i18n";
import { Icon } from "../ui/icon";
import type { PartProps } from "./group-editor";
import { textOf, type Json, type Mapping } from "./selector";

const KINDS = ["above_ratio", "above_age"] as const;
type Kind = (typeof KINDS)[number];

export function TiersEditor({ value, locked, fault, onValue }: PartProps) {
  const id = useId();
  const tiers = Array.isArray(value) ? (value as unknown as readonly Mapping[]) : [];
  const write = (made: readonly Mapping[]) => onValue(made.length === 0 ? null : made);
  const put = (index: number, tier: Mapping) => write(tiers.map((one, at) => (at === index ? tier : one)));
  const numeric = (kind: Kind, typed: string): Json =>
    kind === "above_ratio" && /^\d+(\.\d+)?$/.test(typed) ? Number(typed) : typed;
  return (
    <div class="stack">
      <p class="muted">{t("tiers.about")}</p>
      <ul class="group-rows">
        {tiers.map((tier, index) => {
          const kind = KINDS.find((one) => one in tier) ?? "above_ratio";
          return (
            <li key={index} class="row">
              <select
                class="input"
                aria-label={t("tiers.kind", { n: index + 1 })}
                value={kind}
                disabled={locked !== ""}
                onChange={(event) => {
                  const made = KINDS.find((one) => one === event.currentTarget.value) ?? kind;
                  const { [kind]: above, ...rest } = tier;
                  put(index, { [made]: numeric(made, textOf(above)), ...rest });
                }}
              >
                {KINDS.map((one) => (
                  <option key={one} value={one}>
                    {t(`tiers.${one}`)}
                  </option>
                ))}
              </select>
              <input
                class="input"
                aria-label={t("tiers.above", { n: index + 1 })}
                aria-describedby={`${id}-fault`}
                placeholder={t(`tiers.hint.${kind}`)}
                readOnly={locked !== ""}
                value={textOf(tier[kind])}
                onInput={(event) => put(index, { ...tier, [kind]: numeric(kind, event.currentTarget.value) })}
              />
              <input
                class="input"
                aria-label={t("tiers.cap", { n: index + 1 })}
                aria-describedby={`${id}-fault`}
                placeholder={t("tiers.capHint")}
                readOnly={locked !== ""}
                value={textOf(tier["cap"])}
                onInput={(event) => put(index, { ...tier, cap: event.currentTarget.value })}
              />
              <button
                type="button"
                class="button quiet small"
                aria-label={t("tiers.remove", { n: index + 1 })}
                disabled={locked !== ""}
                onClick={() => write(tiers.filter((_, at) => at !== index))}
              >
                <Icon name="close" />
              </button>
            </li>
          );
        })}
      </ul>
      <p class="error" id={`${id}-fault`} aria-live="polite" hidden={fault === ""}>
        {fault}
      </p>
      <div>
        <button
          type="button"
          class="button small"
          disabled={locked !== ""}
          onClick={() => write([...tiers, { above_ratio: "", cap: "" }])}
        >
          <Icon name="plus" />
          {t("tiers.add")}
        </button>
      </div>
    </div>
  );
}
