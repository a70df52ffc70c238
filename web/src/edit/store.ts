/** The draft of the configuration that all pages share, the file that it is meant for, and what the server says of both. */

import { batch, computed, effect, signal } from "@preact/signals";
import { ApiError, getFile, getSchema, saveEdits, tryEdits, undoSave } from "../api/client";
import type { EditFault, FileState, Saved, SchemaHelp, SettingHelp, Trial } from "../api/types.gen";
import {
  changeCount,
  EMPTY,
  faultsByField,
  planOf,
  rebased,
  rulesOf,
  type Draft,
  type Plan,
  type RuleView,
} from "./draft";

const CHECK_AFTER_MS = 500;
/** The API restarts after some saves, which takes a second or two. */
const RESTART_TRIES = 12;
const RESTART_PAUSE_MS = 700;

export const schema = signal<SchemaHelp | null>(null);
export const file = signal<FileState | null>(null);
export const loadError = signal<unknown>(null);
export const draft = signal<Draft>(EMPTY);
/** Somebody else changed the file while there was a draft. */
export const conflict = signal(false);
/** What became of a draft that was put on another file. */
export const rebase = signal<{ lost: readonly string[]; both: readonly string[] } | null>(null);
export const checking = signal(false);
export const checkError = signal<unknown>(null);

const NO_PLAN: Plan = { edits: [], fields: [] };
export const plan = computed(() => (file.value ? planOf(draft.value, file.value) : NO_PLAN));
export const rules = computed(() => (file.value ? rulesOf(draft.value, file.value) : []));

/** The number of a rule among those that stay, from 1. */
export function placeOf(rule: RuleView | undefined): number {
  return rules.value.filter((one) => !one.isRemoved).findIndex((one) => one.key === rule?.key) + 1;
}

export const changes = computed(() => (file.value ? changeCount(draft.value, file.value) : 0));
const told = signal<{ plan: Plan; faults: readonly EditFault[] }>({ plan: NO_PLAN, faults: [] });
/** What is wrong, by field. */
export const faults = computed(() => faultsByField(told.value.faults, told.value.plan, rules.value));
export const helps = computed(
  () => new Map<string, SettingHelp>(schema.value?.settings.map((help) => [help.setting, help])),
);

/** Change the draft. */
export function change(how: (draft: Draft, file: FileState) => Draft): void {
  const known = file.peek();
  if (known) draft.value = how(draft.peek(), known);
}

export function discard(): void {
  batch(() => {
    draft.value = EMPTY;
    conflict.value = false;
    rebase.value = null;
  });
}

// -- the file ---------------------------------------------------------------------------------------------------------

/** Read the file (and the schema, once). A draft is put on what it is now. */
export async function load(): Promise<void> {
  loadError.value = null;
  try {
    const [found, known] = await Promise.all([afterRestart(getFile), schema.peek() ?? getSchema()]);
    schema.value = known;
    take(found);
  } catch (error) {
    loadError.value = error;
  }
}

function take(found: FileState): void {
  const before = file.peek();
  batch(() => {
    if (before && before.etag !== found.etag && draft.peek() !== EMPTY) {
      const made = rebased(draft.peek(), before, found);
      draft.value = planOf(made.draft, found).edits.length === 0 ? EMPTY : made.draft;
      if (made.lost.length + made.both.length > 0) rebase.value = made;
    }
    file.value = found;
    conflict.value = false;
  });
}

/** Ask again while the API restarts. */
async function afterRestart<T>(ask: () => Promise<T>): Promise<T> {
  for (let left = RESTART_TRIES; ; left--) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 0 || left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, RESTART_PAUSE_MS));
    }
  }
}

function noteConflict(error: unknown): void {
  if (!(error instanceof ApiError)) return;
  if (error.kind === "config-changed") conflict.value = true;
  if (error.problem.faults) told.value = { plan: plan.peek(), faults: error.problem.faults };
}

// -- trying and saving ------------------------------------------------------------------------------------------------

/** Ask what the draft would come to, with its effect on limits. `torrentsOf`: id of a rule whose torrents are listed. */
export async function preview(signal?: AbortSignal, torrentsOf = ""): Promise<Trial> {
  const tried = plan.peek();
  try {
    const trial = await tryEdits(tried.edits, file.peek()?.etag ?? "", true, signal, torrentsOf);
    told.value = { plan: tried, faults: trial.faults };
    return trial;
  } catch (error) {
    noteConflict(error);
    throw error;
  }
}

/** Write the draft. The file is read again after that. */
export async function save(): Promise<Saved> {
  try {
    const saved = await saveEdits(plan.peek().edits, file.peek()?.etag ?? "");
    discard();
    await load();
    return saved;
  } catch (error) {
    noteConflict(error);
    throw error;
  }
}

/** Write these settings alone; the draft stays. */
export async function saveOnly(settings: Draft["settings"]): Promise<Saved> {
  const known = file.peek();
  const alone = { ...EMPTY, settings };
  const saved = await saveEdits(known ? planOf(alone, known).edits : [], known?.etag ?? "");
  await load();
  return saved;
}

/** Write some of the changed settings; the rest of the draft stays. */
export async function savePart(belongs: (name: string) => boolean): Promise<Saved> {
  const mine = Object.entries(draft.peek().settings).filter(([name]) => belongs(name));
  const rest = Object.entries(draft.peek().settings).filter(([name]) => !belongs(name));
  try {
    const known = file.peek();
    const alone = { ...EMPTY, settings: Object.fromEntries(mine) };
    const saved = await saveEdits(known ? planOf(alone, known).edits : [], known?.etag ?? "");
    draft.value = { ...draft.peek(), settings: Object.fromEntries(rest) };
    if (changes.peek() === 0) draft.value = EMPTY;
    await load();
    return saved;
  } catch (error) {
    noteConflict(error);
    throw error;
  }
}

export async function undo(): Promise<Saved> {
  try {
    const saved = await undoSave(file.peek()?.etag ?? "");
    await load();
    return saved;
  } catch (error) {
    if (error instanceof ApiError && error.kind === "config-changed") await load();
    throw error;
  }
}

// -- while one types --------------------------------------------------------------------------------------------------

const asked = computed(() => JSON.stringify(plan.value.edits));

effect(() => {
  const edits = asked.value;
  const etag = file.value?.etag;
  if (edits === "[]" || etag === undefined || conflict.value) {
    checking.value = false;
    checkError.value = null;
    if (edits === "[]") told.value = { plan: NO_PLAN, faults: [] };
    return;
  }
  checking.value = true;
  const aborter = new AbortController();
  const timer = setTimeout(() => void check(etag, aborter.signal), CHECK_AFTER_MS);
  return () => {
    clearTimeout(timer);
    aborter.abort();
  };
});

async function check(etag: string, signal: AbortSignal): Promise<void> {
  const tried = plan.peek();
  try {
    const trial = await tryEdits(tried.edits, etag, false, signal);
    if (signal.aborted) return;
    batch(() => {
      told.value = { plan: tried, faults: trial.faults };
      checkError.value = null;
      checking.value = false;
    });
  } catch (error) {
    if (signal.aborted) return;
    noteConflict(error);
    batch(() => {
      checkError.value = error instanceof ApiError && error.kind === "config-changed" ? null : error;
      checking.value = false;
    });
  }
}

effect(() => {
  if (changes.value === 0) return;
  const ask = (event: BeforeUnloadEvent) => event.preventDefault();
  addEventListener("beforeunload", ask);
  return () => removeEventListener("beforeunload", ask);
});
