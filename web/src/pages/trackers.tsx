import { t } from "../i18n";
import { Page } from "../ui/page";

export default function Trackers() {
  return (
    <Page title={t("trackers.title")}>
      <p class="muted">{t("app.notBuilt")}</p>
    </Page>
  );
}
