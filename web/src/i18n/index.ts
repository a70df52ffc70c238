/** Texts by key, in the language that the browser or the person chose. */

import { computed, effect, signal } from "@preact/signals";
import { languageChoice } from "../choices";
import { en } from "./en";

/** A text with {places}; or two of them, chosen by the number {n}. */
export type Message = string | { readonly one: string; readonly other: string };
export type Language = "en" | "zh";
export type Key = keyof typeof en;
/** All texts of one language: the same keys as `en`. */
export type Strings = { readonly [K in Key]: Message };

type PlacesOf<S> = S extends `${string}{${infer Place}}${infer Rest}` ? Place | PlacesOf<Rest> : never;
type TextsOf<M> = M extends { readonly one: infer One; readonly other: infer Other } ? One | Other | "{n}" : M;
type Values<K extends Key> = { readonly [P in PlacesOf<TextsOf<(typeof en)[K]>>]: string | number };
type Arguments<K extends Key> = [PlacesOf<TextsOf<(typeof en)[K]>>] extends [never] ? [] : [Values<K>];

const strings = signal<{ language: Language; texts: Strings }>({ language: "en", texts: en });

/** The language in use. */
export const language = computed(() => strings.value.language);
/** The same with the country that the browser names, for dates and numbers. */
export const locale = computed(() => {
  const wished = strings.value.language;
  return navigator.languages.find((one) => one.toLowerCase().startsWith(wished)) ?? wished;
});
const plurals = computed(() => new Intl.PluralRules(locale.value));
const numbers = computed(() => new Intl.NumberFormat(locale.value));

/** The text of a key. In a component, the component is shown again when the language changes. */
export function t<K extends Key>(key: K, ...[values]: Arguments<K>): string {
  return filled(strings.value.texts[key], (values ?? {}) as Readonly<Record<string, string | number>>);
}

function filled(message: Message, values: Readonly<Record<string, string | number>>): string {
  const text =
    typeof message === "string"
      ? message
      : plurals.value.select(Number(values["n"])) === "one"
        ? message.one
        : message.other;
  return text.replace(/\{(\w+)\}/g, (place, name: string) => {
    const value = values[name];
    return value === undefined ? place : typeof value === "number" ? numbers.value.format(value) : value;
  });
}

/** A key that is put together, as `t(keyOf("state", status.state), "state.other")`; `otherwise` if there is none. */
export function keyed(prefix: string, name: string, otherwise: string): string {
  const message = (strings.value.texts as Readonly<Record<string, Message | undefined>>)[`${prefix}.${name}`];
  return message === undefined ? otherwise : filled(message, {});
}

function wanted(): Language {
  if (languageChoice.value !== "auto") return languageChoice.value;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** Load and use a language. */
export async function load(wished: Language): Promise<void> {
  const texts: Strings = wished === "zh" ? (await import("./zh")).zh : en;
  strings.value = { language: wished, texts };
  document.documentElement.lang = wished === "zh" ? "zh-CN" : "en";
}

/** Follow the choice from now on; done when the first language is in use. */
export async function follow(): Promise<void> {
  await load(wanted());
  effect(() => {
    const wished = wanted();
    if (wished !== strings.peek().language) void load(wished);
  });
}
