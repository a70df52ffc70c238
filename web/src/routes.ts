/** The address behind `#`: which page, and its parameters. It works under any base path. */

import { signal } from "@preact/signals";

export const PAGES = ["overview", "torrents", "trackers", "journal", "settings", "setup"] as const;
export type PageName = (typeof PAGES)[number];
export type Params = Readonly<Record<string, string>>;

export interface Route {
  readonly page: PageName;
  readonly params: Params;
}

/** Read an address such as `#/torrents?tracker=x`. An unknown page is the overview. */
export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#?\/?/, "").split("?", 2);
  const page = PAGES.find((name) => name === path) ?? "overview";
  return { page, params: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a page, for `href`. Empty parameters are left out. */
export function href(page: PageName, params: Params = {}): string {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== "")).toString();
  return `#/${page === "overview" ? "" : page}${query && `?${query}`}`;
}

/** Where we are. */
export const route = signal<Route>(parse(location.hash));
/** Whether the person has moved since the page was loaded: then the heading takes the focus. */
export let moved = false;

addEventListener("hashchange", () => {
  const next = parse(location.hash);
  moved ||= next.page !== route.peek().page;
  route.value = next;
});

/** Go to a page. `replace`: as a filter does, without a step for the browser's Back. */
export function go(page: PageName, params: Params = {}, { replace = false } = {}): void {
  const address = href(page, params);
  if (!replace) {
    location.hash = address;
    return;
  }
  history.replaceState(null, "", address);
  route.value = parse(address);
}
