/** What a group uploaded, as a row for each day or month of a stretch, with those in which it uploaded nothing. */

import type { Usage } from "../../api/types.gen";

export const STEPS = { day: 31, month: 12 } as const;
export type Step = keyof typeof STEPS;

/** A day as the API writes it. */
export const dayText = (at: Date) =>
  `${at.getFullYear()}-${String(at.getMonth() + 1).padStart(2, "0")}-${String(at.getDate()).padStart(2, "0")}`;

/** The first day that is shown. */
export function firstDay(step: Step, today: Date): string {
  const first = new Date(today);
  if (step === "day") first.setDate(first.getDate() - STEPS.day + 1);
  else first.setMonth(first.getMonth() - STEPS.month + 1, 1);
  return dayText(first);
}

export interface Stretch {
  /** `2026-11-30` or `2026-11`. */
  readonly start: string;
  /** Noon of its first day where the browser is, Unix seconds. */
  readonly at: number;
  readonly bytes: number;
}

/** All stretches from one day to another, both included. */
export function stretches(rows: readonly Usage[], first: string, last: string, step: Step): Stretch[] {
  const amounts = new Map<string, number>();
  for (const row of rows) amounts.set(row.start, (amounts.get(row.start) ?? 0) + row.bytes);
  const found: Stretch[] = [];
  const [year = 0, month = 1, day = 1] = first.split("-").map(Number);
  const at = new Date(year, month - 1, step === "day" ? day : 1, 12);
  for (let left = 1000; left > 0; left--) {
    const start = step === "day" ? dayText(at) : dayText(at).slice(0, 7);
    if (start > last.slice(0, start.length)) break;
    found.push({ start, at: at.getTime() / 1000, bytes: amounts.get(start) ?? 0 });
    if (step === "day") at.setDate(at.getDate() + 1);
    else at.setMonth(at.getMonth() + 1);
  }
  return found;
}
