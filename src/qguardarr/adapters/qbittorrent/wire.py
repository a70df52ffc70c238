"""Turn qBittorrent's answers, of which only a few fields are read, into the core's torrents."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, UnsetType

from qguardarr.core.model import (
    LONGEST_NAME,
    LONGEST_URL,
    MAX_LIMIT,
    UNLIMITED,
    Activity,
    Labels,
    Torrent,
    digest_of,
    float32,
    has_several,
)


class TorrentDelta(msgspec.Struct, gc=False):
    """One torrent in an answer; a partial answer has only the fields that changed."""

    hash: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    up_limit: int | UnsetType = UNSET
    uploaded_session: int | UnsetType = UNSET
    time_active: int | UnsetType = UNSET
    reannounce: int | UnsetType = UNSET
    num_leechs: int | UnsetType = UNSET
    num_incomplete: int | UnsetType = UNSET
    magnet_uri: str | UnsetType = UNSET
    tracker: str | UnsetType = UNSET
    progress: float | UnsetType = UNSET
    category: str | UnsetType = UNSET
    tags: str | UnsetType = UNSET
    private: bool | UnsetType | None = UNSET
    ratio: float | UnsetType = UNSET
    size: int | UnsetType = UNSET
    added_on: int | UnsetType = UNSET
    uploaded: int | UnsetType = UNSET
    name: str | UnsetType = UNSET


class ServerState(msgspec.Struct, frozen=True, gc=False):
    up_rate_limit: int | UnsetType = UNSET
    """In force now (normal or alternative), bytes/s; 0 = unlimited."""
    refresh_interval: int | UnsetType = UNSET
    """Milliseconds."""


class Maindata(msgspec.Struct, gc=False):
    rid: int
    full_update: bool = False
    torrents: dict[str, TorrentDelta] = {}
    torrents_removed: list[str] = []
    server_state: ServerState = ServerState()


class Row(msgspec.Struct, gc=False):
    """A torrent in the answer to a look-up by hash."""

    hash: str
    name: str
    up_limit: int
    infohash_v1: str = ""


class TransferInfo(msgspec.Struct, gc=False):
    up_rate_limit: int


class Preferences(msgspec.Struct, gc=False):
    refresh_interval: int = 1500
    """Milliseconds."""


_STATES: Final[dict[str, tuple[Activity, bool | None]]] = {
    "uploading": (Activity.ACTIVE, False),
    "forcedUP": (Activity.ACTIVE, False),
    "downloading": (Activity.ACTIVE, True),
    "forcedDL": (Activity.ACTIVE, True),
    "stalledUP": (Activity.IDLE, False),
    "stalledDL": (Activity.IDLE, True),
    "queuedUP": (Activity.IDLE, False),
    "queuedDL": (Activity.IDLE, True),
    "checkingUP": (Activity.IDLE, False),
    "checkingDL": (Activity.IDLE, True),
    "checkingResumeData": (Activity.IDLE, None),
    "metaDL": (Activity.IDLE, True),
    "forcedMetaDL": (Activity.IDLE, True),
    "allocating": (Activity.IDLE, True),
    "moving": (Activity.IDLE, None),
    "unknown": (Activity.IDLE, None),
    "pausedUP": (Activity.STOPPED, False),
    "pausedDL": (Activity.STOPPED, True),
    "stoppedUP": (Activity.STOPPED, False),
    "stoppedDL": (Activity.STOPPED, True),
    "error": (Activity.STOPPED, None),
    "missingFiles": (Activity.STOPPED, None),
}
"""Activity by state name of any version, and whether the torrent is incomplete (None: the name does not say)."""

_BLANK: Final = Torrent("", (), Activity.IDLE, UNLIMITED, 0, 0, 0, False)
"""Values of a torrent's fields until an answer names them."""
_TR: Final = re.compile(r"[?&]tr=([^&]*)")
_URL_CACHE: Final = 1024
_LABEL_CACHE: Final = 1024
_MOST_URLS: Final = 256
"""The largest public lists of trackers hold some hundred."""
_MOST_ENCODED: Final = 32 * 1024
"""Characters of a magnet link that are read, from the first tracker on. Whoever makes a torrent chooses its length."""
_MOST_COUNT: Final = 2**31 - 1
_MOST_TIME: Final = 2**32 - 1
_MOST_BYTES: Final = 2**63 - 1
"""Larger numbers are garbage, and do not fit into the registry's rows."""


@lru_cache(maxsize=256)
def limit_from_wire(up_limit: int) -> int:
    """Return a limit in bytes/s or UNLIMITED, from qBittorrent's number (0 or less: unlimited).

    Cached, so that thousands of equal limits are one object.
    """
    return min(up_limit, UNLIMITED) if up_limit > 0 else UNLIMITED


def limit_to_wire(limit: int) -> int:
    """Return qBittorrent's number for a limit. ValueError for any value that it would misunderstand."""
    if limit == UNLIMITED:
        return 0
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"not a limit: {limit!r} bytes/s (1 … {MAX_LIMIT}, or UNLIMITED)")
    return limit


