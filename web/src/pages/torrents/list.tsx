/** The rows themselves. Only those in sight are in the page; arrow keys move, Enter opens, Space chooses. */

import type { Signal } from "@preact/signals";
import type { RefObject } from "preact";
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { status } from "../../api/live";
import { announces } from "../../choices";
import { t } from "../../i18n";
import { Icon } from "../../ui/icon";
import { keyOf } from "../../torrent-key";
import { COLUMNS, isUpwards, type Column, type Listing } from "./listing";
import type { TorrentPages } from "./pages";
import { TorrentLine } from "./row";
import { useRows } from "./rows";
import { chooseAll, told } from "./selected";
import { MOST_CHOSEN, type Selection } from "./selection";
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
  selection: Selection;
  listing: Listing;
  /** Key of the torrent that is looked at closely; empty: none. */
  open: string;
  onOpen: (torrent: string, replace?: boolean) => void;
  onSort: (sort: Column, descending: boolean) => void;
  onTop: (isAtTop: boolean) => void;
  /** Key of the torrent whose row takes the focus. */
  focusAfter: Signal<string>;
}

export function TorrentList(props: ListProps) {
  const { grid, pages, selection, listing, open, onOpen, onSort, onTop, focusAfter } = props;
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
    place.current?.querySelector<HTMLElement>(`[data-torrent="${wanted}"]`)?.focus({ preventScroll: true });
  });

  const followTimer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(followTimer.current), []);
  const move = (index: number, extending: boolean) => {
    const next = Math.max(0, Math.min(count - 1, index));
    if (extending) {
      selection.begin(current, pages.orderedAt);
      void told(selection.extend(next, pages.orderedAt));
    }
    setCurrent(next);
    takeFocus.current = true;
    if (next === 0) scrollTo(0, 0);
    else virtualizer.scrollToIndex(next, { align: "auto" });
    if (open === "" || extending) return;
    clearTimeout(followTimer.current);
    followTimer.current = setTimeout(() => {
      const row = pages.row(next);
      if (row) onOpen(keyOf(row), true);
    }, FOLLOW_MS);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.altKey) return;
    if (event.ctrlKey || event.metaKey) {
      if (event.key !== "a") return;
      event.preventDefault();
      void chooseAll(selection, pages.total ?? 0);
      return;
    }
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
    if (to !== undefined) move(to, event.shiftKey);
    else if (event.key === "Enter" && row) onOpen(keyOf(row));
    else if (event.key === " " && row) selection.toggle(current, keyOf(row), pages.orderedAt);
    else if (event.key === "Escape" && selection.chosen.peek().size > 0) selection.clear();
    else return;
    event.preventDefault();
  };
  const onRow = useCallback(
    (index: number, torrent: string) => {
      setCurrent(index);
      onOpen(torrent);
    },
    [onOpen],
  );
  const onChoose = useCallback(
    (index: number, torrent: string, extending: boolean) => {
      setCurrent(index);
      if (extending) void told(selection.extend(index, pages.orderedAt));
      else selection.toggle(index, torrent, pages.orderedAt);
    },
    [selection, pages],
  );
  const chosen = selection.chosen.value;
  const budgets = announces.value === "shown";

  const trackers = new Map((status.value?.trackers ?? []).map((row) => [row.id, row]));
  return (
    <div
      ref={grid}
      class={`torrents-list num ${form} ${pages.isOutdated ? "outdated" : ""} ${budgets ? "budgets" : ""}`}
      role="grid"
      aria-label={t("torrents.list")}
      aria-rowcount={pages.total === null ? -1 : count + 1}
      aria-colcount={COLUMNS.length + (budgets ? 2 : 1)}
      aria-multiselectable="true"
      aria-busy={pages.total === null || pages.isOutdated}
    >
      <div class="torrents-head" role="rowgroup">
        <div role="row" aria-rowindex={1}>
          <Choice
            chosen={chosen.size}
            total={pages.total ?? 0}
            busy={selection.busy.value}
            plain={form === "cards"}
            onAll={() => void chooseAll(selection, pages.total ?? 0)}
            onNone={() => selection.clear()}
          />
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
          {budgets && (
            <div class="torrents-announce end" role="columnheader" aria-colindex={COLUMNS.length + 2}>
              {t("budget.column")}
            </div>
          )}
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
              budgets={budgets}
              isCurrent={item.index === Math.min(current, count - 1)}
              isOpen={row !== undefined && keyOf(row) === open}
              isChosen={row !== undefined && chosen.has(keyOf(row))}
              onRow={onRow}
              onChoose={onChoose}
            />
          );
        })}
      </div>
    </div>
  );
}

interface ChoiceProps {
  /** Number of torrents that are chosen. */
  chosen: number;
  total: number;
  busy: boolean;
  /** All are chosen elsewhere. */
  plain: boolean;
  onAll: () => void;
  onNone: () => void;
}

/** Head of the column of boxes: choose all, or none. */
function Choice({ chosen, total, busy, plain, onAll, onNone }: ChoiceProps) {
  return (
    <div class="torrents-choice" role="columnheader" aria-colindex={1}>
      {plain ? (
        t("torrents.selection")
      ) : (
        <label>
          <input
            type="checkbox"
            aria-label={t("torrents.selectAll")}
            title={
              chosen === 0 && total > MOST_CHOSEN ? t("torrents.tooMany", { n: MOST_CHOSEN }) : t("torrents.selectAll")
            }
            aria-busy={busy}
            disabled={chosen === 0 && total > MOST_CHOSEN}
            checked={total > 0 && chosen >= total}
            indeterminate={chosen > 0 && chosen < total}
            onClick={chosen > 0 ? onNone : onAll}
          />
        </label>
      )}
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
      aria-colindex={index + 2}
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
