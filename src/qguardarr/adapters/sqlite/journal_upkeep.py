"""What keeps the journal small, and never costs a rollback what it needs."""

from __future__ import annotations

import sqlite3
from typing import Final

from qguardarr.adapters.sqlite.journal_schema import APPLIED, next_id

_LINES_PER_STEP: Final = 5_000
STEPS_PER_PRUNE: Final = 10
"""The daemon prunes between two cycles: a backlog of months waits for the next time rather than limits for it."""
_PAGES_PER_STEP: Final = 500


def give_up_missing(db: sqlite3.Connection, cutoff: float, older_than_s: float) -> None:
    """Torrents that were looked for, and missing each time, for that long need no original."""
    db.execute(
        "UPDATE torrents SET restored_at = missing_since WHERE missing_since < ? AND missing_until - missing_since > ?",
        (cutoff, older_than_s),
    )


def first_kept_line(db: sqlite3.Connection, cutoff: float, max_lines: int) -> int:
    """Id from which on all history is kept: younger than `cutoff`, and among the last `max_lines`."""
    # Ids follow time and have no gaps but those of lines deleted, which are the oldest.
    end = next_id(db)
    young = db.execute("SELECT id FROM changes WHERE at >= ? ORDER BY id LIMIT 1", (cutoff,)).fetchone()
    return max(young[0] if young else end, end - max_lines)


def find_needed_lines(db: sqlite3.Connection, first_kept: int) -> None:
    """For `delete_lines`: of each torrent, the last write applied before `first_kept` (in a temporary table)."""
    db.execute("DROP TABLE IF EXISTS temp.needed")
    db.execute("CREATE TEMP TABLE needed (torrent INTEGER PRIMARY KEY, line INTEGER NOT NULL)")
    # In the order of the file: by way of the index each line would be a page of its own.
    db.execute(
        """INSERT OR REPLACE INTO needed
        SELECT torrent, id FROM changes NOT INDEXED WHERE id < ? AND status = ? ORDER BY id""",
        (first_kept, APPLIED),
    )


def delete_lines(db: sqlite3.Connection, first_kept: int, cutoff: float) -> int:
    """One step. Number of lines deleted; 0: finished.

    Of a torrent that we touch, or restored after `cutoff`, the last write applied before `first_kept` stays, with all
    that follows: these are the values that may come back when qBittorrent crashes.
    """
    return db.execute(
        """DELETE FROM changes WHERE id IN (
            SELECT id FROM changes AS line WHERE id < ?1 AND NOT EXISTS (
                SELECT 1 FROM torrents
                WHERE torrents.id = line.torrent AND (restored_at IS NULL OR restored_at >= ?2)
                AND line.id >= coalesce((SELECT needed.line FROM needed WHERE needed.torrent = torrents.id), 0)
            ) ORDER BY id LIMIT ?3
        )""",
        (first_kept, cutoff, _LINES_PER_STEP),
    ).rowcount


def forget_torrents(db: sqlite3.Connection, cutoff: float) -> None:
    """Drop torrents that were restored before `cutoff` and have no line left, and values superseded before it."""
    db.execute(
        """DELETE FROM torrents WHERE restored_at < ?
        AND NOT EXISTS (SELECT 1 FROM changes WHERE torrent = torrents.id)""",
        (cutoff,),
    )
    db.execute("DELETE FROM in_force WHERE superseded_at < ? OR torrent NOT IN (SELECT id FROM torrents)", (cutoff,))
    db.execute("DROP TABLE IF EXISTS temp.needed")


def give_back_space(db: sqlite3.Connection) -> None:
    """Shrink the file by its free pages, in small steps."""
    free = -1
    while (left := _free_pages(db)) not in (0, free):
        free = left
        db.executescript(f"PRAGMA incremental_vacuum({_PAGES_PER_STEP})")  # `execute` would free one page and stop
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # waits for nobody


def _free_pages(db: sqlite3.Connection) -> int:
    pages: int = db.execute("PRAGMA freelist_count").fetchone()[0]
    return pages
