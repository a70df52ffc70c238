/** Torrents that are chosen, one by one, from one to another, or all of the list. */

import { signal } from "@preact/signals";

/** Most torrents at once, as the API takes them. */
export const MOST_CHOSEN = 1000;

/** Keys of the rows from one place to another, in the order of the list. */
type Keys = (first: number, last: number) => Promise<readonly string[]>;

interface Anchor {
  readonly index: number;
  /** When the order of the list was made; in another order the place says nothing. */
  readonly order: number;
  /** What was chosen beside the stretch that begins here. */
  readonly beside: ReadonlySet<string>;
}

export class Selection {
  readonly chosen = signal<ReadonlySet<string>>(new Set());
  /** Whether keys of rows are being fetched. */
  readonly busy = signal(false);

  private readonly keys: Keys;
  private anchor: Anchor | null = null;
  private turn = 0;

  constructor(keys: Keys) {
    this.keys = keys;
  }

  /** Choose this one, or no longer; a stretch begins here. */
  toggle(index: number, key: string, order: number): void {
    this.end();
    const next = new Set(this.chosen.peek());
    if (!next.delete(key) && next.size < MOST_CHOSEN) next.add(key);
    this.chosen.value = next;
    this.anchor = { index, order, beside: next };
  }

  /** Let a stretch begin here, unless one has begun in this order. */
  begin(index: number, order: number): void {
    if (this.anchor?.order !== order) this.anchor = { index, order, beside: this.chosen.peek() };
  }

  /** Choose all from where the stretch began to here. False if these are too many. */
  async extend(index: number, order: number): Promise<boolean> {
    this.begin(index, order);
    const anchor = this.anchor;
    if (anchor === null) return true;
    return this.take(Math.min(anchor.index, index), Math.max(anchor.index, index), anchor.beside);
  }

  /** Choose all `total` rows. False if these are too many. */
  async all(total: number): Promise<boolean> {
    this.anchor = null;
    return total === 0 || this.take(0, total - 1, new Set());
  }

  clear(): void {
    this.end();
    this.anchor = null;
    if (this.chosen.peek().size > 0) this.chosen.value = new Set();
  }

  private async take(first: number, last: number, beside: ReadonlySet<string>): Promise<boolean> {
    this.end();
    if (last - first >= MOST_CHOSEN) return false;
    const turn = this.turn;
    this.busy.value = true;
    try {
      const found = await this.keys(first, last);
      if (turn !== this.turn) return true; // another wish came meanwhile
      const next = new Set([...beside, ...found]);
      if (next.size > MOST_CHOSEN) return false;
      this.chosen.value = next;
      return true;
    } finally {
      if (turn === this.turn) this.busy.value = false;
    }
  }

  private end(): void {
    this.turn += 1;
    this.busy.value = false;
  }
}
