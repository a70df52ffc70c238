/** The frame of each page: its heading, which takes the focus after a change of page, and its buttons. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import { moved } from "../routes";

interface PageProps {
  title: string;
  /** Buttons and choices beside the heading. */
  actions?: ComponentChildren;
  children: ComponentChildren;
}

export function Page({ title, actions, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (!moved) return;
    scrollTo(0, 0);
    heading.current?.focus({ preventScroll: true });
  }, []);
  useEffect(() => {
    document.title = `${title} · ${t("app.name")}`;
  }, [title]);
  return (
    <div class="page">
      <div class="page-head">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {actions !== undefined && <div class="row push">{actions}</div>}
      </div>
      {children}
    </div>
  );
}
