"""The store's tables, and the statements on its history of rates."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

from qguardarr.adapters.sqlite import usage
from qguardarr.adapters.sqlite.database import Format
from qguardarr.engine.feature_ports import RatePoint, RateSample, RateTotal
from qguardarr.errors import StoreError

MOST_POINTS: Final = 2_000
"""Points of one tracker in one answer, at most."""
MOST_POINTS_TOGETHER: Final = 20_000
"""Points of all trackers in one answer, at most: some 5 MB."""
MOST_TRACKERS: Final = 1_000
"""Trackers with a history. Renamed rules leave their names behind; the longest unused go first."""
_HOUR_S: Final = 3600
_LATEST: Final = 10**11
"""Unix time in the year 5138: a later one is a mistake."""


class Layer(NamedTuple):
    """The history at one resolution. A sample is added to every layer, so that each is complete by itself."""

    step_s: int
    keep_s: float


LAYERS: Final = (Layer(60, 48 * 3600.0), Layer(600, 30 * 86400.0), Layer(_HOUR_S, 400 * 86400.0))
"""From fine to coarse; each step is a multiple of those before it."""

STORE: Final = Format(
    "store",
    0x51677273,  # "Qgrs"
    (
        (  # 1
            "CREATE TABLE trackers (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE)",
            # at: start of the stretch, Unix time, a multiple of step.
            """CREATE TABLE rates (
                step INTEGER NOT NULL,
                tracker INTEGER NOT NULL,
                at INTEGER NOT NULL,
                seconds REAL NOT NULL,
                bytes REAL NOT NULL,
                peak REAL NOT NULL,
                cap REAL,
                effective REAL,
                over_s REAL NOT NULL,
                PRIMARY KEY (step, tracker, at)
            ) WITHOUT ROWID""",
            """CREATE TABLE overrides (
                tracker TEXT PRIMARY KEY,
                cap INTEGER NOT NULL CHECK (cap BETWEEN 1 AND 2147483647),
                until REAL NOT NULL
            ) WITHOUT ROWID""",
            """CREATE TABLE outbox (
                info_hash TEXT PRIMARY KEY,
                added_at REAL NOT NULL,
                attempts INTEGER NOT NULL,
                next_try_at REAL NOT NULL,
                last_error TEXT NOT NULL
            )""",
        ),
        # 2: what `core.learnt` encodes
        ("CREATE TABLE learnt (part TEXT PRIMARY KEY, body BLOB NOT NULL)",),
        usage.USAGE,  # 3
        (  # 4: boosts and hushes; grp: id of a group, or *
            """CREATE TABLE orders (
                grp TEXT PRIMARY KEY, kind TEXT NOT NULL, until REAL NOT NULL, factor REAL NOT NULL, speed INTEGER
            ) WITHOUT ROWID""",
        ),
    ),
    busy_timeout_s=2.0,  # a person's `sqlite3` shell, at most
    error=StoreError,
)


def add_samples(db: sqlite3.Connection, at: float, rows: Iterable[RateSample]) -> None:
    """Add samples of a stretch that began at Unix time `at` to earlier ones of the same time."""
    rows = list(rows)
    db.executemany("INSERT OR IGNORE INTO trackers (name) VALUES (?)", ((row.tracker,) for row in rows))
    for layer in LAYERS:
        start = _floor(at, layer.step_s)
        db.executemany(
            """INSERT INTO rates (step, tracker, at, seconds, bytes, peak, cap, effective, over_s)
            VALUES (?, (SELECT id FROM trackers WHERE name = ?), ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (step, tracker, at) DO UPDATE SET
                seconds = seconds + excluded.seconds, bytes = bytes + excluded.bytes,
                peak = max(peak, excluded.peak), cap = excluded.cap, effective = excluded.effective,
                over_s = over_s + excluded.over_s""",
            (
                (layer.step_s, row.tracker, start, row.seconds, row.bytes, row.peak, row.cap, row.effective, row.over_s)
                for row in rows
            ),
        )


def read_points(
    db: sqlite3.Connection, tracker: str | None, start: float, end: float, step_s: float | None
) -> list[RatePoint]:
    """Return the history; `SqliteStore.rates` describes the arguments."""
    start, end = max(0.0, start), min(end, _LATEST)
    wanted = db.execute("SELECT id, name FROM trackers WHERE ?1 IS NULL OR name = ?1 ORDER BY name", (tracker,))
    trackers: list[tuple[int, str]] = wanted.fetchall()
    hours = [_bounds(db, _HOUR_S, id_, start, end) for id_, _ in trackers]
    first = min((oldest for oldest, _ in hours if oldest is not None), default=None)
    if first is None:
        return []
    last = max(newest for _, newest in hours if newest is not None)
    span = min(end, last + _HOUR_S) - max(start, first)
    most = max(2, min(MOST_POINTS, MOST_POINTS_TOGETHER // len(trackers)))
    needed = max(step_s or 0.0, span / (most - 1))  # less one: the first bucket may begin before `start`
    known = [[_bounds(db, layer.step_s, id_, start, end)[0] for id_, _ in trackers] for layer in LAYERS]
    layer = _layer(known, first, needed)
    step = math.ceil(needed / layer.step_s) * layer.step_s or layer.step_s
    return [
        RatePoint(name, *rest, at=at)
        for id_, name in trackers
        for at, *rest in db.execute(_POINTS, (layer.step_s, id_, step, _floor(start, step), math.ceil(end)))
    ]


_POINTS: Final = """
SELECT sums.at, seconds, bytes, peak,
    (SELECT cap FROM rates WHERE step = ?1 AND tracker = ?2 AND at = newest),
    (SELECT effective FROM rates WHERE step = ?1 AND tracker = ?2 AND at = newest),
    over_s
FROM (
    SELECT at / ?3 * ?3 AS at, sum(seconds) AS seconds, sum(bytes) AS bytes, max(peak) AS peak, max(at) AS newest,
        sum(over_s) AS over_s
    FROM rates WHERE step = ?1 AND tracker = ?2 AND at >= ?4 AND at < ?5 GROUP BY 1
) AS sums ORDER BY 1
"""


def read_totals(db: sqlite3.Connection, start: float) -> list[RateTotal]:
    """Return sums since `start`: whole hours, and before them the tens of minutes of the hour that is cut."""
    hour = min(math.ceil(start / _HOUR_S) * _HOUR_S, _LATEST)
    found = []
    for id_, name in db.execute("SELECT id, name FROM trackers ORDER BY name").fetchall():  # each by the index
        values = (id_, _HOUR_S, hour, LAYERS[1].step_s, math.floor(start))
        seconds, bytes_, over_s = db.execute(_TOTALS, values).fetchone()
        if seconds is not None:
            found.append(RateTotal(name, seconds, bytes_, over_s))
    return found


_TOTALS: Final = """
SELECT sum(seconds), sum(bytes), sum(over_s) FROM (
    SELECT seconds, bytes, over_s FROM rates WHERE step = ?2 AND tracker = ?1 AND at >= ?3
    UNION ALL
    SELECT seconds, bytes, over_s FROM rates WHERE step = ?4 AND tracker = ?1 AND at >= ?5 AND at < ?3
)
"""


def _layer(oldest: Iterable[Iterable[int | None]], first: int, needed: float) -> Layer:
    """Return the coarsest layer that is fine enough for steps of `needed` seconds and reaches back far enough.

    `oldest`: for each layer, the first stretch of each tracker. `first`: the first hour with any data; a layer reaches
    back far enough if it has data of that hour.
    """
    reaching = [
        layer
        for layer, starts in zip(LAYERS, oldest, strict=True)
        if any(at is not None and at < first + _HOUR_S for at in starts)
    ]
    fine_enough = [layer for layer in reaching if layer.step_s <= needed and needed % layer.step_s == 0]
    return fine_enough[-1] if fine_enough else reaching[0]


def _bounds(
    db: sqlite3.Connection, step: int, tracker: int, start: float, end: float
) -> tuple[int, int] | tuple[None, None]:
    """Return the starts of the first and the last stretch in the hours that touch `start` to `end`.

    Whole hours, so that layers can be compared. Two queries, since each is one look-up in the index.
    """
    values = (step, tracker, _floor(start, _HOUR_S), math.ceil(end / _HOUR_S) * _HOUR_S)
    where = "FROM rates WHERE step = ? AND tracker = ? AND at >= ? AND at < ?"
    (oldest,) = db.execute(f"SELECT min(at) {where}", values).fetchone()
    (newest,) = db.execute(f"SELECT max(at) {where}", values).fetchone()
    return oldest, newest


def most_forgotten(db: sqlite3.Connection) -> set[int]:
    """Return the trackers beyond `MOST_TRACKERS`: those without a sample for the longest time."""
    return {
        id_
        for (id_,) in db.execute(
            """SELECT id FROM trackers
            ORDER BY (SELECT max(at) FROM rates WHERE step = ? AND tracker = id) DESC LIMIT -1 OFFSET ?""",
            (_HOUR_S, MOST_TRACKERS),
        )
    }


def delete_before(db: sqlite3.Connection, layer: Layer, tracker: int, cutoff: float, limit: int) -> int:
    """Delete the oldest stretches that began before `cutoff`, `limit` of them at most. Return their number."""
    return db.execute(
        """DELETE FROM rates WHERE step = ?1 AND tracker = ?2 AND at IN (
            SELECT at FROM rates WHERE step = ?1 AND tracker = ?2 AND at < ?3 ORDER BY at LIMIT ?4
        )""",
        (layer.step_s, tracker, cutoff, limit),
    ).rowcount


def forget_what_is_over(db: sqlite3.Connection, now: float) -> None:
    """Delete names without a sample, temporary caps that ended more than a day ago, old hours of usage."""
    db.execute(
        """DELETE FROM trackers WHERE NOT EXISTS (
            SELECT 1 FROM rates WHERE step IN (60, 600, 3600) AND tracker = trackers.id
        )"""
    )
    db.execute("DELETE FROM overrides WHERE until < ?", (now - 86400.0,))
    db.execute("DELETE FROM orders WHERE until < ?", (now - 86400.0,))
    usage.forget_hours(db, now)


def _floor(at: float, step: int) -> int:
    return math.floor(at / step) * step
