"""What the core knows about torrents, trackers and limits.

Limits are plain integers in bytes/s, 1 … `MAX_LIMIT`, or `UNLIMITED`, which is larger than every limit so that
`min` and `<` mean what they say. qBittorrent's own 0 (which means unlimited) exists only in the adapter.

`msgspec.Struct` with `gc=False` instead of dataclasses: thousands of torrents are made each cycle.
"""

from __future__ import annotations

import enum
import math
import struct
from collections.abc import MutableMapping
from typing import Final, Literal

import msgspec

from qguardarr.core.timed import Quota, Window

MAX_LIMIT: Final = 2_147_483_646
"""Largest limit that qBittorrent takes, bytes/s; larger values wrap to unlimited."""

UNLIMITED: Final = 2_147_483_647
"""No limit."""

LONGEST_URL: Final = 1024
"""Announce URLs of more characters are ignored."""

LONGEST_NAME: Final = 512
"""Names of torrents are read up to this many characters."""


def checked_limit(limit: int) -> int:
    """Return `limit` if it is 1 … MAX_LIMIT bytes/s or UNLIMITED; ValueError otherwise."""
    if not 1 <= limit <= UNLIMITED:
        raise ValueError(f"not a limit: {limit} bytes/s (1 … {MAX_LIMIT}, or UNLIMITED)")
    return limit


class Activity(enum.IntEnum):
    """Whether a torrent's state lets it upload."""

    STOPPED = 0
    """Cannot upload until a person starts it (stopped, paused, error, missing files)."""
    IDLE = 1
    """May upload at any moment (stalled, queued, checking, moving, metadata)."""
    ACTIVE = 2
    """qBittorrent calls it uploading or downloading."""


