/** The rows themselves. Only those in sight are in the page; arrow keys move, Enter opens. */

import type { Signal } from "@preact/signals";
import type { RefObject } from "preact";
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { status } from "../../api/live";
import { t } from "../../i18n";
import { Icon } from "../../ui/icon";
import { COLUMNS, isUpwards, type Column, type Listing } from "./listing";
import type { TorrentPages } from "./pages";
import { TorrentLine } from "./row";
import { useRows } from "./rows";
import { reasonOf } from "./words";

/** Width of the list below which rows are cards, and below which columns are left out, pixels. */
const CARDS_BELOW = 620;
const FEW_BELOW = 940;
const ROW = 36;
const CARD = 96;
const HEAD = 34;
const FOLLOW_MS = 150;
const NUMBERS: readonly Column[] = ["rate", "demand", "limit", "original"];

interface ListProps {
  grid: RefObject<HTMLDivElement | null>;
  pages: TorrentPages;
  listing: Listing;
  /** Hash of the torrent that is looked at closely; empty: none. */
  open: string;
  onOpen: (hash: string, replace?: boolean) => void;
  onSort: (sort: Column, descending: boolean) => void;
  onTop: (isAtTop: boolean) => void;
  /** Hash of the torrent whose row takes the focus. */
  focusAfter: Signal<string>;
}

export function TorrentList({ grid, pages, listing, open, onOpen, onSort, onTop, focusAfter }: ListProps) {
  const [width, setWidth] = useState(CARDS_BELOW);
  useLayoutEffect(() => {
    const element = grid.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    setWidth(element.clientWidth);
    return () => observer.disconnect();
  }, [grid]);
  void pages.version.value;
  const form = width < CARDS_BELOW ? "cards" : width < FEW_BELOW ? "few" : "all";
  const size = form === "cards" ? CARD : ROW;
  const count = pages.total ?? Math.ceil(innerHeight / size);
  const [current, setCurrent] = useState(0);
  const [held, setHeld] = useState(false);
  const covered = [edge("--header") + (form === "cards" ? 0 : HEAD), edge("--tabs")] as const;
  const { place, virtualizer, top } = useRows({ count, size, pinned: held ? current : -1, covered });

  const items = virtualizer.getVirtualItems();
  const range = virtualizer.range;
  const first = range?.startIndex ?? 0;
  const last = range?.endIndex ?? 0;
  useEffect(() => {
    pages.see(first, last);
    onTop(first <= 1);
  });
  useEffect(() => setCurrent(0), [listing.search, listing.sort, listing.descending]);

  const takeFocus = useRef(false);
  useEffect(() => {
    if (!takeFocus.current) return;
    const row = place.current?.querySelector<HTMLElement>(`[aria-rowindex="${current + 2}"]`);
    if (!row) return;
    takeFocus.current = false;
    row.focus({ preventScroll: true });
  });
  useEffect(() => {
    const wanted = focusAfter.value;
    if (wanted === "" || open !== "") return;
    focusAfter.value = "";
    place.current?.querySelector<HTMLElement>(`[data-hash="${wanted}"]`)?.focus({ preventScroll: true });
  });

  const followTimer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(followTimer.current), []);
  const move = (index: number) => {
    const next = Math.max(0, Math.min(count - 1, index));
    setCurrent(next);
    takeFocus.current = true;
    if (next === 0) scrollTo(0, 0);
    else virtualizer.scrollToIndex(next, { align: "auto" });
    if (open === "") return;
    clearTimeout(followTimer.current);
    followTimer.current = setTimeout(() => {
      const row = pages.row(next);
      if (row) onOpen(row.hash, true);
    }, FOLLOW_MS);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const screenful = Math.max(1, last - first - 2);
    const steps: Readonly<Record<string, number>> = {
      ArrowDown: current + 1,
      ArrowUp: current - 1,
      PageDown: current + screenful,
      PageUp: current - screenful,
      Home: 0,
      End: count - 1,
    };
    const to = steps[event.key];
    const row = pages.row(current);
    if (to !== undefined) move(to);
    else if ((event.key === "Enter" || event.key === " ") && row) onOpen(row.hash);
    else return;
    event.preventDefault();
  };
  const onRow = useCallback(
    (index: number, hash: string) => {
      setCurrent(index);
      onOpen(hash);
    },
    [onOpen],
  );

  const trackers = new Map((status.value?.trackers ?? []).map((row) => [row.id, row]));
  return (
    <div
      ref={grid}
      class={`torrents-list num ${form} ${pages.isOutdated ? "outdated" : ""}`}
      role="grid"
      aria-label={t("torrents.list")}
      aria-rowcount={pages.total === null ? -1 : count + 1}
      aria-colcount={COLUMNS.length}
      aria-busy={pages.total === null || pages.isOutdated}
    >
      <div class="torrents-head" role="rowgroup">
        <div role="row" aria-rowindex={1}>
          {COLUMNS.map((column, index) => (
            <Head
              key={column}
              column={column}
              index={index}
              listing={listing}
              plain={form === "cards"}
              onSort={onSort}
            />
          ))}
        </div>
      </div>
      <div
        ref={place}
        class="torrents-rows"
        role="rowgroup"
        style={{ height: `${virtualizer.getTotalSize()}px` }}
        onKeyDown={onKeyDown}
        onFocusIn={() => setHeld(true)}
        onFocusOut={() => setHeld(false)}
      >
        {items.map((item) => {
          const row = pages.row(item.index);
          const tracker = row && trackers.get(row.tracker);
          return (
            <TorrentLine
              key={item.index}
              row={row}
              tracker={tracker?.name ?? row?.tracker ?? ""}
              reason={row === undefined ? "" : reasonOf(row, tracker)}
              index={item.index}
              top={item.start - top}
              isCurrent={item.index === Math.min(current, count - 1)}
              isOpen={row !== undefined && row.hash === open}
              onRow={onRow}
            />
          );
        })}
      </div>
    </div>
  );
}

interface HeadProps {
  column: Column;
  index: number;
  listing: Listing;
  /** Sorting is among the filters. */
  plain: boolean;
  onSort: (sort: Column, descending: boolean) => void;
}

function Head({ column, index, listing, plain, onSort }: HeadProps) {
  const isSorted = listing.sort === column;
  const descending = isSorted ? !listing.descending : !isUpwards(column);
  const label = t(`torrents.column.${column}`);
  return (
    <div
      class={`torrents-${column} ${NUMBERS.includes(column) ? "end" : ""}`}
      role="columnheader"
      aria-colindex={index + 1}
      aria-sort={isSorted ? (listing.descending ? "descending" : "ascending") : "none"}
    >
      {plain ? (
        label
      ) : (
        <button
          type="button"
          title={t(descending ? "torrents.sortDesc" : "torrents.sortAsc", { column: label })}
          onClick={() => onSort(column, descending)}
        >
          {label}
          {isSorted && <Icon name={listing.descending ? "down" : "up"} />}
        </button>
      )}
    </div>
  );
}

/** The value of a custom property, pixels. */
function edge(name: string): number {
  const style = getComputedStyle(document.documentElement);
  const value = style.getPropertyValue(name).trim();
  return parseFloat(value) * (value.endsWith("rem") ? parseFloat(style.fontSize) : 1) || 0;
}
