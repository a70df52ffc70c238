/**
 * The rows of a long list, fetched page by page as they come into sight.
 *
 * The server keeps the order of a list under a name, its *view*: pages of one view fit together while torrents come, go
 * and change. A new view replaces rows as its pages arrive, so that nothing flickers.
 */

import { signal } from "@preact/signals";
import type { TorrentsQuery } from "../../api/client";
import type { TorrentPage, TorrentRow } from "../../api/types.gen";
import { keyOf } from "../../torrent-key";

export const PAGE_ROWS = 50;
const NEW_VIEW = "new";
const MOST_PAGES = 60;
const MOST_CALLS = 2;
const HASHES_A_CALL = 500;
const GATHER_MS = 40; // while one scrolls fast, pages that are passed are not asked for
const AGAIN_MS = 1000; // while names are being read

type Ask = (query: TorrentsQuery, signal: AbortSignal) => Promise<TorrentPage>;

interface Kept {
  readonly rows: readonly TorrentRow[];
  readonly view: string;
}

export class TorrentPages {
  /** Counts changes. Read it to be told. */
  readonly version = signal(0);
  /** Number of torrents; null before the first answer. */
  total: number | null = null;
  /** Number of torrents whose names are being read. */
  unnamed = 0;
  error: unknown = null;
  /** Another list was asked for, and rows are those of the list before. */
  isOutdated = false;
  /** When the order was made, milliseconds. */
  orderedAt = 0;

  private readonly ask: Ask;
  private query: TorrentsQuery = {};
  private pages = new Map<number, Kept>();
  private calls = new Set<number>();
  private view = NEW_VIEW;
  private first = 0;
  private last = 0;
  private aborter = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private againTimer: ReturnType<typeof setTimeout> | undefined;
  private refreshing = new Set<number>();

  constructor(ask: Ask) {
    this.ask = ask;
  }

  /** Whether the announce budget of some torrent is known, as far as they were fetched. */
  get knowsAnnounces(): boolean {
    return [...this.pages.values()].some(({ rows }) => rows.some((row) => row.announce));
  }

  /** The row at this place; undefined while it is fetched. */
  row(index: number): TorrentRow | undefined {
    return this.pages.get(Math.floor(index / PAGE_ROWS))?.rows[index % PAGE_ROWS];
  }

  /** Keys of rows from one place to another, in this order; asked for where they are not known. */
  async keys(first: number, last: number): Promise<readonly string[]> {
    const { signal } = this.aborter;
    const found: string[] = [];
    while (first + found.length <= last) {
      const known = this.row(first + found.length);
      if (known !== undefined) {
        found.push(keyOf(known));
        continue;
      }
      const offset = first + found.length;
      const limit = Math.min(HASHES_A_CALL, last - offset + 1);
      const { torrents } = await this.ask({ ...this.query, offset, limit, view: this.view, names: false }, signal);
      if (torrents.length === 0) break; // the list has become shorter
      found.push(...torrents.map(keyOf));
    }
    return found;
  }

  /** Show another list. Its rows replace those of the one before when the first of them arrive. */
  show(query: TorrentsQuery): void {
    this.query = query;
    this.isOutdated = true;
    this.first = this.last = 0;
    this.restart();
    this.fill();
  }

  /** Tell which rows can be seen. */
  see(first: number, last: number): void {
    if (this.isOutdated || (first === this.first && last === this.last)) return;
    this.first = first;
    this.last = last;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.fill(), GATHER_MS);
  }

  /** Fetch what can be seen once more. `reorder`: torrents may change places. */
  refresh(reorder: boolean): void {
    if (this.calls.size > 0) return; // the one before is still under way
    if (reorder) this.view = NEW_VIEW;
    for (const page of this.seen()) this.refreshing.add(page);
    this.fill();
  }

  /** Ask for all of it again, as after an error. */
  again(): void {
    this.restart();
    this.fill();
  }

  close(): void {
    this.aborter.abort();
    clearTimeout(this.timer);
    clearTimeout(this.againTimer);
  }

  private restart(): void {
    this.close();
    this.aborter = new AbortController();
    this.calls.clear();
    this.refreshing.clear();
    this.view = NEW_VIEW;
    this.error = null;
    this.version.value += 1;
  }

  private seen(): number[] {
    const end = Math.max(0, (this.total ?? 1) - 1); // the list may have become shorter than what was seen of it
    const [begin, last] = [this.first, this.last].map((index) => Math.floor(Math.min(index, end) / PAGE_ROWS));
    const from = begin ?? 0;
    return Array.from({ length: Math.max(0, (last ?? 0) - from) + 1 }, (_, index) => from + index);
  }

  private fill(): void {
    for (const page of this.seen()) {
      const kept = this.pages.get(page);
      const wanted = kept === undefined || kept.view !== this.view || this.refreshing.has(page);
      // The first page of a new view comes alone: it names the view that the others belong to.
      const room = this.view === NEW_VIEW ? this.calls.size === 0 : this.calls.size < MOST_CALLS;
      if (wanted && room && !this.calls.has(page)) void this.fetch(page);
    }
  }

  private async fetch(page: number): Promise<void> {
    const { signal } = this.aborter;
    this.calls.add(page);
    this.refreshing.delete(page);
    try {
      const query = { ...this.query, offset: page * PAGE_ROWS, limit: PAGE_ROWS, view: this.view };
      const found = await this.ask(query, signal);
      if (signal.aborted) return;
      this.take(page, found);
    } catch (error) {
      if (signal.aborted) return;
      this.error = error;
      this.calls.delete(page);
      this.version.value += 1;
      return; // the next refresh tries again
    }
    this.calls.delete(page);
    this.version.value += 1;
    this.fill();
  }

  private take(page: number, found: TorrentPage): void {
    if (this.isOutdated) this.pages.clear();
    if (found.view !== this.view) this.orderedAt = Date.now();
    this.isOutdated = false;
    this.error = null;
    this.view = found.view;
    this.total = found.total;
    this.unnamed = found.unnamed;
    this.pages.delete(page); // to the end of the map: it is the newest
    this.pages.set(page, { rows: found.torrents, view: found.view });
    const beyond = Math.ceil(found.total / PAGE_ROWS);
    for (const kept of [...this.pages.keys()]) {
      const tooMany = this.pages.size > MOST_PAGES && kept !== page && !this.seen().includes(kept);
      if (kept >= beyond || tooMany) this.pages.delete(kept);
    }
    clearTimeout(this.againTimer);
    if (found.unnamed > 0) this.againTimer = setTimeout(() => this.refresh(true), AGAIN_MS);
  }
}
