import { t } from "../i18n";
import { Page } from "../ui/page";

export default function Settings() {
  return (
    <Page title={t("settings.title")}>
      <p class="muted">{t("app.notBuilt")}</p>
    </Page>
  );
}
