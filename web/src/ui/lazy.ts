/** A component that is loaded when it is first shown; undefined until then. */

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { sayError } from "./toasts";

export function useLazy<P>(load: () => Promise<{ default: ComponentType<P> }>): ComponentType<P> | undefined {
  const [found, setFound] = useState<{ component: ComponentType<P> } | null>(null);
  useEffect(() => {
    let gone = false;
    load().then((module) => !gone && setFound({ component: module.default }), sayError);
    return () => {
      gone = true;
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- loaded once
  }, []);
  return found?.component;
}
