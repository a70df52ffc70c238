"""Count what each group uploads, by hour and by day, also while Qguardarr is off.

While it runs, bytes are counted as the engine measures them, and written every FLUSH_S. Every COPY_S, at the start and
at the end they are compared with qBittorrent's all-time counters of the torrents: what these have grown since the last
copy beyond what was counted was uploaded while nobody looked. A copy and all that was counted up to it are written in
one transaction, so a kill at any point counts nothing twice. Of torrents that were deleted meanwhile nothing is known.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import tzinfo
from typing import Final

import structlog

from qguardarr.core.measure.uploaded import PARTS, Counters, missed, spread
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.engine.calendar import hour_of, hours_between
from qguardarr.engine.feature_ports import Counted, CountedSince, UsageRow, UsageStore
from qguardarr.engine.instance import Instance
from qguardarr.engine.status import State, Status
from qguardarr.engine.usage_book import UsageBook
from qguardarr.errors import StoreError
from qguardarr.features.feature import Feature
from qguardarr.zones import zone_of

FLUSH_S: Final = 20.0
COPY_S: Final = 600.0
END_S: Final = 2.0
"""For how long the end of the daemon waits for a copy that is under way, seconds."""
EVER_LAG_S: Final = 1.0
"""By how much all-time counters lag behind those of the session, which a run counts by: libtorrent adds to them once a
second. So at a start bytes are missed that belong to neither, until the counters are compared again."""
_NOTHING_READ: Final = frozenset({State.STARTING, State.FAILING, State.WAITING})

log = structlog.get_logger("qguardarr.usage")


class Ledger:
    """What one instance's torrents uploaded, and is not written yet."""

    def __init__(self, registry: TorrentRegistry) -> None:
        self.registry = registry
        self.totals: dict[str, float] = {}
        """Bytes since the start, by class, as counted so far."""
        self.rows: Counter[tuple[str, int, str]] = Counter()
        """By group, hour and day."""
        self.since: Counter[str] = Counter()
        """By class."""
        self.periods: dict[str, tuple[float, int]] = {}
        """Start of the present period of a quota, and its bytes, by group."""
        self.began_at: float | None = None
        """Unix time of the first counters; None before them."""
        self.counted_at = 0.0
        """Unix time of the last ones."""
        self.written_at = self.copied_at = self.retry_at = 0.0
        self.copied = False
        """Whether the counters were compared in this run."""

    def take(self, until: float) -> Counted:
        """Return what is not written yet, and begin anew."""
        rows, self.rows = self.rows, Counter()
        since, self.since = self.since, Counter()
        periods, self.periods = self.periods, {}
        found = [UsageRow(*key, bytes_) for key, bytes_ in rows.items()]
        return Counted(self.registry.instance, until, found, since, periods)

    def put_back(self, counted: Counted) -> None:
        """Take back what could not be written."""
        for row in counted.rows:
            self.rows[row.group, row.hour, row.day] += row.bytes
        self.since.update(counted.since)
        for group, part in counted.periods.items():
            add_part(self.periods, group, part)


