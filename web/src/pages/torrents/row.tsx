/** One torrent in the list, or the place of one that is fetched. */

import type { TorrentRow } from "../../api/types.gen";
import { t } from "../../i18n";
import { href, route } from "../../routes";
import { Icon } from "../../ui/icon";
import { bytes, percent, rate } from "../../units";
import { roomLeft, usedShare } from "./budget";
import { keyOf } from "../../torrent-key";
import { isByHand, nameOf, stateOf, STATE_ICONS } from "./words";

interface LineProps {
  row: TorrentRow | undefined;
  /** Name of its rule. */
  tracker: string;
  /** Why it has its limit, in words. */
  reason: string;
  index: number;
  /** Pixels from the beginning of the list. */
  top: number;
  /** Show announce budgets. */
  budgets: boolean;
  isCurrent: boolean;
  isOpen: boolean;
  isChosen: boolean;
  onRow: (index: number, torrent: string) => void;
  /** `extending`: all from where the stretch began to here. */
  onChoose: (index: number, torrent: string, extending: boolean) => void;
}

export function TorrentLine(props: LineProps) {
  const { row, tracker, reason, index, top, budgets, isCurrent, isOpen, isChosen, onRow, onChoose } = props;
  const place = { transform: `translateY(${top}px)` };
  if (row === undefined) {
    return (
      <div
        class="torrents-row waiting"
        role="row"
        aria-rowindex={index + 2}
        tabIndex={isCurrent ? 0 : -1}
        style={place}
      >
        <div class="torrents-name" role="gridcell" aria-colindex={2}>
          <i />
        </div>
      </div>
    );
  }
  const key = keyOf(row);
  const state = stateOf(row);
  return (
    <div
      class={`torrents-row ${isOpen ? "open" : ""} ${isChosen ? "chosen" : ""} ${state}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={isChosen}
      aria-current={isOpen ? "true" : undefined}
      data-torrent={key}
      tabIndex={isCurrent ? 0 : -1}
      style={place}
      onMouseDown={(event) => event.shiftKey && event.preventDefault()} // no text is marked
      onClick={(event) => {
        const { shiftKey, ctrlKey, metaKey, target } = event;
        const isLink = target instanceof Element && target.closest("a") !== null;
        if (shiftKey || ctrlKey || metaKey) {
          if (!isLink) onChoose(index, key, shiftKey); // on a link the browser opens a window
          return;
        }
        if (getSelection()?.isCollapsed === false) return;
        event.preventDefault();
        onRow(index, key);
      }}
    >
      <div class="torrents-choice" role="gridcell" aria-colindex={1}>
        <label onClick={(event) => event.stopPropagation()}>
          <input
            type="checkbox"
            tabIndex={-1}
            aria-label={t("torrents.select", { torrent: nameOf(row) })}
            checked={isChosen}
            onClick={(event) => onChoose(index, key, event.shiftKey)}
          />
        </label>
      </div>
      <div class="torrents-name" role="gridcell" aria-colindex={2}>
        <span class="torrents-state" title={t(`torrents.state.${state}`)}>
          <Icon name={STATE_ICONS[state]} />
          <span class="visually-hidden">{t(`torrents.state.${state}`)}</span>
        </span>
        <a href={href("torrents", { ...route.peek().params, open: key })} tabIndex={-1} title={row.name ?? row.hash}>
          {nameOf(row)}
        </a>
        {row.instance !== "" && <span class="torrents-instance">{row.instance}</span>}
      </div>
      <div class="torrents-tracker" role="gridcell" aria-colindex={3} title={tracker}>
        {tracker}
      </div>
      <div class={`torrents-rate end ${row.rate < 1 ? "muted" : ""}`} role="gridcell" aria-colindex={4}>
        {rate(row.rate)}
      </div>
      <div class="torrents-demand end" role="gridcell" aria-colindex={5}>
        {row.demand === null ? (
          <b>{t("torrents.wantsMore")}</b>
        ) : (
          <span class={row.demand < 1 ? "muted" : ""}>{rate(row.demand)}</span>
        )}
      </div>
      <div class="torrents-limit end" role="gridcell" aria-colindex={6}>
        <span class="torrents-label" aria-hidden="true">
          {t("torrents.column.limit")}
        </span>
        {row.limited ? <b>{rate(row.limit)}</b> : <span class="muted">{rate(row.limit)}</span>}
        {isByHand(row) && <span class="torrents-hand">{t("torrents.byHand")}</span>}
      </div>
      <div class="torrents-original end" role="gridcell" aria-colindex={7}>
        <span class={row.original === null ? "muted" : ""}>{rate(row.original)}</span>
      </div>
      <div class="torrents-reason" role="gridcell" aria-colindex={8} title={reason}>
        {reason}
      </div>
      {budgets && (
        <div class="torrents-announce end" role="gridcell" aria-colindex={9}>
          {row.announce
            ? t("budget.short", { left: bytes(roomLeft(row.announce)), share: percent(usedShare(row.announce)) })
            : "–"}
        </div>
      )}
    </div>
  );
}