class Labels(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """What people call a torrent by, and whether it is private. Equal ones are one object, since few differ."""

    category: str
    """Empty if it has none; with its parents: `movies/uhd`."""
    tags: tuple[str, ...]
    private: bool | None
    """None if it is not known: before qBittorrent 5.0, and without metadata."""


NO_LABELS: Final = Labels("", (), None)


class Torrent(msgspec.Struct, frozen=True, gc=False):
    """One torrent as qBittorrent showed it last."""

    hash: str
    """qBittorrent's id: 40 hex digits. Another qBittorrent may have the same; each has a registry of its own."""
    urls: tuple[str, ...]
    """All announce URLs, every tier. They hold passkeys: never print them. Equal tuples are one object. Empty if
    `urls_digest` is the one that was known: nobody keeps URLs."""
    activity: Activity
    up_limit: int
    """Upload limit in force, bytes/s, or UNLIMITED."""
    uploaded: int
    """`uploaded_session`: payload bytes since the torrent was started. Falls to 0 on stop or restart."""
    leechers: int
    """Connected leechers."""
    swarm_leechers: int
    """Leechers in the swarm, as trackers report it; 0 when unknown."""
    downloading: bool
    """Not complete yet."""
    active_s: int = 0
    """`time_active`: whole seconds of activity when the counters were copied; tells how far apart two copies are. Kept
    for active ones; else 0."""
    urls_digest: int = 0
    """Stands for `urls` once they are not kept (see `digest_of`); 0 if it was not worked out."""
    labels: Labels = NO_LABELS
    ratio: float = 0.0
    """Uploaded ÷ downloaded, in the precision of `float32`; infinite if qBittorrent shows no number."""
    size: int = 0
    """Bytes of the files that are wanted; 0 while that is unknown."""
    added_on: int = 0
    """When it was added, Unix seconds; 0 if unknown."""
    uploaded_ever: int = 0
    """`uploaded`: payload bytes since it was added. It stays on stop and restart, and may then lack some seconds."""
    name: str = ""
    """Empty if it is not shown: nobody keeps names."""
    reannounce: int = -1
    """Seconds until the next announce when the counters were copied. Kept for active ones; else, and before qBittorrent
    5.1, -1."""


_FLOAT32: Final = struct.Struct("<f")
_MOST_RATIO: Final = 1e9


def float32(number: float) -> float:
    """Return a ratio as it is kept. ValueError if it is negative or not a number."""
    if not number >= 0.0:
        raise ValueError(f"not a ratio: {number}")
    return float(_FLOAT32.unpack(_FLOAT32.pack(number))[0]) if number <= _MOST_RATIO else math.inf


_DOWNLOADING: Final = 4
"""Set in the byte of a packed activity, which takes two bits."""
_ACTIVITIES: Final = tuple(Activity)


def packed_activity(torrent: Torrent) -> int:
    """Return `activity` and `downloading` of a torrent as one byte."""
    return torrent.activity | (_DOWNLOADING if torrent.downloading else 0)


def unpacked_activity(packed: int) -> tuple[Activity, bool]:
    """Return `activity` and `downloading` from the byte of `packed_activity`."""
    return _ACTIVITIES[packed & ~_DOWNLOADING], bool(packed & _DOWNLOADING)


def digest_of(urls: tuple[str, ...]) -> int:
    """Return a number of 32 bits that differs where announce URLs differ, but for one case in 2³⁰; never 0.

    It is odd if there is more than one URL. Valid within this process only.
    """
    return (hash(urls) & 0x7FFFFFFF) << 1 | (len(urls) > 1) or 2


def has_several(urls_digest: int) -> bool:
    """Return whether a digest stands for more than one announce URL."""
    return bool(urls_digest & 1)


class Observation(msgspec.Struct, frozen=True, gc=False):
    """One successful read. "Unknown" is never in here: a read that failed raises instead."""

    at: float
    """Monotonic time in seconds at which the answer began to arrive."""
    full: bool
    """`torrents` is the complete list: what is missing from it is gone."""
    torrents: MutableMapping[str, Torrent]
    """By hash. All of them if `full`, else those that are new or may have changed."""
    removed: frozenset[str]
    """Hashes that qBittorrent says are gone (never filled when `full`)."""
    global_limit: int | None
    """qBittorrent's own upload limit in force now (normal or alternative), bytes/s or UNLIMITED; None if not read."""
    refresh_s: float
    """How often qBittorrent refreshes the counters, seconds (its `refresh_interval`)."""
    names_all_changes: bool = False
    """A torrent that is missing from `torrents` is unchanged (before 4.6 idle ones may have changed)."""


class Range(msgspec.Struct, frozen=True, omit_defaults=True):
    """Numbers from `above` on that are less than `below`; None is no bound."""

    above: float | None = None
    below: float | None = None


ANY_NUMBER: Final = Range()


class Selector(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which torrents: those for which all conditions hold. A default is no condition."""

    pattern: str = ""
    """Regular expression, case-insensitive, searched in the announce URL."""
    category: tuple[str, ...] = ()
    """One of these, or beneath one; an empty text: no category."""
    tags: tuple[str, ...] = ()
    """At least one of these; an empty text: no tags."""
    private: bool | None = None
    ratio: Range = ANY_NUMBER
    age: Range = ANY_NUMBER
    """Seconds since it was added."""
    size: Range = ANY_NUMBER
    """Bytes."""
    state: Literal["downloading", "seeding"] | None = None
    """Whether it is complete."""
    name: str = ""
    """Regular expression, case-insensitive, searched in the torrent's name."""
    instance: tuple[str, ...] = ()
    """Names of qBittorrents."""
    unless: tuple[Selector, ...] = ()
    """None of these selects it. Its announce URLs count together there."""


class Overspeed(msgspec.Struct, frozen=True):
    """A site's rule: between two announces, no torrent uploads faster than this on average (see `core.caps.bounds`)."""

    limit: int
    """Bytes/s."""
    margin: float = 0.05
    """Part (0 … 1) of the limit that is left unused."""
    saves: bool = False
    """A torrent may later use what it left unused since its last announce."""

    @property
    def steady(self) -> int:
        """Limit that keeps the rule over every interval that is long enough, bytes/s."""
        return max(1, int(self.limit * (1.0 - self.margin)))


class Tier(msgspec.Struct, frozen=True):
    """A cap for each torrent of a group for which all of these conditions hold; those that are None do not count."""

    cap: int
    """Bytes/s."""
    above_ratio: float | None = None
    """Its ratio is this or more."""
    above_age_s: float | None = None
    """It was added this long ago or longer, seconds."""


class TrackerClass(msgspec.Struct, frozen=True):
    """A group that selects torrents, which share `cap`."""

    id: str
    name: str
    pattern: str
    """Regular expression, case-insensitive, searched in the announce URL; empty: any."""
    cap: int
    """Most bytes/s for all its torrents together, or UNLIMITED. In a policy in force, also what its parents allow at
    most (see `core.caps.chain`)."""
    priority: int
    """1 … 10; higher borrows first."""
    rate: int | None = None
    """Bytes/s that it may always use (HTB's rate), 0 or more; None: its cap."""
    weight: int | None = None
    """Its share of what is lent, relative to the groups beside it that have a weight; None: see `Policy.parents`."""
    parent: str = ""
    """Id of the group above it; empty: the line."""
    when_busy: bool = False
    """The cap counts only while what is above it is full."""
    overspeed: Overspeed | None = None
    tiers: tuple[Tier, ...] = ()
    schedule: tuple[Window, ...] = ()
    """The first window that holds counts; without one, the numbers above."""
    quota: Quota | None = None
    file_cap: int | None = None
    """Cap of the configuration where another one is in force: torrents are selected by that. None: `cap`."""
    may_rise: bool = True
    """False: its torrents' limits stay as they are, and none is raised."""
    where: Selector = Selector()
    """Conditions besides `pattern`."""

    @property
    def selector(self) -> Selector:
        """All conditions."""
        return msgspec.structs.replace(self.where, pattern=self.pattern)

    @property
    def is_capped(self) -> bool:
        """Whether there is a cap."""
        return self.cap < UNLIMITED

    @property
    def bounds_torrents(self) -> bool:
        """Whether single torrents may have bounds of their own, beside those that persons set by hand."""
        return self.overspeed is not None or bool(self.tiers)

    @property
    def limits_torrents(self) -> bool:
        """Whether torrents may get limits of ours."""
        return self.is_capped or self.bounds_torrents

    @property
    def selecting_cap(self) -> int:
        """The cap by which `strictest` chooses: a changed one moves no torrent."""
        return self.cap if self.file_cap is None else self.file_cap


class ParentGroup(msgspec.Struct, frozen=True):
    """A group of groups: all torrents beneath it share `cap`. The line is one, with an empty id.

    Fields that `TrackerClass` has too mean the same.
    """

    id: str
    name: str
    cap: int
    priority: int = 1
    rate: int | None = None
    weight: int | None = None
    parent: str = ""
    when_busy: bool = False
    schedule: tuple[Window, ...] = ()
    quota: Quota | None = None
    may_rise: bool = True


class Change(msgspec.Struct, frozen=True, gc=False):
    """One limit to write."""

    hash: str
    old: int
    """Limit in force when decided, bytes/s or UNLIMITED."""
    new: int
    """Limit to set, bytes/s or UNLIMITED."""
    original: int
    """What the person had set, bytes/s or UNLIMITED; what a rollback restores."""
    reason: str
    """In words, for a person."""
    instance: str = ""
    """Name of the qBittorrent that has the torrent (see `engine.instance`); empty for the only one."""
