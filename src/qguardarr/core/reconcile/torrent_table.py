"""Keep all torrents: an object for each that uploads, a packed row for each idle one.

Of 30,000 torrents some 3,000 upload at a time. An object with its parts takes 550 bytes, a row 119 with its place in
the index. `TorrentTable.get` unpacks a row; a change of it counts once `TorrentTable.put` has packed it again.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import Final

import msgspec

from qguardarr.core.measure.announce_budget import AnnounceBudget
from qguardarr.core.measure.rate_estimator import RateEstimator
from qguardarr.core.measure.uploaded import Counters
from qguardarr.core.model import UNLIMITED, Activity, Labels, Torrent, packed_activity, unpacked_activity
from qguardarr.core.reconcile.interned import Interned
from qguardarr.core.reconcile.ownership import Owner, Ownership
from qguardarr.core.reconcile.rows import KEY_BYTES, Rows
from qguardarr.core.select.matcher import NO_VERDICT, Verdict

_ROW: Final = struct.Struct(f"<{KEY_BYTES}sHBBBIIIQIIIfQIQIIBIIIII")
"""Key; rule, whether it counts as limited, activity, reason, the numbers of labels and verdict; the limit shown, bytes
sent, leechers, those of the swarm, the digest of the URLs, ratio, size, time when added, all bytes ever sent; then the
fields of `Ownership`."""
_LABELS_AT: Final = struct.calcsize(f"<{KEY_BYTES}sHBBB")
_VERDICT_AT: Final = struct.calcsize(f"<{KEY_BYTES}sHBBBI")
_ADDED_AT: Final = struct.calcsize(f"<{KEY_BYTES}sHBBBIIIQIIIfQ")
_ADDED: Final = struct.Struct(f"<{_ADDED_AT}xI{_ROW.size - _ADDED_AT - 4}x")
_SELECTABLE: Final = struct.Struct(f"<{KEY_BYTES}xHxBxII24xfQI{_ROW.size - _ADDED_AT - 4}x")
_LIMITED_AT: Final = struct.calcsize(f"<{KEY_BYTES}sH")
_CURRENT_AT: Final = struct.calcsize(f"<{KEY_BYTES}sHBBBIIIQIIIfQIQI")
_IN_FORCE: Final = struct.Struct(f"<{KEY_BYTES}xHxBx{_CURRENT_AT - _LABELS_AT}xI{_ROW.size - _CURRENT_AT - 4}x")
_OWNERSHIP: Final = len(Ownership.__struct_fields__)
_OWNED: Final = -_OWNERSHIP
"""The fields of `Ownership` begin here."""
_UINT16: Final = struct.Struct("<H")
_UINT32: Final = struct.Struct("<I")
_LEECHERS_AT: Final = struct.calcsize(f"<{KEY_BYTES}sHBBBIIIQ")
_COUNTER: Final = struct.Struct(f"<{KEY_BYTES}sH{_ADDED_AT - KEY_BYTES - 2}xIQ")
"""Key, rule, time when added, all bytes ever sent."""
_OWNERS: Final = tuple(Owner)


class TorrentState(Ownership, gc=False, eq=False, kw_only=True):
    """One torrent from cycle to cycle: who owns its limit, what was read of it last, and how fast it uploads."""

    torrent: Torrent
    """As it was shown last; without its announce URLs and its name."""
    rule: int
    """Index of the tracker class."""
    verdict: Verdict = NO_VERDICT
    """What is kept of its announce URLs and its name."""
    why: Enum | None = None
    """Why it has the limit that was decided last, a `decide.Why`; for people, never read by a decision."""
    estimator: RateEstimator | None = None
    """Its upload rate and demand; None while it is idle."""
    budget: AnnounceBudget | None = None
    """What the overspeed guard knows of its announces; None while it is idle, and without a guard."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing about it is expected to change soon, so that a row will do."""
        return self.estimator is None and self.owner not in (Owner.RESTORING, Owner.IN_DOUBT, Owner.FLUSHED)


class SelectableRow(msgspec.Struct, frozen=True, gc=False):
    """What counts for the rule of a torrent; see `matcher.Selectable`."""

    slot: int
    rule: int
    """The one that it has."""
    verdict: Verdict
    labels: Labels
    downloading: bool
    ratio: float
    size: int
    added_on: int


