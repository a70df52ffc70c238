/** Which torrents a group takes, as rows of conditions: read out of its entry in the file, and put into it again. */

/** A value of the file. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };
export type Mapping = { readonly [key: string]: Json };

/** Fields that select torrents, besides the pattern of announce URLs. */
export const FIELDS = [
  "category",
  "tags",
  "private",
  "state",
  "ratio",
  "age",
  "size",
  "torrent_name",
  "instance",
] as const;
export type Field = (typeof FIELDS)[number];
export type Op = "any" | "is" | "above" | "below" | "matches";

export interface Condition {
  readonly field: Field | "pattern";
  readonly op: Op;
  /** Several for `any`. */
  readonly value: string | readonly string[];
}

const KINDS: Readonly<Record<Condition["field"], readonly Op[]>> = {
  pattern: ["matches"],
  category: ["any"],
  tags: ["any"],
  private: ["is"],
  state: ["is"],
  ratio: ["above", "below"],
  age: ["above", "below"],
  size: ["above", "below"],
  torrent_name: ["matches"],
  instance: ["any"],
};
/** Values that can be chosen. */
export const CHOICES: Readonly<Partial<Record<Condition["field"], readonly string[]>>> = {
  private: ["true", "false"],
  state: ["seeding", "downloading"],
};

export const opsOf = (field: Condition["field"]) => KINDS[field];

/** A value in a field of text; one that is not set is empty. */
export function textOf(value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** A mapping without one of its keys. */
export function without(mapping: Mapping, key: string): Mapping {
  return Object.fromEntries(Object.entries(mapping).filter(([name]) => name !== key));
}

/** The rows of an entry, or of what stands behind `not`. */
export function conditionsOf(entry: Mapping, fields: readonly Condition["field"][] = FIELDS): Condition[] {
  return fields.flatMap((field): Condition[] => {
    const value = entry[field];
    if (value === undefined || value === null) return [];
    const ops = KINDS[field];
    if (ops.includes("any")) {
      return [{ field, op: "any", value: (Array.isArray(value) ? (value as readonly Json[]) : [value]).map(textOf) }];
    }
    if (!ops.includes("above")) return [{ field, op: ops[0] ?? "is", value: textOf(value) }];
    if (typeof value !== "object") return [{ field, op: "above", value: textOf(value) }];
    return ops.flatMap((op) => {
      const bound = (value as Mapping)[op];
      return bound === undefined || bound === null ? [] : [{ field, op, value: textOf(bound) }];
    });
  });
}

/** A text as a number where it is one, so that the file has no needless quotes. */
function scalar(text: string): Json {
  const trimmed = text.trim();
  if (trimmed === "true" || trimmed === "false") return trimmed === "true";
  return /^\d+(\.\d+)?$/.test(trimmed) ? Number(trimmed) : trimmed;
}

/** The entry's fields for these rows. Rows without a value are left out. */
export function mappingOf(conditions: readonly Condition[]): Mapping {
  const found: Record<string, Json> = {};
  for (const { field, op, value } of conditions) {
    if (typeof value !== "string") {
      if (value.length > 0) found[field] = [...value];
    } else if (value.trim() === "") continue;
    else if (op === "above" || op === "below") {
      found[field] = { ...((found[field] as Mapping | undefined) ?? {}), [op]: scalar(value) };
    } else found[field] = op === "matches" || op === "any" ? value : scalar(value);
  }
  return found;
}

/** What can still be asked, as field and operator: each once. */
export function freeOf(
  conditions: readonly Condition[],
  fields: readonly Condition["field"][],
): Pick<Condition, "field" | "op">[] {
  return fields.flatMap((field) =>
    KINDS[field]
      .filter((op) => !conditions.some((one) => one.field === field && one.op === op))
      .map((op) => ({ field, op })),
  );
}

/** An empty row. */
export function emptyOf({ field, op }: Pick<Condition, "field" | "op">): Condition {
  return { field, op, value: op === "any" ? [] : (CHOICES[field]?.[0] ?? "") };
}

/** What stands behind `not`: a mapping, or a list of them. */
export function exceptionsOf(value: Json | undefined): Mapping[] {
  const all = Array.isArray(value) ? (value as readonly Json[]) : value === undefined || value === null ? [] : [value];
  return all.filter((one): one is Mapping => typeof one === "object" && one !== null && !Array.isArray(one));
}

/** The value of `not`; null if there are no exceptions. */
export function notOf(exceptions: readonly Mapping[]): Json {
  const kept = exceptions.filter((one) => Object.keys(one).length > 0);
  return kept.length === 0 ? null : kept.length === 1 ? (kept[0] ?? null) : kept;
}
