/** A remark within a page: a problem, or what a person should know. */

import type { ComponentChildren } from "preact";
import { t } from "../i18n";
import { Icon } from "./icon";
import { errorText } from "./toasts";

export type Tone = "ok" | "info" | "warn" | "bad";

export function Notice({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return (
    <div class={`notice ${tone}`}>
      <Icon name={tone} />
      <div>{children}</div>
    </div>
  );
}

/** An answer that did not come, and a way to ask again. */
export function Failure({ error, again }: { error: unknown; again?: () => void }) {
  return (
    <div class="notice bad" role="alert">
      <Icon name="bad" />
      <div class="row">
        <p>{errorText(error)}</p>
        {again && (
          <button type="button" class="button small" onClick={again}>
            {t("app.retry")}
          </button>
        )}
      </div>
    </div>
  );
}
