/** A call whose answer a component shows. */

import { useCallback, useEffect, useState } from "preact/hooks";

export interface Called<T> {
  /** The newest answer; undefined before the first. It stays while another one is fetched. */
  readonly data: T | undefined;
  readonly error: unknown;
  readonly loading: boolean;
  /** Ask once more. */
  readonly again: () => void;
}

/**
 * Ask when the component is shown, when one of `keys` changes, and each `everyMs` (0: not again) while the page can be
 * seen. `ask` is given a signal that ends calls whose answer nobody waits for.
 */
export function useCall<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  keys: readonly (string | number | boolean)[],
  everyMs = 0,
): Called<T> {
  const [state, setState] = useState<Omit<Called<T>, "again">>({ data: undefined, error: null, loading: true });
  const [turn, setTurn] = useState(0);
  const again = useCallback(() => setTurn((last) => last + 1), []);
  const key = JSON.stringify(keys);
  useEffect(() => {
    const aborter = new AbortController();
    setState((last) => ({ ...last, loading: true }));
    ask(aborter.signal).then(
      (data) => !aborter.signal.aborted && setState({ data, error: null, loading: false }),
      (error: unknown) => !aborter.signal.aborted && setState((last) => ({ data: last.data, error, loading: false })),
    );
    return () => aborter.abort();
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `ask` is what `keys` say
  }, [key, turn]);
  useEffect(() => {
    if (everyMs === 0) return;
    const timer = setInterval(() => !document.hidden && again(), everyMs);
    return () => clearInterval(timer);
  }, [everyMs, again]);
  return { ...state, again };
}
