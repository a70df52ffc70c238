/** What of the list is shown. */

import { useEffect, useRef, useState } from "preact/hooks";
import { status } from "../../api/live";
import { t } from "../../i18n";
import { Input, Select } from "../../ui/field";
import { Icon } from "../../ui/icon";
import { COLUMNS, isFiltered, isUpwards, STATES, type Listing, type YesNo } from "./listing";

const TYPED_MS = 250;

interface FiltersProps {
  listing: Listing;
  onChange: (changes: Partial<Listing>) => void;
}

export function Filters({ listing, onChange }: FiltersProps) {
  const [all, setAll] = useState(false);
  const trackers = status.value?.trackers ?? [];
  const instances = status.value?.instances ?? [];
  const named = trackers.some((row) => row.id === listing.tracker) || listing.tracker === "";
  const yesNo: readonly { value: YesNo; label: string }[] = [
    { value: "", label: t("torrents.any") },
    { value: "yes", label: t("torrents.yes") },
    { value: "no", label: t("torrents.no") },
  ];
  return (
    <form class={`torrents-filters ${all ? "all" : ""}`} role="search" onSubmit={(event) => event.preventDefault()}>
      <Search value={listing.search} onValue={(search) => onChange({ search })} />
      <button type="button" class="button torrents-more" aria-expanded={all} onClick={() => setAll(!all)}>
        <Icon name="gear" />
        {t("torrents.filters")}
      </button>
      <Select
        label={t("torrents.tracker")}
        value={listing.tracker}
        options={[
          { value: "", label: t("torrents.any") },
          ...trackers.map((row) => ({ value: row.id, label: row.name })),
          ...(named ? [] : [{ value: listing.tracker, label: listing.tracker }]),
        ]}
        onValue={(tracker) => onChange({ tracker })}
      />
      {(instances.length > 1 || listing.instance !== "") && (
        <Select
          label={t("torrents.instance")}
          value={listing.instance}
          options={[
            { value: "", label: t("torrents.any") },
            ...instances.map(({ name }) => ({ value: name, label: name })),
            ...(instances.some(({ name }) => name === listing.instance) || listing.instance === ""
              ? []
              : [{ value: listing.instance, label: listing.instance }]),
          ]}
          onValue={(instance) => onChange({ instance })}
        />
      )}
      <Select
        label={t("torrents.state")}
        value={listing.state}
        options={[
          { value: "" as const, label: t("torrents.any") },
          ...STATES.map((value) => ({ value, label: t(`torrents.state.${value}`) })),
        ]}
        onValue={(state) => onChange({ state })}
      />
      <Select
        label={t("torrents.limitedFilter")}
        value={listing.limited}
        options={yesNo}
        onValue={(limited) => onChange({ limited })}
      />
      <Select
        label={t("torrents.byHandFilter")}
        value={listing.byHand}
        options={yesNo}
        onValue={(byHand) => onChange({ byHand })}
      />
      <div class="torrents-sorting">
        <Select
          label={t("torrents.sort")}
          value={listing.sort}
          options={COLUMNS.map((value) => ({ value, label: t(`torrents.column.${value}`) }))}
          onValue={(sort) => onChange({ sort, descending: !isUpwards(sort) })}
        />
        <Select
          label={t("torrents.order")}
          value={listing.descending ? "desc" : "asc"}
          options={(["desc", "asc"] as const).map((value) => ({ value, label: t(`torrents.order.${value}`) }))}
          onValue={(value) => onChange({ descending: value === "desc" })}
        />
      </div>
      {isFiltered(listing) && (
        <button
          type="button"
          class="button torrents-clear"
          onClick={() => onChange({ search: "", tracker: "", instance: "", state: "", limited: "", byHand: "" })}
        >
          {t("torrents.clear")}
        </button>
      )}
    </form>
  );
}

/** The search waits until the person rests. */
function Search({ value, onValue }: { value: string; onValue: (value: string) => void }) {
  const [typed, setTyped] = useState(value);
  const sent = useRef(value);
  useEffect(() => {
    if (value === sent.current) return; // what was sent comes back
    sent.current = value;
    setTyped(value);
  }, [value]);
  const send = useRef(onValue);
  send.current = onValue;
  useEffect(() => {
    const wanted = typed.trim();
    if (wanted === sent.current) return;
    const timer = setTimeout(() => {
      sent.current = wanted;
      send.current(wanted);
    }, TYPED_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <Input
      label={t("torrents.search")}
      type="search"
      placeholder={t("torrents.searchHint")}
      maxLength={200}
      autocomplete="off"
      value={typed}
      onValue={setTyped}
    />
  );
}
