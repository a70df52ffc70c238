"""Tell limits that another program sets from those of a person.

A person sets a limit on one torrent, or on a handful that they select. A program sets one value on many, or comes back
with it. A person's limit becomes the torrent's original; a program's never does: it is written over at once.

`ForeignLimits` is a state machine of plain values: `judge` takes one read's foreign changes and says whose they are.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Final, Literal

import msgspec

from qguardarr.core.reconcile.signature import looks_like_ours

Mode = Literal["auto", "person", "ignore"]

BULK: Final = 10
"""A value that this many torrents get in one round is taken to be set by a program."""
BULK_LEAST: Final = 6
"""Of few torrents, this many will do if they are BULK_SHARE of all: a person may select a handful."""
BULK_SHARE: Final = 0.2
ROUND_S: Final = 10.0
"""Changes to one value are one round while no pause between them is longer than this, seconds: programs go through
torrents one by one."""
ROUNDS: Final = 3
"""A value that is set this many times on RECURRING torrents, each time after we wrote over it, is a program's."""
RECURRING: Final = 3
ROUNDS_ALONE: Final = 4
"""The same on fewer torrents, if it comes this many times at regular intervals."""
REGULAR: Final = 1.3
"""Intervals are regular if the longest is no more than this many times the shortest."""
ONCE_S: Final = 600.0
"""A value set in bulk once is taken for a program's for this long, seconds: it may also have been a false answer, or a
person."""
KEPT_S: Final = 3 * 86_400.0
"""The same for a value that was set more than once, after the last time: programs run once a day."""
NOTED_S: Final = 600.0
"""Times in the journal are multiples of this, seconds."""
MOST_VALUES: Final = 64
VARIOUS: Final = 0
"""Stands for a program that sets a different value on each torrent."""
CONTEST_S: Final = 300.0
"""CONTESTED marked limits that we never wrote, seen within this many seconds, are another Qguardarr's."""
CONTESTED: Final = 3
RAISE_EVERY_S: Final = 60.0
"""A torrent that another Qguardarr limits too is raised at most once in this time, seconds, and lowered at once."""


def is_rounded(limit: int, ours: int) -> bool:
    """Return whether `limit` is `ours` as a dialog in KiB/s shows and sets it again: rounded down or up."""
    return limit % 1024 == 0 and 0 < abs(limit - ours) < 1024


def is_bulk(count: int, managed: int) -> bool:
    """Return whether a program must have set this many of `managed` torrents to one value."""
    return count >= BULK or (count >= BULK_LEAST and count >= BULK_SHARE * managed)


def bulk_values(foreign: Iterable[int], originals: Iterable[int], managed: int) -> frozenset[int]:
    """Return the values in force now that a program has set.

    Args:
        foreign: limits that are neither ours nor originals, one for each torrent.
        originals: limits of torrents that have their originals; they count only for values that are foreign elsewhere.
        managed: how many torrents we limit.
    """
    counts = Counter(foreign)
    counts.update([limit for limit in originals if limit in counts])
    return frozenset(limit for limit, count in counts.items() if is_bulk(count, managed))


class Note(msgspec.Struct, frozen=True):
    """Programs' values for a rollback by another process, and for the next start. Kept in the journal."""

    mode: Mode = "auto"
    values: dict[int, float] = {}
    """Values of programs, bytes/s or UNLIMITED, and until when they count as such, Unix time."""

    def known(self, now: float) -> frozenset[int]:
        """Return the values that count as a program's at this Unix time."""
        return frozenset(value for value, until in self.values.items() if now < until <= now + KEPT_S + NOTED_S)


def read_note(text: str) -> Note:
    """Return the note that `write_note` wrote; the defaults if it is empty or garbled."""
    try:
        return msgspec.json.decode(text, type=Note) if text else Note()
    except msgspec.DecodeError:
        return Note()


def write_note(note: Note) -> str:
    """Return the note as text."""
    return msgspec.json.encode(note).decode()


