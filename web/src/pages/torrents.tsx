import { t } from "../i18n";
import { Page } from "../ui/page";

export default function Torrents() {
  return (
    <Page title={t("torrents.title")}>
      <p class="muted">{t("app.notBuilt")}</p>
    </Page>
  );
}
