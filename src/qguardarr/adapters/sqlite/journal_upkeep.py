"""Statements that keep the journal small, and never delete what a rollback needs. Times: Unix seconds."""

from __future__ import annotations

import sqlite3
from typing import Final

from qguardarr.adapters.sqlite.journal_schema import APPLIED, next_id

LINES_PER_STEP: Final = 5_000
"""Some 20 ms on a small machine, for which others wait."""
STEPS_PER_PRUNE: Final = 10
"""The daemon prunes between two cycles: a backlog of months waits for the next time rather than limits for it."""


def give_up_missing(db: sqlite3.Connection, cutoff: float, older_than_s: float) -> None:
    """Give up the originals of torrents that were looked for, and missing each time, for `older_than_s` seconds."""
    db.execute(
        "UPDATE torrents SET restored_at = missing_since WHERE missing_since < ? AND missing_until - missing_since > ?",
        (cutoff, older_than_s),
    )


def first_kept_line(db: sqlite3.Connection, cutoff: float, max_lines: int) -> int:
    """Return the id from which on all history is kept: younger than `cutoff`, and among the last `max_lines`."""
    # Ids follow time and have no gaps but those of lines deleted, which are the oldest.
    end = next_id(db)
    young = db.execute("SELECT id FROM changes WHERE at >= ? ORDER BY id LIMIT 1", (cutoff,)).fetchone()
    return max(young[0] if young else end, end - max_lines)


def find_needed_lines(db: sqlite3.Connection, first_kept: int) -> None:
    """List, for `delete_lines`, each torrent's last write applied before `first_kept` (in a temporary table)."""
    db.execute("DROP TABLE IF EXISTS temp.needed")
    db.execute("CREATE TEMP TABLE needed (torrent INTEGER PRIMARY KEY, line INTEGER NOT NULL)")
    # In the order of the file: by way of the index each line would be a page of its own.
    db.execute(
        """INSERT OR REPLACE INTO needed
        SELECT torrent, id FROM changes NOT INDEXED WHERE id < ? AND status = ? ORDER BY id""",
        (first_kept, APPLIED),
    )


def delete_lines(db: sqlite3.Connection, first_kept: int, cutoff: float) -> int:
    """Delete some lines. Their number; 0: finished.

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
        (first_kept, cutoff, LINES_PER_STEP),
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
