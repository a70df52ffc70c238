/** Short messages in the corner, read out by screen readers. Errors stay until they are closed. */

import { signal } from "@preact/signals";
import { ApiError } from "../api/client";
import { t } from "../i18n";
import { Icon } from "./icon";

interface Toast {
  readonly id: number;
  readonly tone: "ok" | "bad";
  readonly text: string;
}

const SHOWN_MS = 6000;
const MOST = 4;
const toasts = signal<readonly Toast[]>([]);
let nextId = 0;

function show(tone: Toast["tone"], text: string): number {
  const id = nextId++;
  toasts.value = [...toasts.value.filter((toast) => toast.text !== text).slice(1 - MOST), { id, tone, text }];
  return id;
}

function dismiss(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** Say that something was done. */
export function say(text: string): void {
  const id = show("ok", text);
  setTimeout(() => dismiss(id), SHOWN_MS);
}

/** Say why something was not done. */
export function sayError(error: unknown): void {
  show("bad", errorText(error));
}

/** An error in words. */
export function errorText(error: unknown): string {
  if (error instanceof ApiError) return error.status === 0 ? t("error.unreachable") : error.message;
  return error instanceof Error ? error.message : String(error);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, tone, text }) => (
        <div key={id} class={`toast ${tone}`}>
          <Icon name={tone} />
          <p>{text}</p>
          <button type="button" class="button quiet small" aria-label={t("app.close")} onClick={() => dismiss(id)}>
            <Icon name="close" />
          </button>
        </div>
      ))}
    </div>
  );
}
