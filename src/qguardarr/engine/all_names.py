"""The names of all torrents, while somebody searches for one or sorts by them: read once, packed, then dropped."""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from qguardarr.core.reconcile.rows import KEY_BYTES, Rows
from qguardarr.errors import ClientError

if TYPE_CHECKING:
    from qguardarr.engine.everywhere import Asked

KEPT_S: Final = 120.0
"""Names are dropped that long after the last search. Those of 30,000 torrents take 3 MB."""
ASK_AGAIN_S: Final = 600.0
"""Longest time until a renamed torrent is found by its new name."""
WAIT_S: Final = 1.5
"""Longest that a search waits for names; after that it is made in those that have come."""
CHUNK: Final = 500
"""Names of one request. For 30,000 at once qBittorrent writes 60 MB, and no limit can be written for seconds."""
LONGEST: Final = 512
"""Bytes of a name that are kept and searched: 15 MB for 30,000 names of that length."""

_ROW: Final = struct.Struct(f"<{KEY_BYTES}sIH")
"""Key; where the name begins in the text, and its length, in bytes."""


class AllNames:
    """For any thread; one reads, others wait for a moment."""

    def __init__(
        self,
        client: Callable[[], Asked],
        hashes: Callable[[], Iterable[str]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`client` returns the one in use, `hashes` all torrents that there are. `now`: monotonic clock, seconds."""
        self._client = client
        self._hashes = hashes
        self._now = now
        self._lock = threading.Lock()
        self._reading: threading.Thread | None = None
        self._used_at = self._began_at = now()
        self._clear()

    def read(self) -> int:
        """Read names that are not known, for a moment at most. Return how many are still missing."""
        with self._lock:
            self._used_at = self._now()
            if self._used_at - self._began_at > ASK_AGAIN_S and self._reading is None:
                self._clear()
            missing = self._missing()
            if missing and self._reading is None:
                self._reading = threading.Thread(target=self._read, args=(missing,), name="names", daemon=True)
                self._reading.start()
            reading = self._reading
        if reading is not None:
            reading.join(WAIT_S)
        with self._lock:
            return len(self._missing())

    def matching(self, text: str) -> Collection[str]:
        """Return the hashes of torrents whose names hold each word of `text`, in upper or lower case."""
        words = text.casefold().split()
        with self._lock:
            slots = self._rows.slots()
            return {
                self._rows.key(slot).hex()
                for slot in slots
                if (name := self._name(slot).casefold()) and all(word in name for word in words)
            }

    def of(self, hashes: Iterable[str]) -> dict[str, str]:
        """Return names that are at hand."""
        with self._lock:
            slots = {hash_: self._rows.find(bytes.fromhex(hash_)) for hash_ in hashes}
            return {hash_: name for hash_, slot in slots.items() if slot >= 0 and (name := self._name(slot))}

    def forget(self) -> None:
        """Drop names that nobody needs any longer."""
        if len(self._rows) and self._now() - self._used_at > KEPT_S and self._reading is None:
            with self._lock:
                self._clear()

    def _clear(self) -> None:
        self._rows = Rows(_ROW.size)
        self._text = bytearray()
        self._began_at = self._now()

    def _missing(self) -> list[str]:
        find = self._rows.find
        return [hash_ for hash_ in self._hashes() if find(bytes.fromhex(hash_)) < 0]

    def _name(self, slot: int) -> str:
        _, at, length = _ROW.unpack_from(self._rows.data, slot * _ROW.size)
        return self._text[at : at + length].decode(errors="ignore")  # the last character may be cut

    def _read(self, missing: Sequence[str]) -> None:
        try:
            with contextlib.suppress(ClientError):
                for start in range(0, len(missing), CHUNK):
                    asked = missing[start : start + CHUNK]
                    names = self._client().names(asked)
                    with self._lock:
                        for hash_ in asked:
                            self._add(hash_, names.get(hash_, ""))  # gone: not to be asked for again
        finally:
            self._reading = None

    def _add(self, hash_: str, name: str) -> None:
        key, text = bytes.fromhex(hash_), name[:LONGEST].encode(errors="replace")[:LONGEST]
        if self._rows.find(key) < 0:
            _ROW.pack_into(self._rows.data, self._rows.add(key) * _ROW.size, key, len(self._text), len(text))
            self._text += text