class Urls:
    """Extract announce URLs from magnet links. Equal tuples are one object, which a tracker's torrents share.

    Where a tracker gives each torrent a passkey of its own there is nothing to share; the caches are small for that.
    """

    def __init__(self) -> None:
        self._decoded = lru_cache(maxsize=_URL_CACHE)(self._decode)
        self.interned: Callable[[tuple[str, ...]], tuple[str, ...]] = lru_cache(maxsize=_URL_CACHE)(lambda urls: urls)
        """Return the one tuple that equals this one."""

    def of(self, magnet: str, tracker: str) -> tuple[str, ...]:
        """Return each `tr=` of `magnet` once, decoded and in order, or `tracker` alone if there is none.

        URLs that are too long to be matched are left out. Of a list that is too long, the first ones are returned, and
        `tracker`, which is the one that works.
        """
        start = magnet.find("&tr=")
        if start < 0:
            start = max(magnet.find("?tr="), 0)
        urls = self._decoded(magnet[start : start + _MOST_ENCODED + 1])
        if len(urls) == _MOST_URLS or len(magnet) - start > _MOST_ENCODED:
            return urls if tracker in urls or not _usable(tracker) else self.interned((tracker, *urls[:-1]))
        return urls or (self.interned((tracker,)) if _usable(tracker) else ())

    def _decode(self, tail: str) -> tuple[str, ...]:
        if len(tail) > _MOST_ENCODED:
            tail = tail[: tail.rfind("&")]  # the last one is cut in two
        found = dict.fromkeys(url for match in _TR.finditer(tail) if _usable(url := unquote(match[1])))
        return self.interned(tuple(found)[:_MOST_URLS])


def _usable(url: str) -> bool:
    return 0 < len(url) <= LONGEST_URL


def merged(
    previous: Torrent | None, torrent_hash: str, delta: TorrentDelta, urls: Urls, *, names: bool = False
) -> Torrent | None:
    """Return `previous` with the changes of `delta`, or `previous` itself if none of them matters here.

    `names`: with its name, if that is shown. None if the torrent is unknown and `delta` does not describe it, so that
    an earlier answer must have been lost.
    """
    state = delta.state
    if previous is None and UNSET in (state, delta.uploaded_session, delta.up_limit):
        return None
    base = previous or _BLANK
    activity, downloading = base.activity, base.downloading
    if state is not UNSET:
        activity, incomplete = _STATES.get(state, (Activity.IDLE, None))
        if incomplete is not None:
            downloading = incomplete
        elif delta.progress is not UNSET:
            downloading = delta.progress < 1
    up_limit, uploaded, leechers, swarm = delta.up_limit, delta.uploaded_session, delta.num_leechs, delta.num_incomplete
    active_s = base.active_s if delta.time_active is UNSET else _count(delta.time_active)
    reannounce = base.reannounce if delta.reannounce is UNSET else _count(delta.reannounce)
    announce, digest = _announce_urls(previous, delta, urls)
    torrent = Torrent(
        torrent_hash if previous is None else previous.hash,
        announce,
        activity,
        base.up_limit if up_limit is UNSET else limit_from_wire(up_limit),
        base.uploaded if uploaded is UNSET else _count(uploaded, _MOST_BYTES),
        base.leechers if leechers is UNSET else _count(leechers),
        base.swarm_leechers if swarm is UNSET else _count(swarm),
        downloading,
        active_s if activity is Activity.ACTIVE else 0,
        digest,
        _labels(base.labels, delta),
        base.ratio if delta.ratio is UNSET else _ratio(delta.ratio),
        base.size if delta.size is UNSET else _count(delta.size, _MOST_BYTES),
        base.added_on if delta.added_on is UNSET else _count(delta.added_on, _MOST_TIME),
        base.uploaded_ever if delta.uploaded is UNSET else _count(delta.uploaded, _MOST_BYTES),
        delta.name.rstrip()[:LONGEST_NAME] if names and delta.name is not UNSET else "",
        reannounce if activity is Activity.ACTIVE else -1,
    )
    return previous if torrent == previous else torrent


def described(delta: TorrentDelta, urls: Urls) -> Torrent:
    """Return a torrent with all that an answer shows of it, its name included, and with defaults for the rest."""
    torrent = merged(_BLANK, "", delta, urls, names=True)
    assert torrent is not None
    return torrent


def _labels(before: Labels, delta: TorrentDelta) -> Labels:
    category, tags, private = delta.category, delta.tags, delta.private
    if category is UNSET and tags is UNSET and private is UNSET:
        return before
    return _interned_labels(
        before.category if category is UNSET else category,
        ", ".join(before.tags) if tags is UNSET else tags,
        before.private if private is UNSET else private,
    )


@lru_cache(maxsize=_LABEL_CACHE)
def _interned_labels(category: str, tags: str, private: bool | None) -> Labels:
    """Return labels; `tags` as qBittorrent writes them, `a, b`. Cached, so that equal ones are one object."""
    return Labels(category, tuple(sorted({tag for text in tags.split(",") if (tag := text.strip())})), private)


def _ratio(ratio: float) -> float:
    """Return a ratio; qBittorrent writes -1 for one that is endless."""
    return float32(ratio) if ratio >= 0.0 else math.inf


def _count(number: int, most: int = _MOST_COUNT) -> int:
    return max(0, min(number, most))


def _announce_urls(previous: Torrent | None, delta: TorrentDelta, urls: Urls) -> tuple[tuple[str, ...], int]:
    """Return the announce URLs and their digest; those of `previous` if they are the same."""
    tracker = "" if delta.tracker is UNSET else delta.tracker
    if delta.magnet_uri is not UNSET or previous is None:
        found = urls.of("" if delta.magnet_uri is UNSET else delta.magnet_uri, tracker)
    elif _usable(tracker) and not has_several(previous.urls_digest):
        found = urls.interned((tracker,))
    else:
        return previous.urls, previous.urls_digest
    digest = digest_of(found)
    return (found, digest) if previous is None or digest != previous.urls_digest else (previous.urls, digest)
