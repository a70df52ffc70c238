/** The choices above the list. They stand in the address, so that a link shows the same changes. */

import { useEffect, useRef, useState } from "preact/hooks";
import { status } from "../../api/live";
import { t } from "../../i18n";
import { Input, Select } from "../../ui/field";
import { filters, KINDS, SPANS, type Filters, type Kind, type Span } from "./filters";

const TYPING_MS = 350;

interface BarProps {
  wanted: Filters;
  onChange: (changed: Partial<Filters>) => void;
  onClear: () => void;
}

export function FilterBar({ wanted, onChange, onClear }: BarProps) {
  const known = status.value?.trackers ?? [];
  const trackers = known.map(({ id, name }) => ({ value: id, label: name }));
  if (wanted.tracker !== "" && !known.some(({ id }) => id === wanted.tracker)) {
    trackers.push({ value: wanted.tracker, label: wanted.tracker });
  }
  const spans = [...(Object.keys(SPANS) as (keyof typeof SPANS)[]), "custom" as const];
  return (
    <form
      class="card journal-filters"
      role="search"
      aria-label={t("journal.filters")}
      onSubmit={(event) => event.preventDefault()}
    >
      <Search value={wanted.search} onValue={(search) => onChange({ search })} />
      <Select
        label={t("journal.tracker")}
        value={wanted.tracker}
        options={[{ value: "", label: t("journal.tracker.all") }, ...trackers]}
        onValue={(tracker) => onChange({ tracker })}
      />
      <Select<Kind>
        label={t("journal.kind")}
        value={wanted.kind}
        options={[
          { value: "", label: t("journal.kind.all") },
          ...KINDS.map((value) => ({ value, label: t(`journal.status.${value}`) })),
        ]}
        onValue={(kind) => onChange({ kind })}
      />
      <Select<Span>
        label={t("journal.time")}
        value={wanted.span}
        options={[
          { value: "", label: t("journal.time.all") },
          ...spans.map((value) => ({ value, label: t(`journal.time.${value}`) })),
        ]}
        onValue={(span) => onChange({ span })}
      />
      {wanted.span === "custom" && (
        <>
          <Input
            label={t("journal.from")}
            type="datetime-local"
            value={wanted.from}
            onValue={(from) => onChange({ from })}
          />
          <Input label={t("journal.to")} type="datetime-local" value={wanted.to} onValue={(to) => onChange({ to })} />
        </>
      )}
      {filters(wanted) && (
        <button type="button" class="button quiet journal-clear" onClick={onClear}>
          {t("journal.clear")}
        </button>
      )}
    </form>
  );
}

/** What is typed counts after a pause. */
function Search({ value, onValue }: { value: string; onValue: (value: string) => void }) {
  const [typed, setTyped] = useState(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    setTyped(value);
    return () => clearTimeout(timer.current);
  }, [value]);
  return (
    <Input
      label={t("journal.search")}
      type="search"
      placeholder={t("journal.searchHelp")}
      value={typed}
      maxLength={200}
      onValue={(text) => {
        setTyped(text);
        clearTimeout(timer.current);
        timer.current = setTimeout(() => onValue(text), TYPING_MS);
      }}
    />
  );
}
