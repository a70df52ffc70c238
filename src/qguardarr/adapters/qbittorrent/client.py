"""`TorrentClient` on qBittorrent's Web API, 4.5 to 5.3.

From 4.6 on it reads `sync/maindata`, which sends only changes. Before, that call lists every torrent each time (7 s at
30,000), so `torrents/info?filter=active` is read instead, and now and then the complete list in its place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Final, TypeVar

import msgspec
import pybreaker
import tenacity

from qguardarr.adapters.http import Answer
from qguardarr.adapters.qbittorrent.breaker import new_breaker
from qguardarr.adapters.qbittorrent.logins import LoginGate
from qguardarr.adapters.qbittorrent.merge import HASH, Merge
from qguardarr.adapters.qbittorrent.session import ClientStats, Session
from qguardarr.adapters.qbittorrent.stream import GarbledError, array_items
from qguardarr.adapters.qbittorrent.transport import ConnectionLost, Transport
from qguardarr.adapters.qbittorrent.wire import Row, TransferInfo, Urls, limit_from_wire, limit_to_wire
from qguardarr.core.model import Activity, Observation, Torrent
from qguardarr.engine.ports import Known, ListedTorrent
from qguardarr.engine.settings import QBittorrentSettings
from qguardarr.errors import ClientError, NoAddress, Unreachable

T = TypeVar("T")

ATTEMPTS: Final = 3
PAUSE: Final = tenacity.wait_exponential(multiplier=0.02, max=0.3) + tenacity.wait_random(0, 0.1)
"""Between two attempts. The waits add up to less than half a second: short enough not to hold up a shutdown."""

MAINDATA_SINCE: Final = (4, 6, 0)
"""First version whose partial maindata costs nothing for torrents that did not change."""
HASHES_PER_CALL: Final = 1000
GLOBAL_LIMIT_S: Final = 30.0
"""Time between two reads of the global limit before 4.6, where it takes a call of its own."""
INVENTORY_SHARE: Final = 100
"""Before 4.6 reading complete lists takes at most one part in this many of the time."""
MAX_HINTS: Final = 500
"""Before 4.6 at most this many hinted torrents are asked for by hash. For more, everything is listed."""


class QBittorrentClient:
    """One qBittorrent. Calls are made one at a time; others wait. See `TorrentClient` for what each does."""

    def __init__(self, settings: QBittorrentSettings, progress: Callable[[], None] = lambda: None) -> None:
        """`progress` is called at the beginning and end of each request, in the thread that makes it."""
        self._settings = settings
        self._transport = Transport(settings, progress)
        self._session = Session(settings, self._transport)
        self._breaker = new_breaker()
        self._retry = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=PAUSE,
            retry=tenacity.retry_if_exception(self._worth_retrying),
            reraise=True,
        )
        self._lock = threading.Lock()
        self._urls = Urls()
        self._active: frozenset[str] = frozenset()
        """Before 4.6: hashes in the last answer of the active ones."""
        self._full_wanted = threading.Event()
        self._full_wanted.set()
        self._asked = threading.Event()
        self._rid = 0
        self._session_number = 0
        self._names = False
        self._global_limit: int | None = None
        self._global_limit_at = -GLOBAL_LIMIT_S
        self._refresh_s: float | None = None
        self._inventory_at = 0.0
        self._inventory_took_s = 0.0

    @property
    def stats(self) -> ClientStats:
        return self._session.stats

    @property
    def breaker_state(self) -> str:
        """`closed` (all is well), `open` (qBittorrent is left alone for a while) or `half-open` (being probed)."""
        return str(self._breaker.current_state)

    @property
    def logins(self) -> LoginGate:
        """When a refused login may be tried again."""
        return self._session.gate

    def observe(
        self, hints: Collection[str] = (), known: Known = lambda _hash: None, *, names: bool = False
    ) -> Observation:
        """Read once. The first read, and the first after any failure, is full.

        `hints` matter before 4.6 only, where idle torrents are not read each time; texts that are no hash are ignored.
        `known` returns a torrent as read before; who reads only once needs none. `names`: with names, where an answer
        shows them.
        """
        self._names = names
        return self._call(partial(self._observe_once, hints, known))

    def set_upload_limit(self, limit: int, hashes: Sequence[str]) -> None:
        """Set one limit on all `hashes`, in one call. ValueError, before anything is sent, if it is no limit."""
        fields = {"hashes": "|".join(hashes), "limit": str(limit_to_wire(limit))}
        if hashes:
            self._call(partial(self._write, "/api/v2/torrents/setUploadLimit", fields))

    def upload_limits(self, hashes: Sequence[str]) -> dict[str, int]:
        """Return the limits in force now, bytes/s or UNLIMITED, of those torrents that qBittorrent has."""
        return {row.hash: limit_from_wire(row.up_limit) for row in self._look_up(hashes)}

    def names(self, hashes: Sequence[str]) -> dict[str, str]:
        """Return the names of those torrents that qBittorrent has."""
        return {row.hash: row.name for row in self._look_up(hashes)}

    def v1_hashes(self, hashes: Sequence[str] | None) -> dict[str, str]:
        """Return the v1 info hash of each torrent, empty if it has none. `hashes`: None means all torrents."""
        rows = self._call(partial(self._read_rows, None)) if hashes is None else self._look_up(hashes)
        return {row.hash: row.infohash_v1 for row in rows}

    def listed(self, hashes: Iterable[str]) -> Iterator[ListedTorrent]:
        """Yield those of these torrents that there are, read in small pieces; between them others get their turn."""
        from qguardarr.adapters.qbittorrent.listing import in_pieces, rows  # noqa: PLC0415 # only people ask for it

        def read(piece: Sequence[str]) -> list[ListedTorrent]:
            with self._session.request("read", "POST", "/api/v2/torrents/info", {"hashes": "|".join(piece)}) as answer:
                return rows(answer.chunks(), self._urls)

        return in_pieces(hashes, lambda piece: self._call(partial(read, piece)))

    def preferences(self, names: Sequence[str]) -> dict[str, object]:
        """Return qBittorrent's own settings by their names in its Web API, without those that its version lacks."""

        def read() -> dict[str, object]:
            with self._session.request("read", "GET", "/api/v2/app/preferences") as answer:
                try:
                    found = msgspec.json.decode(answer.body(), type=dict[str, msgspec.Raw])
                    return {name: msgspec.json.decode(found[name]) for name in names if name in found}
                except msgspec.DecodeError:
                    raise Unreachable("qBittorrent's preferences could not be understood") from None

        return self._call(read)

    def set_preferences(self, values: Mapping[str, object]) -> None:
        """Set qBittorrent's own settings; all others stay. It ignores names that its version lacks: read them back.

        TypeError, before anything is sent, for values that JSON cannot hold.
        """
        fields = {"json": msgspec.json.encode(values).decode()}
        self._call(partial(self._write, "/api/v2/app/setPreferences", fields))

    def request_full(self) -> None:
        """Make the next `observe` full."""
        self._full_wanted.set()

    def retry_login(self) -> None:
        """Let the next call try a refused login again, or end the breaker's pause, since a person asks for it.

        `LoginGate.ask` bounds it, so that it leads to no ban. Never waits; from any thread.
        """
        self._asked.set()

    def follow(self, before: QBittorrentClient) -> None:
        """Take over the counts and refusals of the client before this one. Call it before anything else."""
        self._session.follow(before._session)

    def close(self) -> None:
        """Close the connection, which ends a call that blocks in another thread. Never raises."""
        self._transport.close()

    def _call(self, operation: Callable[[], T]) -> T:
        """Run `operation` behind the breaker. Repeat it when the connection broke before an answer.

        All operations may be repeated: the same limit set twice is the same as once.
        """
        if not self._settings.url:
            hint = "write it as qbittorrent.url, or set QBIT_URL"
            raise NoAddress("qBittorrent's address is not known", hint=hint)
        with self._lock:
            if self._asked.is_set():
                self._asked.clear()
                self._session.ask()
                if self.breaker_state != pybreaker.STATE_CLOSED:
                    self._breaker.close()
            try:
                result: T = self._breaker.call(self._retry, operation)
            except pybreaker.CircuitBreakerError:
                raise Unreachable(
                    f"qBittorrent failed {self._breaker.fail_max} times or more in a row and is left alone for up to "
                    f"{self._breaker.reset_timeout:.0f} s ({self.stats.last_error})"
                ) from None
            except ClientError as error:
                self.stats.last_error = str(error)
                raise
            self.stats.last_error = None
            return result

    def _worth_retrying(self, error: BaseException) -> bool:
        return isinstance(error, ConnectionLost) and not self._transport.closed

    def _observe_once(self, hints: Collection[str], known: Known) -> Observation:
        rid, self._rid = self._rid, 0  # whatever goes wrong from here on: start over with everything
        full = self._full_wanted.is_set()
        self._full_wanted.clear()
        try:
            self._session.connect()
            full = full or self._session.number != self._session_number
            if self._session.version >= MAINDATA_SINCE:
                return self._read_maindata(0 if full else rid, known)
            return self._read_info(full, known, {hint.lower() for hint in hints if HASH.fullmatch(hint.lower())})
        except BaseException as error:
            self._full_wanted.set()
            if isinstance(error, (msgspec.DecodeError, GarbledError, RecursionError)):
                raise Unreachable(f"qBittorrent's answer could not be understood ({error})") from None
            raise

    def _read_maindata(self, rid: int, known: Known) -> Observation:
        merge = Merge(known, self._urls, full=not rid, names=self._names)
        with self._session.request("read", "GET", f"/api/v2/sync/maindata?rid={rid}") as answer:
            main = merge.maindata(answer.chunks())
        state = main.server_state
        if isinstance(state.up_rate_limit, int):
            self._global_limit = limit_from_wire(state.up_rate_limit)
        if isinstance(state.refresh_interval, int) and state.refresh_interval > 0:
            self._refresh_s = state.refresh_interval / 1000
        if merge.incomplete:
            self._full_wanted.set()
        self._rid = main.rid
        if main.full_update:
            return self._observation(answer, True, merge.seen)
        return self._observation(answer, False, merge.changed(), frozenset(main.torrents_removed))

    def _read_info(self, full: bool, known: Known, hints: Collection[str] = ()) -> Observation:
        if self._global_limit is None or time.monotonic() - self._global_limit_at >= GLOBAL_LIMIT_S:
            self._global_limit = self._read_global_limit()
            self._global_limit_at = time.monotonic()
        began = time.monotonic()
        since_inventory_s = began - self._inventory_at
        full = full or since_inventory_s >= min(INVENTORY_SHARE * self._inventory_took_s, self._settings.inventory_s)
        full = full or len(hints) > MAX_HINTS
        path = "/api/v2/torrents/info" if full else "/api/v2/torrents/info?filter=active"
        merge = Merge(known, self._urls, full=full, names=self._names)
        with self._session.request("read", "GET", path) as answer:
            merge.rows(answer.chunks())
        asked = frozenset() if full else frozenset(hints) - merge.seen.keys()
        if asked:
            with self._session.request("read", "POST", "/api/v2/torrents/info", {"hashes": "|".join(asked)}) as hinted:
                merge.rows(hinted.chunks())
        if merge.incomplete:
            raise GarbledError("torrents without their fields")
        if not full and self._session.number != self._session_number:  # perhaps qBittorrent has just been restarted
            return self._read_info(True, known)
        if full:
            self._inventory_at = began
            self._inventory_took_s = time.monotonic() - began
            self._active = frozenset(h for h, torrent in merge.seen.items() if torrent.activity is Activity.ACTIVE)
            return self._observation(answer, True, merge.seen)
        changed = merge.changed()
        for torrent_hash in self._active - merge.seen.keys():
            torrent = known(torrent_hash)
            if torrent is not None and torrent.activity is Activity.ACTIVE:  # no longer, or it would have been listed
                changed[torrent_hash] = msgspec.structs.replace(torrent, activity=Activity.IDLE, active_s=0)
        self._active = frozenset(merge.seen)
        removed = frozenset(h for h in asked - merge.seen.keys() if known(h) is not None)
        return self._observation(answer, False, changed, removed)

    def _observation(
        self, answer: Answer, full: bool, torrents: MutableMapping[str, Torrent], removed: frozenset[str] = frozenset()
    ) -> Observation:
        for torrent_hash in removed:
            torrents.pop(torrent_hash, None)
        self._session_number = self._session.number
        refresh_s = self._refresh_s or self._session.refresh_s
        return Observation(
            answer.at,
            full,
            torrents,
            removed,
            self._global_limit,
            refresh_s,
            names_all_changes=self._session.version >= MAINDATA_SINCE,
        )

    def _read_global_limit(self) -> int:
        with self._session.request("read", "GET", "/api/v2/transfer/info") as answer:
            return limit_from_wire(msgspec.json.decode(answer.body(), type=TransferInfo).up_rate_limit)

    def _look_up(self, hashes: Sequence[str]) -> list[Row]:
        """Return what `torrents/info` says about those of `hashes` that exist."""
        rows: list[Row] = []
        for start in range(0, len(hashes), HASHES_PER_CALL):
            rows += self._call(partial(self._read_rows, hashes[start : start + HASHES_PER_CALL]))
        return rows

    def _read_rows(self, hashes: Sequence[str] | None) -> list[Row]:
        """Return what `torrents/info` says about `hashes`, or about all torrents."""
        asked = ("GET", None) if hashes is None else ("POST", {"hashes": "|".join(hashes)})
        with self._session.request("read", asked[0], "/api/v2/torrents/info", asked[1]) as answer:
            try:
                return [msgspec.convert(row, Row) for row in array_items(answer.chunks())]
            except (GarbledError, msgspec.MsgspecError) as error:
                raise Unreachable(f"qBittorrent's answer could not be understood ({error})") from None

    def _write(self, path: str, fields: Mapping[str, str]) -> None:
        with self._session.request("write", "POST", path, fields) as answer:
            answer.body()
