/** Rows of one height in a window that scrolls: which of them to draw. */

import {
  defaultRangeExtractor,
  observeWindowOffset,
  observeWindowRect,
  Virtualizer,
  windowScroll,
  type VirtualizerOptions,
} from "@tanstack/virtual-core";
import { useLayoutEffect, useReducer, useRef, useState } from "preact/hooks";

interface RowsOptions {
  count: number;
  /** Height of a row, pixels. */
  size: number;
  /** A row that is drawn wherever it is, since it has the focus; -1 for none. */
  pinned: number;
  /** Height of what covers the upper and the lower edge of the window, pixels. */
  covered: readonly [number, number];
}

export function useRows({ count, size, pinned, covered }: RowsOptions) {
  const [, redraw] = useReducer<number, void>((turn) => turn + 1, 0);
  const place = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const options: VirtualizerOptions<Window, HTMLDivElement> = {
    count,
    estimateSize: () => size,
    getScrollElement: () => window,
    observeElementRect: observeWindowRect,
    observeElementOffset: observeWindowOffset,
    scrollToFn: windowScroll,
    initialOffset: () => window.scrollY,
    overscan: 8,
    scrollMargin: top,
    scrollPaddingStart: covered[0],
    scrollPaddingEnd: covered[1],
    rangeExtractor: (range) => {
      const found = defaultRangeExtractor(range);
      if (pinned < 0 || pinned >= count || found.includes(pinned)) return found;
      return [...found, pinned].sort((a, b) => a - b);
    },
    onChange: () => redraw(),
  };
  const [virtualizer] = useState(() => new Virtualizer(options));
  virtualizer.setOptions(options);
  useLayoutEffect(() => virtualizer._didMount(), [virtualizer]);
  useLayoutEffect(() => virtualizer.measure(), [virtualizer, size]);
  // eslint-disable-next-line react-hooks/exhaustive-deps -- what stands above may have moved for any reason
  useLayoutEffect(() => {
    virtualizer._willUpdate();
    const element = place.current;
    if (!element) return;
    const found = Math.round(element.getBoundingClientRect().top + scrollY);
    if (found !== top) setTop(found);
  });
  return { place, virtualizer, top };
}
