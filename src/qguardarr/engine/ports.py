"""Protocols between the engine and the outside world: qBittorrent, the journal, the clock.

Adapters implement them; tests bring fakes held to the same contract. Everything blocks: the engine is one thread, which
keeps a cycle a paragraph and leaves the event loop to the API. What features and the API need is in `feature_ports.py`.
The journal's port makes the module long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import msgspec

from qguardarr.core.model import Change, Observation, Torrent
from qguardarr.core.select.matcher import NOTHING_KNOWN

Known = Callable[[str], Torrent | None]
"""Returns a torrent as earlier reads showed it, by hash; None if none did."""


class ListedTorrent(NamedTuple):
    """A torrent in a list for people."""

    hash: str
    urls: tuple[str, ...]
    """Announce URLs. They hold passkeys: never print them, never keep them."""
    rate: int
    """Upload rate as qBittorrent shows it, bytes/s."""
    about: Torrent = NOTHING_KNOWN
    """What else rules ask about, name included; its other fields are not filled in."""
    instance: str = ""
    """Name of the qBittorrent that has it; empty for the only one, and from a client."""


class TorrentLister(Protocol):
    """Reads torrents again, one after the other."""

    def listed(self, hashes: Iterable[str]) -> Iterator[ListedTorrent]:
        """Yield those of these torrents that there are, read in small pieces: a cycle waits for one of them at most.

        Raises `ClientError` while it goes on.
        """
        ...


class TorrentClient(Protocol):
    """qBittorrent. Every method raises `ClientError` (see `qguardarr.errors`) and nothing else."""

    def observe(
        self, hints: Collection[str] = (), known: Known = lambda _hash: None, *, names: bool = False
    ) -> Observation:
        """Read once. The first read, and the first after any failure, is full.

        Args:
            hints: hashes of torrents that something may have happened to (added, completed, deleted); whatever the
                version of qBittorrent, the observation tells if something has.
            known: where torrents are kept, so that they are in one place only. Who reads only once needs none.
            names: with names, where an answer shows them; else they take room for nothing.
        """
        ...

    def set_upload_limit(self, limit: int, hashes: Sequence[str]) -> None:
        """Set one limit (1 … MAX_LIMIT bytes/s, or UNLIMITED) on all `hashes`, in one call.

        `Unreachable` means that it may or may not have happened. Unknown hashes are ignored, as qBittorrent does.
        """
        ...

    def upload_limits(self, hashes: Sequence[str]) -> dict[str, int]:
        """Return the limits in force now, bytes/s or UNLIMITED; a hash that is missing from the answer is gone."""
        ...

    def names(self, hashes: Sequence[str]) -> dict[str, str]:
        """Return names, for people; a hash that is missing from the answer is gone."""
        ...

    def v1_hashes(self, hashes: Sequence[str] | None) -> dict[str, str]:
        """Return each v1 info hash (None: of all), empty if there is none; a hash that is missing is gone.

        A hybrid torrent's id is another one, but was that if it was added by a v1 magnet, until its metadata arrived.
        """
        ...

    def request_full(self) -> None:
        """Make the next `observe` full."""
        ...

    def retry_login(self) -> None:
        """Log in again at the next call, whatever failed before. Never waits; from any thread."""
        ...

    def close(self) -> None:
        """Give up connections; wakes a call that blocks in another thread. Never raises."""
        ...


class Touched(msgspec.Struct, frozen=True, gc=False):
    """A torrent whose limit we changed and have not restored."""

    hash: str
    original: int
    """Limit that the person had set, bytes/s or UNLIMITED."""
    written: tuple[int, ...]
    """Values that may be in force by our hand: the last applied, and any intended since. Newest first."""


class HistoryEntry(msgspec.Struct, frozen=True):
    """One line of the journal."""

    id: int
    at: float
    """Unix time, seconds."""
    hash: str
    old: int
    new: int
    status: str
    """intended, applied, failed, restored or adopted (a person changed it; `new` became the original)."""
    reason: str
    instance: str = ""
    """Name of the qBittorrent that has the torrent; empty for the only one."""


class HistoryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines of the history; None, or an empty text: all."""

    hash_prefix: str = ""
    """Hexadecimal digits that the torrent's hash begins with."""
    start: float | None = None
    """Lines from this Unix time on."""
    end: float | None = None
    """Lines before this Unix time."""
    status: str = ""
    instance: str | None = None
    """Of this qBittorrent alone; None: of all that the handle knows."""


class LimitHistory(Protocol):
    """The history of writes, to read. Every method raises `JournalError` when it cannot, and nothing else."""

    def history(
        self,
        *,
        hash: str | None = None,  # noqa: A002 # what it is
        limit: int = 100,
        before_id: int | None = None,
        wanted: HistoryFilter = HistoryFilter(),  # noqa: B008 # frozen
    ) -> list[HistoryEntry]:
        """Return lines of the history, newest first."""
        ...

    def touched_at(self, hashes: Sequence[str]) -> dict[str, float]:
        """Return the Unix time of the first write to each of these that is touched, as far as history goes back."""
        ...


