/** The trackers that qBittorrent knows, to type caps beside. */

import { getHosts } from "../../api/client";
import { rules } from "../../edit/store";
import { t } from "../../i18n";
import { href } from "../../routes";
import { useCall } from "../../ui/call";
import { Hosts } from "../trackers/hosts";
import "../trackers/trackers.css";

const EVERY_MS = 15_000;

export function Caps({ connected }: { connected: boolean }) {
  return connected ? <Found /> : <p class="muted">{t("setup.caps.first")}</p>;
}

function Found() {
  const hosts = useCall(getHosts, [], EVERY_MS);
  const named = rules.value.filter((rule) => !rule.isLast && !rule.isNew);
  return (
    <>
      <Hosts called={hosts} />
      {named.length > 0 && (
        <p>
          {t("setup.caps.rules", { rules: named.map((rule) => rule.values.name || rule.id).join(", ") })}{" "}
          <a href={href("trackers")}>{t("setup.caps.edit")}</a>
        </p>
      )}
    </>
  );
}