class Accounting(Feature):
    """Counts in the engine's thread; copies are compared and written in a thread of their own."""

    name = "usage"

    def __init__(
        self,
        instances: Callable[[], Sequence[Instance]],
        store: UsageStore,
        book: UsageBook | None = None,
    ) -> None:
        """`instances` returns those in use. `book`: what is used of quotas."""
        self._instances = instances
        self._store = store
        self._book = book or UsageBook()
        self._ledgers: dict[str, Ledger] = {}
        self.copying: threading.Thread | None = None
        """Copies, or copied last."""
        self._zone: tuple[str, tzinfo | None] = ("", None)
        self._problem = ""

    def problems(self) -> Iterator[str]:
        if self._problem:
            yield f"usage is not kept: {self._problem}"

    def on_cycle(self, status: Status) -> None:
        if status.state in _NOTHING_READ:
            return
        for instance in self._instances():
            registry = instance.registry
            if instance.seen_at is None:
                continue
            ledger = self._ledgers.get(registry.instance)
            if ledger is None or ledger.registry is not registry:
                ledger = self._ledgers[registry.instance] = Ledger(registry)
            self._count(ledger, instance, min(status.at, instance.seen_at) - registry.uploads.copied_ago_s)
            if self._is_copying or 0 < ledger.retry_at - status.at <= FLUSH_S:
                continue  # what comes later must not be written before
            first = not ledger.copied and registry.loaded
            if first or (ledger.copied and not 0 <= status.at - ledger.copied_at < COPY_S):
                self._copy_beside(ledger)
            elif ledger.copied and not 0 <= status.at - ledger.written_at < FLUSH_S:
                self._flush(ledger, status.at)

    def close(self) -> None:
        """Copy once more, at the end of the daemon."""
        if self.copying is not None:
            self.copying.join(END_S)
            if self.copying.is_alive():
                return
        for ledger in self._ledgers.values():
            if ledger.registry.loaded:
                counted = ledger.take(ledger.counted_at)
                self._copy(ledger, ledger.registry.table.counters(), counted, ledger.registry.policy)

    @property
    def _is_copying(self) -> bool:
        return self.copying is not None and self.copying.is_alive()

    def _count(self, ledger: Ledger, instance: Instance, at: float) -> None:
        """Count what was uploaded until a Unix time, when the counters were copied."""
        if ledger.began_at is None:
            ledger.began_at = ledger.counted_at = at
        registry, policy = instance.registry, instance.registry.policy
        lineages = lineages_of(policy)
        hour, day = hour_of(at, self._zone_of(policy))
        totals, began = {}, min(ledger.counted_at, at)
        ledger.counted_at = at
        found: Counter[str] = Counter()
        for group, meter in zip(policy.classes, registry.uploads.meters, strict=True):
            totals[group.id] = meter.total
            before = ledger.totals.get(group.id, 0.0)
            moved = round(meter.total - before if meter.total >= before else meter.total)
            if moved:
                ledger.since[group.id] += moved
                for each in lineages[group.id]:
                    ledger.rows[each, hour, day] += moved
                    found[each] += moved
        ledger.totals = totals
        for parts in (self._book.count(registry.instance, found, began, at), self._book.take_recalled()):
            for each, part in parts.items():
                add_part(ledger.periods, each, part)

    def _flush(self, ledger: Ledger, at: float) -> None:
        counted = ledger.take(ledger.counted_at)
        ledger.written_at = at
        try:
            self._store.add_usage(counted)
            self._problem = ""
        except StoreError as error:
            ledger.put_back(counted)
            ledger.retry_at = at + FLUSH_S
            self._failed(error)

    def _copy_beside(self, ledger: Ledger) -> None:
        """Compare and write in a thread of its own, so that the engine does not wait for the disk."""
        arguments = (ledger, ledger.registry.table.counters(), ledger.take(ledger.counted_at), ledger.registry.policy)
        self.copying = threading.Thread(target=self._copy, args=arguments, name="usage", daemon=True)
        self.copying.start()

    def _copy(self, ledger: Ledger, counters: Counters, counted: Counted, policy: Policy) -> None:
        try:
            before = self._store.counted_since_copy(counted.instance)
            found = self._missed(ledger, counters, counted, policy, before)
            rows, parts = [*counted.rows], dict(counted.periods)
            if before is None:
                parts |= self._lost()
            added: dict[str, tuple[float, int]] = {}
            for group, bytes_, start, end in found:
                rows += self._rows(policy, group, bytes_, start, end)
                if end > start:
                    self._book.missed(group, min(1.0, EVER_LAG_S / (end - start)) * bytes_)
                part = self._book.part(group, bytes_, start, end)
                if part is not None:
                    add_part(parts, group, part)
                    add_part(added, group, part)
            whole = Counted(counted.instance, counted.until, rows, {}, parts)
            self._store.copy_counters(whole, map(counters.part, range(PARTS)))
            for group, part in added.items():
                self._book.add(group, part)
            total: Counter[str] = Counter()
            for group, bytes_, _, _ in found:
                total[group] += bytes_
            self._book.found(total)
            self._problem = ""
        except StoreError as error:
            ledger.put_back(counted)
            self._failed(error)
            ledger.retry_at = counted.until + FLUSH_S
            return
        ledger.copied, ledger.copied_at, ledger.written_at = True, counted.until, counted.until
        self._book.settled = self._book.settled or all(each.copied for each in list(self._ledgers.values()))

    def _missed(
        self, ledger: Ledger, counters: Counters, counted: Counted, policy: Policy, before: CountedSince | None
    ) -> list[tuple[str, int, float, float]]:
        """Return what was uploaded since the last copy and not counted: by group, with the stretch of Unix time."""
        if before is None:
            told = log.warning if ledger.copied else log.info
            told("usage_begins", advice="what was uploaded before is not known", lost=ledger.copied)
            return []
        sent = [0] * len(policy.classes)
        for number in range(PARTS):
            counters.since(number, self._store.counters(counted.instance, number), before.copied_at, sent)
        already = Counter(before.bytes)
        already.update(counted.since)
        found = missed({group.id: sent[i] for i, group in enumerate(policy.classes)}, already)
        if ledger.copied or ledger.began_at is None:
            start = end = counted.until
        else:
            start, end = min(before.counted_until, ledger.began_at), ledger.began_at
            log.info(
                "counted_while_off",
                bytes=sum(found.values()),
                seconds=round(end - start),
                advice="what torrents uploaded that were deleted meanwhile is not known",
            )
        lineages = lineages_of(policy)
        return [(each, bytes_, start, end) for group, bytes_ in found.items() for each in lineages[group]]

    def _lost(self) -> dict[str, tuple[float, int]]:
        """Return what is used of each quota, was counted and is not in the store: if it is new, all."""
        found = {}
        for group, (start, used) in self._book.periods().items():
            kept = self._store.usage_period(group)
            waiting = [each.periods.get(group) for each in list(self._ledgers.values())]
            known = [part for part in (kept, *waiting) if part is not None and part[0] == start]
            found[group] = (start, used - sum(bytes_ for _, bytes_ in known))
        return found

    def _rows(self, policy: Policy, group: str, bytes_: int, start: float, end: float) -> Iterator[UsageRow]:
        """Yield bytes of a group that were uploaded at unknown times in a stretch: evenly."""
        zone = self._zone_of(policy)
        hours = list(hours_between(start, end, zone)) or [(*hour_of(end, zone), end, end)]
        for (hour, day, _, _), share in zip(hours, spread(bytes_, [(a, b) for _, _, a, b in hours]), strict=True):
            if share:
                yield UsageRow(group, hour, day, share)

    def _zone_of(self, policy: Policy) -> tzinfo | None:
        name, zone = self._zone
        if name != policy.timezone:
            zone = zone_of(policy.timezone) if policy.timezone else None
            self._zone = policy.timezone, zone
        return zone

    def _failed(self, error: StoreError) -> None:
        if not self._problem:
            log.warning("usage_not_kept", reason=str(error), advice="it is counted, and written when that works again")
        self._problem = str(error)


def lineages_of(policy: Policy) -> dict[str, tuple[str, ...]]:
    """Return each class with all that is above it, up to the line, by id of the class."""
    above = {parent.id: parent.parent for parent in policy.parents}
    found = {}
    for group in policy.classes:
        lineage, parent = [group.id], group.parent
        while parent and parent not in lineage:
            lineage.append(parent)
            parent = above.get(parent, "")
        found[group.id] = (*lineage, "")
    return found


def add_part(parts: dict[str, tuple[float, int]], group: str, part: tuple[float, int]) -> None:
    """Add bytes of a period that began at a time; those of an earlier period are forgotten."""
    known = parts.get(group)
    if known is None or known[0] < part[0]:
        parts[group] = part
    elif known[0] == part[0]:
        parts[group] = (known[0], known[1] + part[1])