class Program(msgspec.Struct):
    """A value that a program sets."""

    value: int
    """Bytes/s or UNLIMITED."""
    began_at: float
    """When the newest round began, monotonic seconds."""
    last_at: float
    """When a torrent was last seen to get it, monotonic seconds."""
    times: int = 1
    """Rounds seen."""
    gap_s: float = 0.0
    """Between the beginnings of the newest two rounds, seconds; 0 if there was one only."""
    names: set[str] = set()
    """Torrents of the newest round, by hash."""

    @property
    def torrents(self) -> int:
        return len(self.names)

    def until(self) -> float:
        """Return when to forget it unless it is seen again, monotonic seconds."""
        return self.last_at + (KEPT_S if self.times > 1 else ONCE_S)

    def is_at_work(self, now: float) -> bool:
        """Return whether it was seen lately, by its rhythm."""
        return now - self.last_at < max(ONCE_S, 2.5 * self.gap_s)


class _Round(msgspec.Struct):
    """Changes to one value within a few seconds."""

    began_at: float
    last_at: float
    torrents: dict[str, int | None]
    """Each with its original before it was taken for a person's; None if that did not change."""


class Judgement(msgspec.Struct, frozen=True):
    """Whose limits those of one read are, by hash; bytes/s or UNLIMITED."""

    program: dict[str, int]
    """Another program's: to be written over, and never to be learnt."""
    person: dict[str, int]
    """A person's: originals from now on."""
    revoked: dict[str, int]
    """Taken for a person's before, and a program's as it turns out: the originals that they had."""


