"""The store in SQLite, beside the journal: data that should survive a restart, and may be lost.

It holds the history of rates, usage, temporary caps, completions that cross-seed does not know yet, and learnt demand
of torrents. Holding caps does not depend on it. A damaged file is put aside (`.damaged`) and started again; a file that
cannot be opened is tried again at the next call. Writes survive a crash of this program; a power cut may lose the last
seconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog

from qguardarr.adapters.sqlite import store_schema as schema
from qguardarr.adapters.sqlite import usage
from qguardarr.adapters.sqlite.database import Database, is_damage
from qguardarr.adapters.sqlite.shared_database import SharedDatabase
from qguardarr.adapters.sqlite.side_files import beside, rename_database
from qguardarr.core.caps.scaled import Order
from qguardarr.core.caps.temporary import Override
from qguardarr.engine.feature_ports import Counted, CountedSince, Entry, RatePoint, RateSample, RateTotal, UsageRow
from qguardarr.errors import StoreError

ROWS_PER_STEP: Final = 5_000
ROWS_PER_THIN: Final = 50_000
"""A fraction of a second's work; hourly, it is some 80 times of what 100 trackers add in an hour."""

log = structlog.get_logger("qguardarr.store")


def store_path(database_path: Path) -> Path:
    """Return the path of the store that belongs to a journal."""
    return beside(database_path, ".store")