class Journal(LimitHistory, Protocol):
    """Remembers originals and every write of one qBittorrent; pause and file are of all.

    Every method raises `JournalError` when it cannot, and nothing else.
    """

    def of(self, instance: str) -> Journal:
        """Return the journal as it knows the torrents of one of several qBittorrents."""
        ...

    def intend(self, changes: Sequence[Change]) -> Sequence[int]:
        """Record originals (first touch only) and intents, durably, before the write. Return an id for each change."""
        ...

    def applied(self, ids: Sequence[int]) -> None:
        """Note that these writes succeeded."""
        ...

    def failed(self, ids: Sequence[int]) -> None:
        """Note that these writes were refused or got no answer; they may be in force all the same."""
        ...

    def adopt(self, originals: dict[str, int], reason: str = "set by hand") -> None:
        """Make limits that a person set the originals of torrents that we manage. `reason`: for the history."""
        ...

    def restored(self, hashes: Iterable[str]) -> None:
        """Note that these have their originals back, verified: they are no longer ours."""
        ...

    def renamed(self, old: str, new: str) -> None:
        """Give all that is known of the id `old` to `new`: qBittorrent gave a torrent another id."""
        ...

    def missing(self, hashes: Collection[str]) -> None:
        """Note which of the touched torrents qBittorrent lacks now; all others are there.

        They are kept, since they may come back, until they were missing each time for longer than `prune` is told; so
        call this now and then, with a complete list at hand.
        """
        ...

    def touched(self, hashes: Collection[str] | None = None) -> dict[str, Touched]:
        """Return all that is not restored yet; or of these torrents alone."""
        ...

    def recall(self, hashes: Collection[str] | None = None) -> Iterator[tuple[Touched, bool]]:
        """Yield `recently_restored` (False), then `touched` (True), one by one: there may be tens of thousands.

        Of these torrents alone, if `hashes` are given. Nothing else may be asked of the journal before the last one.
        """
        ...

    def recently_restored(self) -> dict[str, Touched]:
        """Return torrents restored within retention and not touched since.

        A qBittorrent that crashes within about a second of the restoring loses it. If the limit in force is then one
        of `written`, it is ours and not the person's: `original` is.
        """
        ...

    def wrote(self, hash: str, limit: int) -> bool:  # noqa: A002 # what it is
        """Tell whether we ever wrote (or intended) this limit on this torrent, within retention.

        Writes that put the person's own value back do not count: that value is the person's at any time.
        """
        ...

    def settle_unknown(self, limit_of: Callable[[str], int | None]) -> None:
        """Take the limits in force for the ones that we wrote, where a lost journal left that unknown.

        `limit_of`: limit in force by hash, bytes/s or UNLIMITED; None if qBittorrent lacks the torrent.
        """
        ...

    def holding(self) -> str:
        """Return why nothing may be written though the journal can be: another one should be here. Else empty."""
        ...

    def has_begun(self) -> bool:
        """Tell whether anything was ever written with this journal, or a person said that nothing was before."""
        ...

    def make_room(self) -> bool:
        """Give up what is kept for a restoring on a full disk; False if there was nothing."""
        ...

    def generation(self) -> int:
        """Return a number that changes when `touched` or `paused` may answer differently by another's doing. Cheap.

        Another's: of another process, or a `restored` or `set_paused` of this handle (in another thread).
        """
        ...

    def paused(self) -> str | None:
        """Return why the guard is paused, in words; None if it is not. Read from disk: any process may have set it."""
        ...

    def set_paused(self, reason: str | None) -> None:
        """Pause with a reason, or resume with None. Outlives restarts."""
        ...

    def foreign(self) -> str:
        """Return the last note of `set_foreign`; empty if there is none."""
        ...

    def set_foreign(self, note: str) -> None:
        """Note which limits other programs set (see `qguardarr.core.reconcile.foreign.Note`). Survives restarts."""
        ...

    def configuration(self) -> str:
        """Return the last digest of `set_configuration`; empty if there is none."""
        ...

    def set_configuration(self, digest: str) -> None:
        """Note that all limits in force follow from the policy that `digest` stands for. Survives restarts."""
        ...

    def in_use(self) -> str:
        """Return the last text of `set_in_use`; empty if there is none."""
        ...

    def set_in_use(self, text: str) -> None:
        """Note what this qBittorrent uses of the caps. Survives restarts."""
        ...

    def prune(self, *, older_than_s: float, give_up_s: float | None = None) -> int:
        """Delete history older than that; originals of torrents not yet restored stay. Return the lines deleted.

        Torrents that were `missing` each time for longer than `give_up_s` (None: as history) are given up. Bounded to a
        second or two; the rest of a large backlog goes at the next call.
        """
        ...

    def exclusive(self, timeout_s: float) -> AbstractContextManager[None]:
        """Hold the lock between processes: the daemon for a cycle, a command for a rollback. `Busy` on time-out."""
        ...

    def close(self) -> None: ...


class Clock(Protocol):
    """Time. Virtual in tests."""

    def monotonic(self) -> float:
        """Seconds; never goes back."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait that long, or until woken by a hint or a stop; True if woken."""
        ...

    def wake(self) -> None:
        """End the present wait, or the next one. From any thread."""
        ...
