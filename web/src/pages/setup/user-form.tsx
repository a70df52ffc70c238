/** The form for a name and a password, typed twice. */

import { useState } from "preact/hooks";
import { t } from "../../i18n";
import { FormError, Input, useSubmit } from "../../ui/field";

const LEAST = 8;

interface UserFormProps {
  /** Also asks for the API key, and says why. */
  keyWhy?: string;
  onUser: (name: string, password: string, key: string) => Promise<void>;
}

export function UserForm({ keyWhy = "", onUser }: UserFormProps) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [key, setKey] = useState("");
  const [tried, setTried] = useState(false);
  const short = password.length < LEAST ? t("setup.user.short", { n: LEAST }) : "";
  const differs = again !== password ? t("setup.user.differs") : "";
  const { submit, busy, error, of } = useSubmit(async () => {
    setTried(true);
    if (short === "" && differs === "") await onUser(name, password, key);
  });
  return (
    <form class="stack setup-form" onSubmit={submit}>
      <Input
        label={t("login.username")}
        value={name}
        onValue={setName}
        error={of("username")}
        autocomplete="username"
        maxLength={64}
        required
      />
      <Input
        label={t("login.password")}
        type="password"
        help={t("setup.user.help", { n: LEAST })}
        value={password}
        onValue={setPassword}
        error={tried ? short || of("password") : ""}
        autocomplete="new-password"
        required
      />
      <Input
        label={t("setup.user.again")}
        type="password"
        value={again}
        onValue={setAgain}
        error={tried && short === "" ? differs : ""}
        autocomplete="new-password"
        required
      />
      {keyWhy !== "" && (
        <Input
          label={t("login.key")}
          type="password"
          help={keyWhy}
          value={key}
          onValue={setKey}
          autocomplete="off"
          required
        />
      )}
      <FormError error={error} fields={["username", "password"]} />
      <div>
        <button type="submit" class="button primary" aria-busy={busy}>
          {busy ? t("setup.user.making") : t("setup.user.make")}
        </button>
      </div>
    </form>
  );
}
