/** Arithmetic of dragging and typing. */

/** Where a row that is dragged to `y` would stand. `middles`: of all rows that can move, from top to bottom. */
export function targetOf(middles: readonly number[], from: number, y: number): number {
  let to = from;
  while (to < middles.length - 1 && y > (middles[to + 1] ?? Infinity)) to += 1;
  if (to > from) return to;
  while (to > 0 && y < (middles[to - 1] ?? -Infinity)) to -= 1;
  return to;
}

/** A number alone as a speed: in the unit that figures are shown in. Anything else stays as it is. */
export function withUnit(typed: string, unit: string): string {
  return /^\s*\d+([.,]\d+)?\s*$/.test(typed) ? `${typed.trim().replace(",", ".")} ${unit}` : typed;
}
