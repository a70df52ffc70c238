import { t } from "../i18n";
import { Page } from "../ui/page";

export default function Journal() {
  return (
    <Page title={t("journal.title")}>
      <p class="muted">{t("app.notBuilt")}</p>
    </Page>
  );
}
