/** Trackers that no rule names, with their speeds: a cap typed beside one makes it a rule. */

import { useState } from "preact/hooks";
import type { HostList, HostRow } from "../../api/types.gen";
import { addRule, removeRule, ruleField, setRule } from "../../edit/draft";
import { change, draft, faults, placeOf, rules } from "../../edit/store";
import { t } from "../../i18n";
import type { Called } from "../../ui/call";
import { Failure } from "../../ui/notice";
import { count, rate } from "../../units";
import { CapInput } from "./cap-input";

const FIRST = 20;

export function Hosts({ called }: { called: Called<HostList> }) {
  const [all, setAll] = useState(false);
  const found = called.data?.hosts.filter((host) => !host.named && host.pattern !== "") ?? [];
  const shown = all ? found : found.slice(0, FIRST);
  const without = called.data?.hosts.find((host) => host.pattern === "");
  return (
    <section class="stack" aria-labelledby="trackers-hosts">
      <div class="page-head">
        <h2 id="trackers-hosts">{t("trackers.hosts")}</h2>
        <p class="muted">{t("trackers.hostsAbout")}</p>
      </div>
      {called.error !== null && <Failure error={called.error} again={called.again} />}
      {called.data === undefined && called.loading && <p class="muted">{t("app.loading")}</p>}
      {called.data && found.length === 0 && <p class="muted">{t("trackers.hostsNone")}</p>}
      {shown.length > 0 && (
        <div class="table-scroll" role="group" aria-labelledby="trackers-hosts" tabIndex={0}>
          <table class="table trackers-hosts-table">
            <thead>
              <tr>
                <th scope="col">{t("tracker.name")}</th>
                <th scope="col" class="num trackers-wide">
                  {t("tracker.rate")}
                </th>
                <th scope="col" class="num trackers-wide">
                  {t("tracker.torrents")}
                </th>
                <th scope="col" class="num trackers-wide">
                  {t("trackers.uploading")}
                </th>
                <th scope="col">{t("trackers.cap")}</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((host) => (
                <Host key={host.host} host={host} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {shown.length < found.length && (
        <div>
          <button type="button" class="button" onClick={() => setAll(true)}>
            {t("trackers.hostsMore", { n: found.length - shown.length })}
          </button>
        </div>
      )}
      {without && <p class="muted">{t("trackers.hostsWithout", { n: without.torrents })}</p>}
      {(called.data?.left_out ?? 0) > 0 && (
        <p class="muted">{t("trackers.hostsLeftOut", { n: called.data?.left_out ?? 0 })}</p>
      )}
    </section>
  );
}

/** Make a rule for this tracker, or change it; an emptied field lets it go again. */
function type(host: HostRow, text: string): void {
  change((now, file) => {
    const rule = now.added.find((one) => one.host === host.host);
    if (rule) return text === "" ? removeRule(now, rule.key) : setRule(now, file, rule.key, "max_upload_speed", text);
    if (text === "") return now;
    const { suggested_id: id, pattern } = host;
    return addRule(now, { id, name: host.host, pattern, max_upload_speed: text }, host.host);
  });
}

function Host({ host }: { host: HostRow }) {
  const rule = draft.value.added.find((one) => one.host === host.host);
  const place = placeOf(rules.value.find((one) => one.key === rule?.key));
  const fault = rule
    ? [ruleField(rule.key, "max_upload_speed"), ruleField(rule.key, "id"), ruleField(rule.key, "pattern")]
        .map((field) => faults.value.get(field) ?? "")
        .find((text) => text !== "")
    : undefined;
  const note = `host-${host.suggested_id}`;
  return (
    <tr>
      <th scope="row">
        {host.host}
        <span class="trackers-host-figures">
          <span>{rate(host.rate)}</span> <span>{t("trackers.torrents", { n: host.torrents })}</span>
        </span>
      </th>
      <td class="num trackers-wide">{rate(host.rate)}</td>
      <td class="num trackers-wide">{count(host.torrents)}</td>
      <td class="num trackers-wide">{count(host.uploading)}</td>
      <td class="trackers-host-cap">
        <CapInput
          class="input"
          aria-label={t("trackers.capFor", { tracker: host.host })}
          aria-describedby={note}
          aria-invalid={fault !== undefined}
          value={rule?.values.max_upload_speed ?? ""}
          onValue={(text) => type(host, text)}
        />
        <span id={note} class={fault === undefined ? "trackers-becomes" : "trackers-error"} aria-live="polite">
          {fault ?? (rule ? t("trackers.becomes", { place }) : "")}
        </span>
      </td>
    </tr>
  );
}