class SqliteStore(SharedDatabase):
    """Usable from several threads, for one process. Every method but `close` may raise `StoreError`."""

    def __init__(self, path: Path, *, is_guest: bool = False) -> None:
        """Prepare the file at `path`; the first call that needs it opens or makes it.

        `is_guest`: a daemon may have it open, so that a damaged one stays where it is.
        """
        super().__init__(path, schema.STORE)
        self._is_guest = is_guest
        self._is_damaged = False

    # -- rates --------------------------------------------------------------------------------------------------------

    def record(self, at: float, rows: Sequence[RateSample]) -> None:
        """Add the uploads of trackers in a stretch that began at Unix time `at`, seconds.

        Bytes and seconds are added to those of the same minute; caps replace earlier ones.
        """
        with self.writing() as db:
            schema.add_samples(db, at, rows)

    def rates(self, tracker: str | None, start: float, end: float, step_s: float | None = None) -> list[RatePoint]:
        """Return the history of a tracker (None: of all) from `start` to `end`, Unix time, by tracker and time.

        `step_s`: seconds between two points; None: as fine as possible. It is rounded up to a resolution that is kept
        (60 s for 48 hours, 600 s for 30 days, 3600 s for 400 days), and further until no tracker has more than 2,000
        points and all together have about 20,000. Stretches without data have no point.
        """
        with self.reading() as db:
            return schema.read_points(db, tracker, start, end, step_s)

    def totals(self, start: float) -> list[RateTotal]:
        """Return what each tracker uploaded since a Unix time, by name: to ten minutes, where those are kept."""
        with self.reading() as db:
            return schema.read_totals(db, start)

    def thin(self, now: float) -> int:
        """Delete points that are older than is kept. Return their number. To be called every hour or so.

        Bounded to a fraction of a second: a large backlog takes several calls, and little is lost to a clock that was
        set wrong for a while.
        """
        with self.reading() as db:
            trackers = [id_ for (id_,) in db.execute("SELECT id FROM trackers")]
            surplus = schema.most_forgotten(db)
        left = ROWS_PER_THIN
        for layer in schema.LAYERS:
            for tracker in trackers:
                cutoff = float("inf") if tracker in surplus else now - layer.keep_s
                deleted = -1
                while left > 0 and deleted != 0:  # step by step, so that nobody waits long
                    with self.writing() as db:
                        deleted = schema.delete_before(db, layer, tracker, cutoff, min(left, ROWS_PER_STEP))
                    left -= deleted
        with self.writing() as db:
            schema.forget_what_is_over(db, now)
        self.give_back_space()
        return ROWS_PER_THIN - left

    # -- temporary caps -----------------------------------------------------------------------------------------------

    def overrides(self) -> dict[str, Override]:
        """Return all temporary caps by tracker id, also those that are over."""
        with self.reading() as db:
            rows = db.execute("SELECT tracker, cap, until FROM overrides ORDER BY tracker").fetchall()
        return {tracker: Override(cap, until) for tracker, cap, until in rows}

    def set_override(self, tracker: str, cap: int, until: float) -> None:
        """Keep a cap (bytes/s or UNLIMITED) for a tracker until a Unix time; it replaces an earlier one."""
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO overrides VALUES (?, ?, ?)", (tracker, cap, until))

    def clear_override(self, tracker: str) -> None:
        """Delete the temporary cap of a tracker, if there is one."""
        with self.writing() as db:
            db.execute("DELETE FROM overrides WHERE tracker = ?", (tracker,))

    def orders(self) -> dict[str, Order]:
        """Return all boosts and hushes by group id, or ALL, also those that are over."""
        with self.reading() as db:
            rows = db.execute("SELECT grp, kind, until, factor, speed FROM orders ORDER BY grp").fetchall()
        return {group: Order(*rest) for group, *rest in rows}

    def set_orders(self, groups: Iterable[str], order: Order) -> None:
        """Keep an order for groups, or ALL; it replaces an earlier one."""
        values = msgspec.structs.astuple(order)
        with self.writing() as db:
            db.executemany("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?)", ((each, *values) for each in groups))

    def clear_orders(self, kind: str, groups: Collection[str] = ()) -> int:
        """Delete the orders of a kind, of these groups or of all, and return their number."""
        with self.writing() as db:
            if not groups:
                return db.execute("DELETE FROM orders WHERE kind = ?", (kind,)).rowcount
            query = "DELETE FROM orders WHERE kind = ? AND grp = ?"
            return sum(db.execute(query, (kind, each)).rowcount for each in groups)

    # -- outbox -------------------------------------------------------------------------------------------------------

    def outbox(self, limit: int) -> list[Entry]:
        """Return the oldest entries, oldest first, `limit` of them at most."""
        with self.reading() as db:
            rows = db.execute(
                """SELECT info_hash, added_at, attempts, next_try_at, last_error FROM outbox
                ORDER BY added_at, rowid LIMIT ?""",
                (limit,),
            ).fetchall()
        return [Entry(*row) for row in rows]

    def outbox_put(self, entry: Entry) -> None:
        """Keep an entry; it replaces an earlier one of the same torrent."""
        with self.writing() as db:
            db.execute(
                """INSERT INTO outbox (info_hash, added_at, attempts, next_try_at, last_error) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (info_hash) DO UPDATE SET added_at = excluded.added_at, attempts = excluded.attempts,
                    next_try_at = excluded.next_try_at, last_error = excluded.last_error""",
                (entry.info_hash, entry.added_at, entry.attempts, entry.next_try_at, entry.last_error),
            )

    def outbox_remove(self, info_hash: str) -> None:
        """Delete the entry of a torrent, if there is one."""
        with self.writing() as db:
            db.execute("DELETE FROM outbox WHERE info_hash = ?", (info_hash,))

    # -- learnt values ------------------------------------------------------------------------------------------------

    def learnt(self) -> dict[str, bytes]:
        """Return the parts that were kept last; a part that is no bytes is left out."""
        with self.reading() as db:
            rows = db.execute("SELECT part, body FROM learnt").fetchall()
        return {part: body for part, body in rows if isinstance(body, bytes)}

    def keep_learnt(self, parts: Mapping[str, bytes]) -> None:
        """Keep these parts; they replace earlier ones of the same names."""
        with self.writing() as db:
            db.executemany("INSERT OR REPLACE INTO learnt VALUES (?, ?)", parts.items())

    # -- usage --------------------------------------------------------------------------------------------------------

    def add_usage(self, counted: Counted) -> None:
        """Add what was counted since the last time."""
        with self.writing() as db:
            usage.add(db, counted)

    def copy_counters(self, counted: Counted, parts: Iterable[bytes]) -> None:
        """Add what was counted, and keep a new copy of the counters of an instance, as of `counted.until`."""
        with self.writing() as db:
            usage.copy(db, counted, parts)

    def counted_since_copy(self, instance: str) -> CountedSince | None:
        """Return what was counted since the copy of an instance's counters; None if there is none."""
        with self.reading() as db:
            query = "SELECT copied_at, counted_until FROM usage_state WHERE instance = ? AND copied_at IS NOT NULL"
            found = db.execute(query, (instance,)).fetchone()
            return None if found is None else CountedSince(found[0], found[1], usage.since(db, instance))

    def rename_instance(self, old: str, new: str) -> None:
        """Give what usage of one qBittorrent is counted from to another name of it."""
        with self.writing() as db:
            usage.rename_instance(db, old, new)

    def counters(self, instance: str, part: int) -> bytes:
        """Return a part of the copy of an instance's counters; empty if there is none."""
        with self.reading() as db:
            query = "SELECT body FROM usage_counters WHERE instance = ? AND part = ?"
            found = db.execute(query, (instance, part)).fetchone()
        return found[0] if found is not None and isinstance(found[0], bytes) else b""

    def usage_hours(self, group: str | None, start: float, end: float) -> list[UsageRow]:
        """Return usage by hour of a group (None: of all), of the hours that begin from `start` to `end`, Unix time."""
        with self.reading() as db:
            return usage.hours(db, group, start, end)

    def usage_days(self, group: str | None, first: str, last: str, *, months: bool = False) -> list[UsageRow]:
        """Return usage by day (or month) of a group (None: of all) from one local day to another, both included."""
        with self.reading() as db:
            return usage.days(db, group, first, last, months=months)

    def usage_totals(self) -> dict[str, int]:
        """Return all bytes that each group ever uploaded."""
        with self.reading() as db:
            return usage.totals(db)

    def usage_period(self, group: str) -> tuple[float, int] | None:
        """Return start (Unix time) and usage of the last period of a group's quota; None if there is none."""
        with self.reading() as db:
            found = db.execute("SELECT start, bytes FROM usage_periods WHERE grp = ?", (group,)).fetchone()
        return None if found is None else (float(found[0]), int(found[1]))

    # -- the file -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[Database]:
        with self._mutex:
            try:
                with super()._alone() as database:
                    yield database
            except StoreError as error:
                if is_damage(error.__cause__) and not self._is_guest:
                    self._is_damaged = True
                    self._let_go()
                raise

    def _open(self) -> Database:
        if not self._is_damaged:
            try:
                return Database.open(self.path, schema.STORE)
            except sqlite3.Error as error:
                if self._is_guest or not is_damage(error):
                    raise
        aside = beside(self.path, ".damaged")
        rename_database(self.path, aside)
        self._is_damaged = False
        log.warning(
            "store_damaged",
            put_aside=str(aside),
            advice="history, usage, temporary caps, outbox and what was learnt start again",
        )
        return Database.open(self.path, schema.STORE)