class ForeignLimits:
    """Programs and persons that set limits, as far as reads show them. Times are monotonic seconds."""

    def __init__(self, mode: Mode = "auto") -> None:
        self.mode: Mode = mode
        self.programs: dict[int, Program] = {}
        """By value."""
        self._rounds: dict[int, list[_Round]] = {}
        self._contests: dict[str, list[float]] = {}
        """Of each torrent that another Qguardarr seems to limit: when it last did, and when we last raised it."""

    def remember(self, note: Note, at: float, now: float) -> None:
        """Take up an earlier run's note. `at`: monotonic, `now`: Unix time."""
        for value in note.known(now):
            since = at - max(0.0, now + KEPT_S - note.values[value])
            self.programs[value] = Program(value, since, since, times=2)

    def note(self, at: float, now: float) -> Note:
        """Return the note for a rollback and the next start. Times are rounded up, so that it seldom changes."""
        if self.mode != "auto":
            return Note(self.mode)
        lasting = [program for program in self.programs.values() if program.until() > at]
        return Note(self.mode, {p.value: math.ceil((now + p.until() - at) / NOTED_S) * NOTED_S for p in lasting})

    def judge(
        self,
        changed: Mapping[str, int],
        returned: Mapping[str, int],
        original_of: Callable[[str], int],
        *,
        at: float,
        managed: int,
        explained: bool,
    ) -> Judgement:
        """Say whose limits those of one read are.

        Args:
            changed: limits that are neither ours nor the torrents' originals.
            returned: limits of torrents that have their originals again, though we had written another.
            original_of: each torrent's original until now.
            at: when it was read, monotonic seconds.
            managed: how many torrents we limit.
            explained: `returned` may have another explanation (qBittorrent lost writes, somebody restored originals).
        """
        if self.mode != "auto":
            return Judgement(dict(changed), {}, {}) if self.mode == "ignore" else Judgement({}, dict(changed), {})
        self._forget(at)
        self._contest(changed, at)
        groups: dict[int, list[str]] = defaultdict(list)
        for hash_, limit in changed.items():
            groups[limit].append(hash_)
        for hash_, limit in returned.items():
            if not explained or limit in groups:
                groups[limit].append(hash_)
        revoked: dict[str, int] = {}
        for limit, hashes in groups.items():
            if not looks_like_ours(limit):
                self._count(limit, hashes, at, managed, revoked)
        person = {h: v for h, v in changed.items() if v not in self.programs and not looks_like_ours(v)}
        # Nobody sets so many different limits by hand within a read. (They may have while we looked away.)
        if not explained and is_bulk(len(person), managed):
            self._again(self.programs.setdefault(VARIOUS, Program(VARIOUS, at, at)), list(person), at)
            person = {}
        program = {hash_: limit for hash_, limit in changed.items() if hash_ not in person}
        for hash_, limit in person.items():
            self._rounds[limit][-1].torrents[hash_] = original_of(hash_)
        return Judgement(program, person, {h: original for h, original in revoked.items() if h not in program})

    def at_work(self, at: float) -> list[Program]:
        """Return the programs that were seen lately, those with the most torrents first."""
        if self.mode != "auto":
            return []
        return sorted((p for p in self.programs.values() if p.is_at_work(at)), key=lambda p: -p.torrents)

    def contested(self, at: float) -> frozenset[str]:
        """Return the torrents that another Qguardarr limits, too; empty while there is no sign of one."""
        if self.mode != "auto":
            return frozenset()
        recent = [hash_ for hash_, times in self._contests.items() if at - times[0] < CONTEST_S]
        return frozenset(recent) if len(recent) >= CONTESTED else frozenset()

    def may_raise(self, hash: str, at: float) -> bool:
        """Return whether a contested torrent may be raised now; counts as done if so."""
        times = self._contests.get(hash)
        if times is None or at - times[1] >= RAISE_EVERY_S:
            if times is not None:
                times[1] = at
            return True
        return False

    def _contest(self, changed: Mapping[str, int], at: float) -> None:
        for hash_, limit in changed.items():
            if looks_like_ours(limit):
                self._contests.setdefault(hash_, [at, -math.inf])[0] = at

    def _count(self, limit: int, hashes: list[str], at: float, managed: int, revoked: dict[str, int]) -> None:
        """Take in that torrents got this value, and decide whether a program sets it."""
        program = self.programs.get(limit)
        if program is not None:
            self._again(program, hashes, at)
            return
        rounds = self._rounds.setdefault(limit, [])
        if not rounds or at - rounds[-1].last_at > ROUND_S or any(hash_ in rounds[-1].torrents for hash_ in hashes):
            rounds.append(_Round(at, at, {}))
            del rounds[:-ROUNDS_ALONE]
        newest = rounds[-1]
        newest.last_at = at
        newest.torrents.update(dict.fromkeys(hashes))
        if is_bulk(len(newest.torrents), managed) or _recurs(rounds):
            gap_s = newest.began_at - rounds[-2].began_at if len(rounds) > 1 else 0.0
            times = len(rounds)
            self.programs[limit] = Program(limit, newest.began_at, at, times, gap_s, set(newest.torrents))
            for earlier in reversed(rounds):  # the oldest one's originals count
                revoked.update({h: original for h, original in earlier.torrents.items() if original is not None})
            del self._rounds[limit]

    def _again(self, program: Program, hashes: list[str], at: float) -> None:
        if at - program.last_at > ROUND_S or not program.names.isdisjoint(hashes):
            program.times += 1
            program.gap_s = at - program.began_at
            program.began_at, program.names = at, set()
        program.names.update(hashes)
        program.last_at = at

    def _forget(self, at: float) -> None:
        """Forget old values, and the oldest of too many."""
        for value in [value for value, program in self.programs.items() if program.until() <= at]:
            del self.programs[value]
        for value in [value for value, rounds in self._rounds.items() if at - rounds[-1].last_at > KEPT_S]:
            del self._rounds[value]
        while len(self._rounds) > MOST_VALUES:
            del self._rounds[min(self._rounds, key=lambda value: self._rounds[value][-1].last_at)]
        while len(self.programs) > MOST_VALUES:
            del self.programs[min(self.programs, key=lambda value: self.programs[value].last_at)]
        for hash_ in [hash_ for hash_, times in self._contests.items() if at - times[0] >= CONTEST_S]:
            del self._contests[hash_]


def _recurs(rounds: list[_Round]) -> bool:
    """Return whether the same torrents get the value again and again."""
    if len(rounds) < ROUNDS:
        return False
    common = set.intersection(*(set(r.torrents) for r in rounds[-ROUNDS:]))
    if len(common) >= RECURRING:
        return True
    if len(rounds) < ROUNDS_ALONE or not set.intersection(*(set(r.torrents) for r in rounds)):
        return False
    gaps = [later.began_at - earlier.began_at for earlier, later in pairwise(rounds)]
    return max(gaps) <= REGULAR * min(gaps)
