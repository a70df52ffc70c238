/** A field for a cap. A number alone is given the unit of megabytes when one leaves it; the server reads the rest. */

import { unitSystem } from "../../choices";
import { t } from "../../i18n";
import { withUnit } from "./place";

interface CapInputProps {
  id?: string;
  class: string;
  value: string;
  readOnly?: boolean;
  "aria-label"?: string;
  "aria-describedby": string;
  "aria-invalid": boolean;
  onValue: (text: string) => void;
}

export function CapInput({ value, onValue, ...attributes }: CapInputProps) {
  const unit = unitSystem.value === "si" ? "MB/s" : "MiB/s";
  return (
    <input
      {...attributes}
      type="text"
      value={value}
      placeholder={t("trackers.capExample", { unit })}
      spellcheck={false}
      autocomplete="off"
      onInput={(event) => onValue(event.currentTarget.value)}
      onChange={() => {
        const whole = withUnit(value, unit);
        if (whole !== value) onValue(whole);
      }}
    />
  );
}
