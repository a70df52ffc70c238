import { t } from "../../i18n";
import { Page } from "../../ui/page";

export default function Overview() {
  return (
    <Page title={t("overview.title")}>
      <p class="muted">{t("app.notBuilt")}</p>
    </Page>
  );
}
