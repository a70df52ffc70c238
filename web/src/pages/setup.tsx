import { t } from "../i18n";
import { Page } from "../ui/page";

export default function Setup() {
  return (
    <Page title={t("setup.title")}>
      <p class="muted">{t("app.notBuilt")}</p>
    </Page>
  );
}
