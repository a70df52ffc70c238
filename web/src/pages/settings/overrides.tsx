/** Caps that hold for a while, in force at once: those there are, and a form for another. */

import { useState } from "preact/hooks";
import { endOverride, getOverrides, getStatus, setOverride } from "../../api/client";
import { now, status, takeStatus } from "../../api/live";
import { unitSystem } from "../../choices";
import { t } from "../../i18n";
import { useCall } from "../../ui/call";
import { FormError, Input, Select, useSubmit } from "../../ui/field";
import { Failure } from "../../ui/notice";
import { say, sayError } from "../../ui/toasts";
import { duration, moment, rate } from "../../units";

const SPANS = ["900", "3600", "14400", "43200", "86400", "604800"] as const;
const EVERY_MS = 15_000;

export function Overrides() {
  const groups = [...(status.value?.trackers ?? []), ...(status.value?.parents ?? [])];
  const found = useCall(getOverrides, [groups.filter((row) => row.override_until).length], EVERY_MS);
  const [group, setGroup] = useState<string | null>(null);
  const [cap, setCap] = useState("");
  const [span, setSpan] = useState<(typeof SPANS)[number]>("3600");
  const nameOf = (id: string) => (id === "" ? t("tree.line") : groups.find((row) => row.id === id)?.name || id);
  const chosen = group ?? groups[0]?.id ?? "";
  const after = async () => {
    found.again();
    takeStatus(await getStatus());
  };
  const { submit, busy, error, of } = useSubmit(async () => {
    const set = await setOverride(chosen, cap, Number(span));
    say(t("tracker.overrideSet", { tracker: nameOf(chosen), cap: rate(set.cap), time: moment(set.until, now.value) }));
    setCap("");
    await after();
  });
  const end = async (id: string) => {
    try {
      await endOverride(id);
      say(t("tracker.overrideEnded", { tracker: nameOf(id) }));
      await after();
    } catch (failure) {
      sayError(failure);
    }
  };
  return (
    <section class="card stack settings-group" aria-labelledby="settings-overrides">
      <div>
        <h2 id="settings-overrides">{t("settings.overrides")}</h2>
        <p class="muted">{t("settings.overridesAbout")}</p>
      </div>
      {found.error !== null && <Failure error={found.error} again={found.again} />}
      {(found.data?.length ?? 0) > 0 && (
        <ul class="settings-overrides">
          {found.data?.map((row) => (
            <li key={row.tracker} class="row">
              <b>{nameOf(row.tracker)}</b>
              <span class="num">{rate(row.cap)}</span>
              <span class="muted">{t("settings.overrideUntil", { time: moment(row.until, now.value) })}</span>
              <button
                type="button"
                class="button small push"
                aria-label={`${t("tracker.overrideEnd")}: ${nameOf(row.tracker)}`}
                onClick={() => void end(row.tracker)}
              >
                {t("tracker.overrideEnd")}
              </button>
            </li>
          ))}
        </ul>
      )}
      <form class="settings-override" onSubmit={submit}>
        <Select
          label={t("tracker.name")}
          value={chosen}
          options={groups.map(({ id }) => ({ value: id, label: nameOf(id) }))}
          onValue={setGroup}
        />
        <Input
          label={t("tracker.overrideCap")}
          value={cap}
          onValue={setCap}
          error={of("cap")}
          placeholder={t("trackers.capExample", { unit: unitSystem.value === "si" ? "MB/s" : "MiB/s" })}
          maxLength={60}
          required
        />
        <Select
          label={t("tracker.overrideFor")}
          value={span}
          options={SPANS.map((value) => ({ value, label: duration(Number(value)) }))}
          onValue={setSpan}
        />
        <button type="submit" class="button" aria-busy={busy}>
          {t("tracker.overrideSave")}
        </button>
      </form>
      <FormError error={error} fields={["cap"]} />
    </section>
  );
}
