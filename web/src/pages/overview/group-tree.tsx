/** The tree of groups with live bars: what is guaranteed, borrowed, lent, and the ceiling. */

import type { ParentRow, Status, TrackerRow } from "../../api/types.gen";
import { t } from "../../i18n";
import { href } from "../../routes";
import { Icon } from "../../ui/icon";
import { rate } from "../../units";
import { groupName } from "../../words";
import { capWhy, endOverrideOf } from "./tracker-card";
import { Quota } from "./quota-line";
import { barOf, scaleOf, treeOf, type Bar, type Node } from "./tree";
import "./group-tree.css";

export function GroupTree({ status, onOverride }: { status: Status; onOverride: (group: string) => void }) {
  const nodes = treeOf(status);
  const scale = scaleOf(nodes);
  return (
    <section class="card stack" aria-labelledby="overview-tree">
      <div class="page-head">
        <h2 id="overview-tree">{t("tree.title")}</h2>
        <ul class="tree-legend" aria-hidden="true">
          <li>
            <i class="tree-own" /> {t("tree.own")}
          </li>
          <li>
            <i class="tree-borrowed" /> {t("tree.borrowed")}
          </li>
          <li>
            <i class="tree-lent" /> {t("tree.lent")}
          </li>
          <li>
            <i class="tree-mark" /> {t("tree.guaranteed")}
          </li>
        </ul>
      </div>
      <ul class="tree-rows">
        {nodes.map((node) => (
          <Row key={node.row.id} node={node} bar={barOf(node.row, scale)} onOverride={onOverride} />
        ))}
      </ul>
    </section>
  );
}

function Row({ node, bar, onOverride }: { node: Node; bar: Bar; onOverride: (group: string) => void }) {
  const { row, depth, isParent } = node;
  return (
    <li style={{ "--depth": depth + 1 }}>
      <p class="tree-name">
        {isParent ? (
          <b>{groupName(row)}</b>
        ) : (
          <a href={href("torrents", { tracker: row.id })} title={t("tracker.torrentsOf", { tracker: row.name })}>
            {row.name}
          </a>
        )}
        <button
          type="button"
          class="button quiet small"
          aria-label={t("tracker.overrideOf", { tracker: groupName(row) })}
          onClick={() => onOverride(row.id)}
        >
          <Icon name="clock" />
        </button>
      </p>
      <div class="tree-what">
        <div
          class={`tree-bar ${bar.ceiling === null ? "open" : ""}`}
          aria-hidden="true"
          style={{ "--end": bar.ceiling ?? 1 }}
        >
          <i class="tree-own" style={{ width: `${bar.own * 100}%` }} />
          <i class="tree-borrowed" style={{ left: `${bar.own * 100}%`, width: `${bar.borrowed * 100}%` }} />
          <i class="tree-lent" style={{ left: `${(bar.own + bar.borrowed) * 100}%`, width: `${bar.lent * 100}%` }} />
          {bar.guaranteed !== null && <i class="tree-mark" style={{ left: `${bar.guaranteed * 100}%` }} />}
        </div>
        <p class="num muted">{said(row)}</p>
        {row.quota && <Quota quota={row.quota} />}
        {row.cap_reason !== "configured" && (
          <p class="overview-why">
            <Icon name="clock" />
            {capWhy(row)}
            {row.override_until !== null && (
              <button
                type="button"
                class="button quiet small"
                aria-label={`${t("tracker.overrideEnd")}: ${groupName(row)}`}
                onClick={() => void endOverrideOf(row)}
              >
                {t("tracker.overrideEnd")}
              </button>
            )}
          </p>
        )}
      </div>
      <p class="tree-rate num">
        <b>{rate(row.rate_10s)}</b>{" "}
        <span class="muted">
          {row.ceiling === null ? t("tracker.noCap") : t("tracker.of", { cap: rate(row.ceiling) })}
        </span>
      </p>
    </li>
  );
}

/** The same as the bar, in words. */
function said(row: TrackerRow | ParentRow): string {
  const parts = [
    row.guaranteed === null || row.guaranteed === row.ceiling
      ? ""
      : t("tree.saidGuaranteed", { rate: rate(row.guaranteed) }),
    row.borrowed > 0 ? t("tree.saidBorrowed", { rate: rate(row.borrowed) }) : "",
    row.lent > 0 ? t("tree.saidLent", { rate: rate(row.lent) }) : "",
    row.effective !== null && row.effective !== row.ceiling
      ? t("tree.saidEffective", { rate: rate(row.effective) })
      : "",
  ];
  return parts.filter((part) => part !== "").join(" · ");
}
