/** What a person chose for this browser: theme, language, units. Kept in localStorage, if that may be used. */

import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
export type UnitSystem = "binary" | "si";

function kept<T extends string>(name: string, allowed: readonly T[], otherwise: T) {
  const key = `qguardarr.${name}`;
  const choice = signal<T>(otherwise);
  try {
    const found = localStorage.getItem(key);
    choice.value = allowed.find((one) => one === found) ?? otherwise;
  } catch {
    // The browser keeps nothing: the choice holds for this page.
  }
  effect(() => {
    const value = choice.value;
    try {
      if (value === otherwise) localStorage.removeItem(key);
      else localStorage.setItem(key, value);
    } catch {
      // As above.
    }
  });
  return choice;
}

export const theme = kept<Theme>("theme", ["system", "light", "dark"], "system");
export const unitSystem = kept<UnitSystem>("units", ["binary", "si"], "binary");
/** `auto`: what the browser asks for. */
export const languageChoice = kept<"auto" | "en" | "zh">("language", ["auto", "en", "zh"], "auto");

/** Whether the list of torrents has a column for announce budgets. */
export const announces = kept<"hidden" | "shown">("announces", ["hidden", "shown"], "hidden");

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(prefersDark.matches);
prefersDark.addEventListener("change", (event) => (systemIsDark.value = event.matches));

/** Whether the page is dark now. Read it where colours are needed outside of CSS, as charts do. */
export function isDark(): boolean {
  return theme.value === "system" ? systemIsDark.value : theme.value === "dark";
}

effect(() => {
  document.documentElement.dataset["theme"] = isDark() ? "dark" : "light";
});
