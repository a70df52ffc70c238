/** A user for people who came in by the API key: its name and password are written to the file. */

import { saveOnly } from "../../edit/store";
import { t } from "../../i18n";
import { say } from "../../ui/toasts";
import { UserForm } from "./user-form";

export function UserStep({ again }: { again: () => void }) {
  return (
    <UserForm
      onUser={async (name, password) => {
        await saveOnly({ "auth.username": name, "auth.password": password });
        say(t("setup.user.made", { user: name }));
        again();
      }}
    />
  );
}
