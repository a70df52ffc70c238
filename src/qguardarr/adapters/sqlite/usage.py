"""The store's tables of usage: what each group uploaded, by hour and by day.

All bytes are counted in one transaction with what they were counted from, so that a kill at any point loses no more
than what was not written yet, and counts nothing twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

from qguardarr.engine.feature_ports import Counted, UsageRow

HOURS_KEPT_S: Final = 90 * 86_400

USAGE: Final = (
    # grp: id of a group; empty: the line. at: Unix time of the hour's start. day: local, as 2026-11-30.
    "CREATE TABLE usage_hours (grp TEXT, at INTEGER, bytes INTEGER NOT NULL, PRIMARY KEY (grp, at)) WITHOUT ROWID",
    "CREATE TABLE usage_days (grp TEXT, day TEXT, bytes INTEGER NOT NULL, PRIMARY KEY (grp, day)) WITHOUT ROWID",
    # The present period of each quota.
    "CREATE TABLE usage_periods (grp TEXT PRIMARY KEY, start REAL NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID",
    # Counters of torrents as they were at a time, and what was counted of each group since then.
    "CREATE TABLE usage_counters (instance TEXT, part INTEGER, body BLOB, PRIMARY KEY (instance, part)) WITHOUT ROWID",
    "CREATE TABLE usage_since (instance TEXT, grp TEXT, bytes INTEGER, PRIMARY KEY (instance, grp)) WITHOUT ROWID",
    "CREATE TABLE usage_state (instance TEXT PRIMARY KEY, copied_at REAL, counted_until REAL) WITHOUT ROWID",
)


def add(db: sqlite3.Connection, counted: Counted, *, since: bool = True) -> None:
    """Add what was counted. `since`: it was counted after the copy of the counters that is kept."""
    for table, key, rows in (
        ("usage_hours", "at", ((row.group, row.hour, row.bytes) for row in counted.rows)),
        ("usage_days", "day", ((row.group, row.day, row.bytes) for row in counted.rows)),
    ):
        db.executemany(
            f"""INSERT INTO {table} (grp, {key}, bytes) VALUES (?, ?, ?)
            ON CONFLICT (grp, {key}) DO UPDATE SET bytes = bytes + excluded.bytes""",  # noqa: S608 # our own names
            rows,
        )
    db.executemany(
        """INSERT INTO usage_periods VALUES (?, ?, ?) ON CONFLICT (grp) DO UPDATE SET
            bytes = CASE WHEN start = excluded.start THEN bytes ELSE 0 END + excluded.bytes, start = excluded.start
            WHERE start <= excluded.start""",
        ((group, start, bytes_) for group, (start, bytes_) in counted.periods.items()),
    )
    if since:
        db.executemany(
            """INSERT INTO usage_since VALUES (?, ?, ?)
            ON CONFLICT (instance, grp) DO UPDATE SET bytes = bytes + excluded.bytes""",
            ((counted.instance, group, bytes_) for group, bytes_ in counted.since.items()),
        )
    db.execute(
        """INSERT INTO usage_state VALUES (?, NULL, ?)
        ON CONFLICT (instance) DO UPDATE SET counted_until = excluded.counted_until""",
        (counted.instance, counted.until),
    )


def copy(db: sqlite3.Connection, counted: Counted, parts: Iterable[bytes]) -> None:
    """Add what was counted, with a new copy of the counters as of `counted.until`."""
    add(db, counted, since=False)
    db.execute("DELETE FROM usage_since WHERE instance = ?", (counted.instance,))
    db.executemany(
        "INSERT OR REPLACE INTO usage_counters VALUES (?, ?, ?)",
        ((counted.instance, number, part) for number, part in enumerate(parts)),
    )
    db.execute("UPDATE usage_state SET copied_at = ? WHERE instance = ?", (counted.until, counted.instance))


def since(db: sqlite3.Connection, instance: str) -> Mapping[str, int]:
    """Return what was counted of each group since the copy."""
    return dict(db.execute("SELECT grp, bytes FROM usage_since WHERE instance = ?", (instance,)).fetchall())


def rename_instance(db: sqlite3.Connection, old: str, new: str) -> None:
    """Give the copy of the counters of one qBittorrent to another name of it, unless that has one by now."""
    if db.execute("SELECT 1 FROM usage_state WHERE instance = ? AND copied_at IS NOT NULL", (new,)).fetchone():
        return
    for table in ("usage_state", "usage_counters", "usage_since"):
        db.execute(f"DELETE FROM {table} WHERE instance = ?", (new,))  # noqa: S608 # our own names
        db.execute(f"UPDATE {table} SET instance = ? WHERE instance = ?", (new, old))  # noqa: S608


def hours(db: sqlite3.Connection, group: str | None, start: float, end: float) -> list[UsageRow]:
    """Return usage by hour of the hours that begin in a stretch of Unix time, by group and time."""
    rows = db.execute(
        """SELECT grp, at, bytes FROM usage_hours WHERE (?1 IS NULL OR grp = ?1) AND at >= ?2 AND at < ?3
        ORDER BY grp, at""",
        (group, start, end),
    )
    return [UsageRow(group, int(at), "", bytes_) for group, at, bytes_ in rows.fetchall()]


def days(db: sqlite3.Connection, group: str | None, first: str, last: str, *, months: bool) -> list[UsageRow]:
    """Return usage by local day (`months`: by month) from one day to another, both included, by group and time."""
    rows = db.execute(
        """SELECT grp, substr(day, 1, ?4) AS step, sum(bytes) FROM usage_days
        WHERE (?1 IS NULL OR grp = ?1) AND day >= ?2 AND day <= ?3 GROUP BY 1, 2 ORDER BY 1, 2""",
        (group, first, last, 7 if months else 10),
    )
    return [UsageRow(group, 0, step, bytes_) for group, step, bytes_ in rows.fetchall()]


def totals(db: sqlite3.Connection) -> dict[str, int]:
    """Return all bytes of each group."""
    return dict(db.execute("SELECT grp, sum(bytes) FROM usage_days GROUP BY grp").fetchall())


def forget_hours(db: sqlite3.Connection, now: float) -> None:
    """Delete hours that are older than is kept."""
    db.execute("DELETE FROM usage_hours WHERE at < ?", (now - HOURS_KEPT_S,))
