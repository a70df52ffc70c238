/** All torrents: searched, filtered, sorted, and one of them closely. */

import { useSignal } from "@preact/signals";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { getTorrents } from "../../api/client";
import { status } from "../../api/live";
import { announces } from "../../choices";
import { t } from "../../i18n";
import { go, route } from "../../routes";
import { Failure, Notice } from "../../ui/notice";
import { Page } from "../../ui/page";
import { clockSeconds } from "../../units";
import { Detail } from "./detail";
import { Filters } from "./filters";
import { TorrentList } from "./list";
import { isFiltered, listingOf, paramsOf, queryOf, type Listing } from "./listing";
import { TorrentPages } from "./pages";
import { Selected } from "./selected";
import { Selection } from "./selection";
import "./torrents.css";

const REFRESH_MS = 2500;
const REORDER_MS = 6000;
/** An order older than this is said to be so. */
const OLD_ORDER_MS = 30_000;

export default function Torrents() {
  const { params } = route.value;
  const listing = listingOf(params);
  const open = params["open"] ?? "";
  const [pages] = useState(() => new TorrentPages(getTorrents));
  const [selection] = useState(() => new Selection((first, last) => pages.keys(first, last)));
  const atTop = useRef(true);
  const grid = useRef<HTMLDivElement>(null);
  const wasOpened = useRef(false);
  const focusAfter = useSignal("");
  void pages.version.value;

  const key = JSON.stringify(queryOf(listing));
  useEffect(() => {
    pages.show(queryOf(listing));
    // eslint-disable-next-line react-hooks/exhaustive-deps -- `key` is what is asked
  }, [pages, key]);
  useEffect(() => () => pages.close(), [pages]);
  // Nobody acts on torrents that the list does not show any more.
  const { search, tracker, instance, state, limited, byHand } = listing;
  useEffect(() => selection.clear(), [selection, search, tracker, instance, state, limited, byHand]);

  // With each cycle, not more often than people can read.
  const refreshedAt = useRef(0);
  useEffect(
    () =>
      status.subscribe((known) => {
        const at = Date.now();
        if (known === null || document.hidden || at - refreshedAt.current < REFRESH_MS) return;
        refreshedAt.current = at;
        // Nothing changes places under a pointer's or a reader's feet.
        const still = atTop.current && !grid.current?.contains(document.activeElement) && !isOpen.current;
        pages.refresh(still && selection.chosen.peek().size === 0 && at - pages.orderedAt > REORDER_MS);
      }),
    [pages, selection],
  );
  const isOpen = useRef(false);
  isOpen.current = open !== "";

  const show = (changes: Partial<Listing>) => {
    scrollTo(0, 0);
    const next = paramsOf({ ...listing, ...changes });
    go("torrents", { ...next, open }, { replace: true });
  };
  const openOne = useCallback((torrent: string, replace = false) => {
    const now = route.peek().params;
    wasOpened.current ||= !replace && !now["open"];
    go("torrents", { ...now, open: torrent }, { replace: replace || Boolean(now["open"]) });
  }, []);
  const close = () => {
    focusAfter.value = open;
    if (wasOpened.current) history.back();
    else go("torrents", { ...params, open: "" }, { replace: true });
    wasOpened.current = false;
  };

  const orderIsOld = pages.orderedAt > 0 && Date.now() - pages.orderedAt > OLD_ORDER_MS;
  return (
    <Page title={t("torrents.title")}>
      <div class={`torrents ${open === "" ? "" : "open"}`}>
        <div class="torrents-main">
          <Filters listing={listing} onChange={show} />
          {pages.error !== null && <Failure error={pages.error} again={() => pages.again()} />}
          <div class="row torrents-count">
            <p role="status" aria-live="polite">
              {pages.total === null ? t("app.loading") : t("torrents.count", { n: pages.total })}
              {pages.unnamed > 0 && ` · ${t("torrents.naming", { n: pages.unnamed })}`}
            </p>
            {(announces.value === "shown" || pages.knowsAnnounces) && (
              <label class="torrents-column">
                <input
                  type="checkbox"
                  checked={announces.value === "shown"}
                  onChange={(event) => (announces.value = event.currentTarget.checked ? "shown" : "hidden")}
                />
                {t("budget.column")}
              </label>
            )}
            {orderIsOld && (
              <>
                <span class="muted">{t("torrents.orderedAt", { time: clockSeconds(pages.orderedAt / 1000) })}</span>
                <button type="button" class="button quiet small" onClick={() => pages.refresh(true)}>
                  {t("torrents.sortAnew")}
                </button>
              </>
            )}
          </div>
          {pages.total === 0 ? (
            <Notice tone="info">
              <p>{isFiltered(listing) ? t("torrents.noneFound") : t("torrents.none")}</p>
            </Notice>
          ) : (
            <TorrentList
              grid={grid}
              pages={pages}
              selection={selection}
              listing={listing}
              open={open}
              onOpen={openOne}
              onSort={(sort, descending) => show({ sort, descending })}
              onTop={(top) => (atTop.current = top)}
              focusAfter={focusAfter}
            />
          )}
          <Selected selection={selection} total={pages.total ?? 0} onDone={() => pages.refresh(false)} />
        </div>
        {open !== "" && <Detail key={open} torrent={open} onClose={close} />}
      </div>
    </Page>
  );
}
