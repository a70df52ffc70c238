/** The list of changes. On a phone each row becomes a block; roles keep it a table for readers. */

import { now, status } from "../../api/live";
import type { JournalRow } from "../../api/types.gen";
import { t } from "../../i18n";
import { torrentName } from "../../restore/name";
import { Icon } from "../../ui/icon";
import type { Tone } from "../../ui/notice";
import { keyOf } from "../../torrent-key";
import { clockSeconds, exact, rate } from "../../units";

const TONES = {
  intended: "info",
  applied: "ok",
  failed: "bad",
  restored: "info",
  adopted: "warn",
} as const satisfies Record<JournalRow["status"], Tone>;

interface LinesProps {
  lines: readonly JournalRow[];
  /** Keys of the torrents that are chosen; see `keyOf`. */
  selected: ReadonlySet<string>;
  onSelect: (selected: ReadonlySet<string>) => void;
  /** Show only changes of the torrent with this hash. */
  onOnly: (torrent: string) => void;
  onRestore: (torrent: string) => void;
}

export function Lines({ lines, selected, onSelect, onOnly, onRestore }: LinesProps) {
  const shown = new Set(lines.map(keyOf));
  const all = [...shown].every((key) => selected.has(key));
  const some = [...shown].some((key) => selected.has(key));
  const choose = (keys: Iterable<string>, chosen: boolean) => {
    const next = new Set(selected);
    for (const key of keys) {
      if (chosen) next.add(key);
      else next.delete(key);
    }
    onSelect(next);
  };
  return (
    <div class="table-scroll journal-scroll">
      <table class="table journal-table" role="table" aria-labelledby="journal-changes">
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader" scope="col">
              <label class="journal-check">
                <input
                  type="checkbox"
                  aria-label={t("journal.selectAll")}
                  checked={all}
                  indeterminate={some && !all}
                  onChange={(event) => choose(shown, event.currentTarget.checked)}
                />
              </label>
            </th>
            <th role="columnheader" scope="col">
              {t("journal.column.time")}
            </th>
            <th role="columnheader" scope="col">
              {t("journal.column.torrent")}
            </th>
            <th role="columnheader" scope="col">
              {t("journal.column.tracker")}
            </th>
            <th role="columnheader" scope="col">
              {t("journal.column.change")}
            </th>
            <th role="columnheader" scope="col">
              {t("journal.column.status")}
            </th>
            <th role="columnheader" scope="col">
              {t("journal.column.reason")}
            </th>
            <th role="columnheader" scope="col">
              <span class="visually-hidden">{t("journal.column.undo")}</span>
            </th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          {lines.map((line) => (
            <Line
              key={line.id}
              line={line}
              selected={selected.has(keyOf(line))}
              onSelect={(chosen) => choose([keyOf(line)], chosen)}
              onOnly={() => onOnly(line.hash)}
              onRestore={() => onRestore(keyOf(line))}
            />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function trackerName(id: string): string {
  return status.value?.trackers.find((row) => row.id === id)?.name ?? id;
}

interface LineProps {
  line: JournalRow;
  selected: boolean;
  onSelect: (selected: boolean) => void;
  onOnly: () => void;
  onRestore: () => void;
}

function Line({ line, selected, onSelect, onOnly, onRestore }: LineProps) {
  const name = torrentName(line);
  const today = new Date(line.at * 1000).toDateString() === new Date(now.peek() * 1000).toDateString();
  return (
    <tr role="row" class={selected ? "journal-selected" : ""}>
      <td role="cell" class="journal-choice">
        <label class="journal-check">
          <input
            type="checkbox"
            aria-label={t("journal.select", { torrent: name })}
            checked={selected}
            onChange={(event) => onSelect(event.currentTarget.checked)}
          />
        </label>
      </td>
      <td role="cell" class="journal-time num">
        <time dateTime={new Date(line.at * 1000).toISOString()} title={exact(line.at)}>
          {today ? clockSeconds(line.at) : exact(line.at)}
        </time>
      </td>
      <td role="cell" class="journal-torrent">
        <button
          type="button"
          class="journal-name"
          title={`${name}\n${line.hash}`}
          aria-label={t("journal.onlyThis", { torrent: name })}
          onClick={onOnly}
        >
          {name}
        </button>
        {line.instance !== "" && <span class="muted"> {line.instance}</span>}
      </td>
      <td role="cell" class="journal-tracker">
        {line.tracker === null ? <span class="muted">{t("journal.noTracker")}</span> : trackerName(line.tracker ?? "")}
      </td>
      <td role="cell" class="journal-change num">
        <Change old={line.old} now={line.new} />
      </td>
      <td role="cell" class="journal-status">
        <span class={`pill ${TONES[line.status]}`} title={t(`journal.statusHelp.${line.status}`)}>
          {t(`journal.status.${line.status}`)}
        </span>
      </td>
      <td role="cell" class="journal-reason">
        {line.reason}
      </td>
      <td role="cell" class="journal-undo">
        <button
          type="button"
          class="button quiet small"
          aria-label={t("journal.undoOne", { torrent: name })}
          title={t("journal.undoOne", { torrent: name })}
          onClick={onRestore}
        >
          <Icon name="undo" />
        </button>
      </td>
    </tr>
  );
}

/** Both limits, and which way it went; null is unlimited. */
function Change({ old, now: next }: { old: number | null; now: number | null }) {
  const [before, after] = [old ?? Infinity, next ?? Infinity];
  const words =
    before === after
      ? t("journal.same", { new: rate(next) })
      : after < before
        ? t("journal.lowered", { old: rate(old), new: rate(next) })
        : t("journal.raised", { old: rate(old), new: rate(next) });
  return (
    <>
      <span class="visually-hidden">{words}</span>
      <span aria-hidden="true" class="journal-limits">
        {before !== after && <span class="muted">{rate(old)}</span>}
        {before !== after && <Icon name={after < before ? "down" : "up"} />}
        <b>{rate(next)}</b>
      </span>
    </>
  );
}
