/** The rules in order, and the trackers that none of them names. */

import { getHosts } from "../../api/client";
import { Editing, UndoButton } from "../../edit/bar";
import { addRule } from "../../edit/draft";
import { Setting } from "../../edit/setting";
import { change } from "../../edit/store";
import { t } from "../../i18n";
import { useCall } from "../../ui/call";
import { Icon } from "../../ui/icon";
import { Page } from "../../ui/page";
import { Hosts } from "./hosts";
import { Rules } from "./rules";
import { UrlTest } from "./url-test";
import "./trackers.css";

const HOSTS_EVERY_MS = 15_000;

export default function Trackers() {
  const hosts = useCall(getHosts, [], HOSTS_EVERY_MS);
  return (
    <Page title={t("trackers.title")} actions={<UndoButton />}>
      <Editing>
        <section class="stack" aria-labelledby="trackers-rules">
          <div class="page-head">
            <h2 id="trackers-rules">{t("trackers.rules")}</h2>
            <p class="muted">{t("trackers.rulesAbout")}</p>
            <button type="button" class="button push" onClick={() => change((draft) => addRule(draft))}>
              <Icon name="plus" />
              {t("trackers.add")}
            </button>
          </div>
          <Rules hosts={hosts.data?.hosts ?? []} />
        </section>
        <Hosts called={hosts} />
        <section class="card" aria-labelledby="trackers-strategy">
          <h2 id="trackers-strategy">{t("trackers.strategy")}</h2>
          <Setting name="global.allocation_strategy" />
          <Setting name="global.match_mode" />
          <Setting name="global.uplink" />
        </section>
        <UrlTest />
      </Editing>
    </Page>
  );
}
