"""Keeps the journal small, and never deletes what a rollback needs."""

from __future__ import annotations

import sqlite3
from typing import Final

from qguardarr.adapters.sqlite.journal_file import JournalFile
from qguardarr.adapters.sqlite.journal_schema import APPLIED, next_id

MAX_LINES: Final = 1_000_000
"""Most lines of history that are kept, 100 bytes each."""
LINES_PER_STEP: Final = 5_000
"""Some 20 ms on a small machine, for which others wait."""
STEPS_PER_PRUNE: Final = 10
"""The daemon prunes between two cycles: a backlog of months waits for the next time rather than limits for it."""

_GIVE_UP: Final = """
UPDATE torrents SET restored_at = missing_since WHERE missing_since < ? AND missing_until - missing_since > ?
"""

# In the order of the file: by way of the index each line would be a page of its own.
_FIND_NEEDED: Final = """
INSERT OR REPLACE INTO needed SELECT torrent, id FROM changes NOT INDEXED WHERE id < ? AND status = ? ORDER BY id
"""
"""Lists each torrent's last write applied before a line."""

_DELETE_LINES: Final = """
DELETE FROM changes WHERE id IN (
    SELECT id FROM changes AS line WHERE id < ?1 AND NOT EXISTS (
        SELECT 1 FROM torrents
        WHERE torrents.id = line.torrent AND (restored_at IS NULL OR restored_at >= ?2)
        AND line.id >= coalesce((SELECT needed.line FROM needed WHERE needed.torrent = torrents.id), 0)
    ) ORDER BY id LIMIT ?3
)
"""
"""Keeps, of a torrent that we touch or restored lately, its needed line with all that follow: these are the values that
may come back when qBittorrent crashes."""

_FORGET_TORRENTS: Final = """
DELETE FROM torrents WHERE restored_at < ? AND NOT EXISTS (SELECT 1 FROM changes WHERE torrent = torrents.id)
"""

_FORGET_VALUES: Final = """
DELETE FROM in_force WHERE superseded_at < ? OR torrent NOT IN (SELECT id FROM torrents)
"""


def prune(file: JournalFile, now: float, older_than_s: float, give_up_s: float) -> int:
    """Do the work of `SqliteJournal.prune`. `now`: Unix time, seconds."""
    cutoff = now - older_than_s
    with file.writing() as db:
        db.execute(_GIVE_UP, (now - give_up_s, give_up_s))
        first_kept = _first_kept_line(db, cutoff)
        db.execute("DROP TABLE IF EXISTS temp.needed")
        db.execute("CREATE TEMP TABLE needed (torrent INTEGER PRIMARY KEY, line INTEGER NOT NULL)")
        db.execute(_FIND_NEEDED, (first_kept, APPLIED))
    deleted = 0
    for _ in range(STEPS_PER_PRUNE):  # step by step, so that nobody waits long for the file
        with file.writing() as db:
            count = db.execute(_DELETE_LINES, (first_kept, cutoff, LINES_PER_STEP)).rowcount
        deleted += count
        if count == 0:
            break
    with file.writing() as db:
        db.execute(_FORGET_TORRENTS, (cutoff,))
        db.execute(_FORGET_VALUES, (cutoff,))
        db.execute("DROP TABLE IF EXISTS temp.needed")
    return deleted


def _first_kept_line(db: sqlite3.Connection, cutoff: float) -> int:
    """Return the id from which on all history is kept: younger than `cutoff`, and among the last `MAX_LINES`."""
    # Ids follow time and have no gaps but those of lines deleted, which are the oldest.
    end = next_id(db)
    young = db.execute("SELECT id FROM changes WHERE at >= ? ORDER BY id LIMIT 1", (cutoff,)).fetchone()
    return max(young[0] if young else end, end - MAX_LINES)
