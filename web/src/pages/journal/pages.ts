/** The lines of the journal that are shown: the newest page, and older ones on demand. */

import { useEffect, useRef, useState } from "preact/hooks";
import { getJournal } from "../../api/client";
import { connects, now } from "../../api/live";
import type { JournalRow } from "../../api/types.gen";
import { queryOf, type Filters } from "./filters";

const PAGE = 100;

export interface Pages {
  /** Newest first; undefined before the first answer. */
  readonly lines: readonly JournalRow[] | undefined;
  /** There are older ones. */
  readonly more: boolean;
  readonly loading: boolean;
  readonly error: unknown;
  /** Begin with the newest line again. */
  readonly again: () => void;
  readonly older: () => void;
}

interface Loaded {
  readonly key: string;
  readonly lines: readonly JournalRow[];
  readonly next: number | null;
}

/** Changes that pass the filters. They are asked for again when a filter changes, and after a lost connection. */
export function useJournal(wanted: Filters): Pages {
  const [loaded, setLoaded] = useState<Loaded>();
  const [loading, setLoading] = useState(true);
  const [error, setError] = useState<unknown>(null);
  const [turn, setTurn] = useState(0);
  const aborter = useRef<AbortController>(undefined);
  const key = JSON.stringify(wanted);

  const fetch = (begun: Loaded | undefined) => {
    aborter.current?.abort();
    const mine = (aborter.current = new AbortController());
    setLoading(true);
    setError(null);
    const before = begun?.next ?? null;
    const query = { ...queryOf(wanted, Math.floor(now.peek())), limit: PAGE, ...(before && { before_id: before }) };
    getJournal(query, mine.signal).then(
      (page) => {
        if (mine.signal.aborted) return;
        setLoaded({ key, lines: [...(begun?.lines ?? []), ...page.lines], next: page.next_before_id });
        setLoading(false);
      },
      (failure: unknown) => {
        if (mine.signal.aborted) return;
        setError(failure);
        setLoading(false);
      },
    );
  };
  useEffect(() => {
    fetch(undefined);
    return () => aborter.current?.abort();
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `wanted` is what `key` says
  }, [key, turn, connects.value]);
  return {
    lines: loaded?.lines,
    more: loaded?.key === key && loaded.next !== null,
    loading,
    error,
    again: () => setTurn((last) => last + 1),
    older: () => {
      if (loaded?.key === key && !loading) fetch(loaded);
    },
  };
}
