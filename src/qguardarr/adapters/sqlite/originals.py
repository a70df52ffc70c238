"""The second copy of the originals: a text file beside the journal, so that losing either file loses nothing.

Each line is a JSON object, a tab, and a checksum. Lines are only added, one for each torrent whose original becomes
known, changes or is restored; now and then the whole file is written again. Every line names the journal (`j`) and the
revision (`r`) of the originals that it belongs to. The journal keeps both, so that a comparison tells which of the two
is older. A revision at the end of the file without its last line (`e`) was never carried out.
"""

from __future__ import annotations

import math
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from qguardarr.adapters.sqlite.side_files import beside, open_private, sync_folder

SUFFIX: Final = ".originals"
_TAIL_BYTES: Final = 16_384
"""More than the longest line, as the reason of a pause is bounded."""
LONGEST_REASON: Final = 1_000
"""Characters of the reason of a pause."""
_BYTES_PER_LINE: Final = 120
_WRITTEN_AT_ONCE: Final = 64 * 1024
_SPARE_BYTES: Final = 200_000
"""The file is written again when it is larger than twice its content needs, plus this."""


class Line(msgspec.Struct, omit_defaults=True):
    """One line of the file. A hash (`h`) without an original (`o`) says that the torrent has its original back."""

    j: str
    """Name of the journal."""
    r: int
    """Revision."""
    n: int
    """Number of the newest line in the journal's history before this revision."""
    i: str = ""
    """Name of the qBittorrent that has the torrent; empty for the only one."""
    h: str | None = None
    """Hash of a torrent."""
    o: int | None = None
    """Its original, bytes/s or UNLIMITED."""
    p: str | msgspec.UnsetType | None = msgspec.UNSET
    """Reason of the pause; null: not paused."""
    e: bool = False
    """Whether this is the last line of its revision."""


class Mark(NamedTuple):
    """Position of a copy: the last revision that it holds."""

    journal: str
    revision: int
    newest: int


class State(NamedTuple):
    """Content of a copy."""

    mark: Mark
    originals: dict[str, dict[str, int]]
    """By instance and hash."""
    paused: str | None
    damaged: int
    """Number of lines that could not be read."""
    is_sound: bool
    """Whether nothing is damaged, and the last revision is complete."""

    @property
    def touched(self) -> int:
        """Number of torrents with an original."""
        return sum(map(len, self.originals.values()))


class OutOfStep(Exception):
    """The file does not end with the expected revision."""


class Originals:
    """The second copy of one journal's originals. Every method may raise OSError."""

    def __init__(self, journal: Path) -> None:
        """`journal`: path of the database."""
        self.path = beside(journal, SUFFIX)
        self._journal = journal

    def state(self) -> State | None:
        """Return all that can be read; None if nothing can.

        The file is read twice, so that no more than one line of tens of thousands is in memory.
        """
        last: Line | None = None
        damaged, oldest = 0, math.inf
        for line in self._lines():
            damaged += line is None
            last, oldest = line or last, min(oldest, line.r if line else oldest)
        if last is None:
            return None
        end = last.r if last.e or oldest == last.r else last.r - 1
        originals: dict[str, dict[str, int]] = {}
        paused: str | None = None
        revision = newest = 0
        for line in self._lines():
            if line is None or line.j != last.j or line.r > end:
                continue
            revision, newest = max(revision, line.r), max(newest, line.n)
            if line.h is not None and line.o is not None:
                originals.setdefault(line.i, {})[line.h] = line.o
            elif line.h is not None:
                originals.get(line.i, {}).pop(line.h, None)
            if line.p is not msgspec.UNSET:
                paused = line.p
        originals = {instance: found for instance, found in originals.items() if found}
        return State(Mark(last.j, revision, newest), originals, paused, damaged, is_sound=last.e and not damaged)

    def _lines(self) -> Iterator[Line | None]:
        """Yield each line, None for a damaged one."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            yield from map(_read, file)

    def append(self, before: Mark, lines: Iterable[Line], *, sync: bool) -> int:
        """Add a revision. Return the file's size before, bytes.

        Raises `OutOfStep` if the file does not end with the revision `before`.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            raise OutOfStep from None
        with os.fdopen(descriptor, "ab", buffering=0):
            size = os.fstat(descriptor).st_size
            tail = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
            last = _read(tail[tail.rfind(b"\n", 0, -1) + 1 :])
            if last is None or not last.e or (last.j, last.r) != before[:2]:
                raise OutOfStep
            try:
                _write_all(descriptor, lines)
                if sync:
                    os.fsync(descriptor)
            except BaseException:
                os.ftruncate(descriptor, size)
                raise
        return size

    def cut_back(self, size: int) -> None:
        """Cut the file back to this size (bytes): the journal did not commit the last revision."""
        os.truncate(self.path, size)

    def rewrite(self, mark: Mark, originals: Iterable[tuple[str, str, int]], paused: str | None) -> None:
        """Write the whole file again, durably. `originals`: instance, hash and limit of each."""
        new = beside(self.path, ".new")
        new.unlink(missing_ok=True)
        descriptor = open_private(new, self._journal, os.O_WRONLY | os.O_EXCL)
        try:
            try:
                _write_all(descriptor, _snapshot(mark, originals, paused))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            new.replace(self.path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        sync_folder(self.path.parent)

    def is_bloated(self, touched: int) -> bool:
        """Tell whether the file should be written again to be smaller. `touched`: number of torrents in it."""
        return self.path.stat().st_size > 2 * _BYTES_PER_LINE * touched + _SPARE_BYTES


def new_name() -> str:
    """Return a random name for a new journal."""
    return secrets.token_hex(4)


def _snapshot(mark: Mark, originals: Iterable[tuple[str, str, int]], paused: str | None) -> Iterator[Line]:
    for instance, torrent, original in originals:
        yield Line(*mark, i=instance, h=torrent, o=original)
    yield Line(*mark, p=paused, e=True)


def _write_all(descriptor: int, lines: Iterable[Line]) -> None:
    """Write lines, some hundred at a time: tens of thousands would be megabytes of text."""
    encode, data = msgspec.json.Encoder().encode, bytearray()
    for line in lines:
        text = encode(line)
        data += b"%b\t%08x\n" % (text, zlib.crc32(text))
        if len(data) > _WRITTEN_AT_ONCE:
            _write(descriptor, data)
            data = bytearray()
    _write(descriptor, data)


def _write(descriptor: int, data: bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


_DECODER: Final = msgspec.json.Decoder(Line)


def _read(raw: bytes) -> Line | None:
    text, tab, sum_ = raw.rpartition(b"\t")
    if not tab or sum_ != b"%08x\n" % zlib.crc32(text):
        return None
    try:
        return _DECODER.decode(text)
    except msgspec.DecodeError:
        return None