class TorrentTable:
    """All torrents by hash. One thread changes it; others may call `get`, `copies` and `len` at any time."""

    def __init__(self) -> None:
        self.rows = Rows(_ROW.size)
        """A row for each torrent; that of an object is out of date but for its key."""
        self.objects: dict[str, TorrentState] = {}
        """Those that are objects, by hash."""
        self._reasons: list[Enum | None] = [None]
        self._labels: Interned[Labels] = Interned(lambda: self._numbers_at(_LABELS_AT))
        self._verdicts: Interned[Verdict] = Interned(lambda: self._numbers_at(_VERDICT_AT))

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, hash_: object) -> bool:
        return isinstance(hash_, str) and (hash_ in self.objects or self.slot(hash_) >= 0)

    def slot(self, hash_: str) -> int:
        """Return the torrent's slot; -1 if it is unknown."""
        try:
            return self.rows.find(bytes.fromhex(hash_))
        except ValueError:
            return -1

    def hash_at(self, slot: int) -> str:
        """Return the hash of the torrent in this slot."""
        return self.rows.key(slot).hex()

    def get(self, hash_: str) -> TorrentState | None:
        """Return a torrent, None if it is unknown. Changes of an idle one are lost unless they are `put`."""
        found = self.objects.get(hash_)
        if found is None and (slot := self.slot(hash_)) >= 0:
            return self._unpacked(hash_, self.rows.data, slot)
        return found

    def at(self, slot: int) -> TorrentState:
        """Return the torrent in this slot; as `get`."""
        hash_ = self.hash_at(slot)
        return self.objects.get(hash_) or self._unpacked(hash_, self.rows.data, slot)

    def put(self, state: TorrentState) -> None:
        """Keep a torrent, a new one or a changed one."""
        hash_ = state.torrent.hash
        if not state.is_settled:
            if hash_ not in self.objects:
                slot = self._pack(state)
                self.objects[hash_] = state
                self.rows.data[slot * _ROW.size + _LIMITED_AT] = False
            return
        self._pack(state)
        self.objects.pop(hash_, None)

    def remove(self, hash_: str) -> None:
        """Forget a torrent, if there is such a one."""
        slot = self.slot(hash_)
        if slot >= 0:
            self.rows.data[slot * _ROW.size + _LIMITED_AT] = False
            self.rows.remove(slot)
            self.objects.pop(hash_, None)

    def limited(self) -> int:
        """Return how many torrents have a limit that is not their person's."""
        objects = sum(1 for state in self.objects.values() if state.is_limited)
        return objects + self.rows.data[_LIMITED_AT :: _ROW.size].count(True)

    def hashes(self) -> Iterator[str]:
        """Yield the hashes of all torrents."""
        return (self.hash_at(slot) for slot in self.rows.slots())

    def states(self) -> Iterator[TorrentState]:
        """Yield all torrents; as `get`."""
        return map(self.at, self.rows.slots())

    def copies(self) -> Iterator[TorrentState]:
        """Yield all torrents as they are now, to read from, for any thread: the engine goes on meanwhile."""
        objects = dict(self.objects)
        slots, data, size = self.rows.slots(), bytes(self.rows.data), self.rows.size
        for slot in slots:
            hash_ = data[slot * size : slot * size + KEY_BYTES].hex()
            yield objects.get(hash_) or self._unpacked(hash_, data, slot)

    def label_counts(self) -> Counter[Labels]:
        """Return how many torrents have which labels, for any thread, as `copies`."""
        objects = dict(self.objects)
        slots, data, size = self.rows.slots(), bytes(self.rows.data), self.rows.size
        found = Counter[Labels]()
        for slot in slots:
            state = objects.get(data[slot * size : slot * size + KEY_BYTES].hex()) if objects else None
            number = _UINT32.unpack_from(data, slot * size + _LABELS_AT)[0]
            found[self._labels[number] if state is None else state.torrent.labels] += 1
        return found

    def counters(self) -> Counters:
        """Return what each torrent has ever sent. For the thread that changes the table."""
        data, size = self.rows.data, self.rows.size
        found = Counters(data[slot * size : slot * size + KEY_BYTES] for slot in self.rows.slots())
        for slot in self.rows.slots():
            key, rule, added_on, uploaded = _COUNTER.unpack_from(data, slot * size)
            state = self.objects.get(key.hex()) if self.objects else None
            if state is not None:
                rule, added_on, uploaded = state.rule, state.torrent.added_on, state.torrent.uploaded_ever
            found.add(key, rule, added_on, uploaded)
        return found

    def selectable(self) -> Iterator[SelectableRow]:
        """Yield what counts for the rules of all torrents that are rows. As `Rows.unpacked`."""
        objects = {self.slot(hash_) for hash_ in self.objects}
        labels, verdicts = self._labels, self._verdicts
        for slot, (rule, activity, label, verdict, *numbers) in self.rows.unpacked(_SELECTABLE):
            if slot not in objects:
                downloading = unpacked_activity(activity)[1]
                yield SelectableRow(slot, rule, verdicts[verdict], labels[label], downloading, *numbers)

    def added_on(self) -> Iterator[tuple[int, int]]:
        """Yield the slot of each torrent and when it was added, Unix seconds; 0 if unknown. As `Rows.unpacked`."""
        return ((slot, added_on) for slot, (added_on,) in self.rows.unpacked(_ADDED))

    def limits_in_force(self, rules: int) -> list[int]:
        """Return the sum of the limits of all torrents of each rule that may upload, bytes/s; for one without a limit,
        UNLIMITED. `rules`: their number."""
        sums = [0] * rules
        objects = {self.slot(hash_) for hash_ in self.objects}
        for slot, (rule, activity, current) in self.rows.unpacked(_IN_FORCE):
            if slot not in objects and unpacked_activity(activity)[0] is not Activity.STOPPED:
                sums[rule] += current or UNLIMITED
        for state in self.objects.values():
            if state.torrent.activity is not Activity.STOPPED:
                sums[state.rule] += state.current or UNLIMITED
        return sums

    def leechers_at(self, slot: int) -> int:
        """Return the leechers of the torrent in this slot; out of date if it is an object."""
        return int(_UINT32.unpack_from(self.rows.data, slot * _ROW.size + _LEECHERS_AT)[0])

    def rule_at(self, slot: int) -> int:
        """Return the rule of the torrent in this slot."""
        return int(_UINT16.unpack_from(self.rows.data, slot * _ROW.size + KEY_BYTES)[0])

    def set_rule(self, state: TorrentState, rule: int) -> None:
        """Have a torrent belong to another rule."""
        state.rule = rule
        _UINT16.pack_into(self.rows.data, self.slot(state.torrent.hash) * _ROW.size + KEY_BYTES, rule)

    def _pack(self, state: TorrentState) -> int:
        torrent, key = state.torrent, bytes.fromhex(state.torrent.hash)
        slot = self.rows.find(key)
        if slot < 0:
            slot = self.rows.add(key)
        shown = (torrent.up_limit, torrent.uploaded, torrent.leechers, torrent.swarm_leechers, torrent.urls_digest)
        fixed = (torrent.ratio, torrent.size, torrent.added_on, torrent.uploaded_ever)
        numbers = (state.rule, state.is_limited, packed_activity(torrent), self._reason_number(state.why))
        interned = (self._labels.number(torrent.labels), self._verdicts.number(state.verdict))
        ownership = msgspec.structs.astuple(state)[:_OWNERSHIP]
        _ROW.pack_into(self.rows.data, slot * _ROW.size, key, *numbers, *interned, *shown, *fixed, *ownership)
        return slot

    def _unpacked(self, hash_: str, data: bytes | bytearray, slot: int) -> TorrentState:
        row = _ROW.unpack_from(data, slot * _ROW.size)
        _, rule, _, activity, reason, labels, verdict, *numbers = row[:_OWNED]
        limit, uploaded, leechers, swarm_leechers, digest, *fixed = numbers
        original, current, owner, *others = row[_OWNED:]
        shown, downloading = unpacked_activity(activity)
        named = self._labels[labels]
        torrent = Torrent(
            hash_, (), shown, limit, uploaded, leechers, swarm_leechers, downloading, 0, digest, named, *fixed
        )
        owned = (original, current, _OWNERS[owner], *others)
        read, why = self._verdicts[verdict], self._reasons[reason]
        return TorrentState(*owned, torrent=torrent, rule=rule, verdict=read, why=why)

    def _numbers_at(self, place: int) -> Iterator[int]:
        """Yield the numbers of interned values that rows have at this place."""
        data, size = self.rows.data, _ROW.size
        return (_UINT32.unpack_from(data, slot * size + place)[0] for slot in self.rows.slots())

    def _reason_number(self, why: Enum | None) -> int:
        if why not in self._reasons:
            self._reasons.append(why)
        return self._reasons.index(why)
