"""Measure what a site sees of torrents under the overspeed guard, on a real qBittorrent.

    python bench/overspeed.py --version all --mode steady --mode saved --minutes 10

Peers take all they can get, also in turns with nothing. Torrents announce every two minutes; besides, some are stopped
and started, or announce since a person asks for it, at any moment. The lab's tracker computes as NexusPHP does.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.process import DaemonProcess, Rule
from lab.demand import OnOff
from lab.measure import curve
from lab.qbittorrent import WebUI
from lab.rig import Rig
from lab.scenario import GREEDY, IDLE, Phase, Scenario, TrackerSpec
from lab.site import Interval, intervals
from lab.versions import VERSIONS

LIMIT: Final = 2_000_000
"""Of the site, bytes/s."""
INTERVAL_S: Final = 120
BEGIN_S: Final = 8.0
"""Limits are in force, and demand has begun."""
_DEMANDS: Final = (GREEDY, GREEDY, OnOff(GREEDY, 40.0, 0.5), OnOff(GREEDY, 180.0, 0.4))
_LENGTHS: Final = (0, 5, 8, 12, 20, 30, 60, 120, 10_000)
_EVENT_EVERY_S: Final = 12.0
_LIMITED_WITHIN_S: Final = 30.0
_TOLD_WITHIN_S: Final = 10.0


@dataclass(frozen=True)
class Event:
    """What happens to a torrent."""

    at_s: float
    torrent: int
    kind: str
    """`force`, `stop` or `start`."""


@dataclass(frozen=True)
class Seen:
    """Result of a run."""

    found: tuple[Interval, ...]
    """What the site computed, of intervals that began under the guard."""
    used: tuple[float, ...]
    """Part of the site's limit that each torrent used."""
    changes: int
    """Limits that were written."""

    def worst(self, least_s: float, most_s: float = 1e9) -> float:
        """Highest rate ÷ limit of intervals that were as long."""
        its = (i.rate for i in self.found if least_s <= i.end - i.start < most_s)
        return max(its, default=0.0) / LIMIT


def happenings(torrents: Sequence[int], seconds: float, dice: random.Random) -> Iterator[Event]:
    """Yield events at any moments."""
    at_s = BEGIN_S + 10.0
    while at_s < seconds - 30.0:
        torrent = dice.choice(torrents)
        if dice.random() < 0.6:
            yield Event(at_s, torrent, "force")
        else:
            yield Event(at_s, torrent, "stop")
            yield Event(at_s + dice.uniform(2.0, 20.0), torrent, "start")
        at_s += _EVENT_EVERY_S * dice.uniform(0.3, 1.7)


def play(
    version: str,
    rule: dict[str, object],
    seconds: float,
    events: Sequence[Event],
    *,
    interval_s: int = INTERVAL_S,
    check: Callable[[DaemonProcess], None] = lambda _: None,
) -> Seen:
    """Play it. `rule`: the setting `overspeed`; its limit is LIMIT. `check` is called before the end."""
    spec = TrackerSpec("t1", None, len(_DEMANDS))
    phases = (Phase(2.0, {"t1": (IDLE,) * spec.torrents}), Phase(seconds - 2.0, {"t1": _DEMANDS}))
    with Rig(Scenario("overspeed", (spec,), phases), version) as rig, tempfile.TemporaryDirectory() as folder:
        rig.trackers.set_interval(interval_s)
        web = rig.qbittorrent.web
        hashes = [torrent.info_hash for torrent in rig.torrents["t1"]]
        rules = [Rule("t1", rig.pattern("t1"), None, more={"overspeed": {"limit": LIMIT, **rule}})]
        with DaemonProcess(Path(folder), rig.qbittorrent, rules, {}) as daemon:
            daemon.wait_until_holding(2, _LIMITED_WITHIN_S)
            agenda = sorted(events, key=lambda event: event.at_s)

            def watch(elapsed_s: float) -> None:
                while agenda and agenda[0].at_s <= elapsed_s:
                    event = agenda.pop(0)
                    _happen(web, version, event.kind, hashes[event.torrent])

            outcome = rig.run(watch=watch)
            check(daemon)
            for info_hash in hashes:
                _happen(web, version, "stop", info_hash)
            changes = daemon.status.written_limits
        _wait_for_stops(rig, hashes)
        begin, end = outcome.started + BEGIN_S, outcome.started + seconds
        counted = [curve(rig.series()[info_hash].values(), begin, end) for info_hash in hashes]
        ahead = time.time() - time.monotonic()
        found = tuple(i for i in intervals(rig.trackers.told()) if i.start >= begin + ahead)
        return Seen(found, tuple(each.mean_rate(begin, end) / LIMIT for each in counted), changes)


def _happen(web: WebUI, version: str, kind: str, info_hash: str) -> None:
    old = int(version.split(".", maxsplit=1)[0]) < 5
    path = {"force": "reannounce", "stop": "pause" if old else "stop", "start": "resume" if old else "start"}[kind]
    web.post(f"torrents/{path}", hashes=info_hash)


def _wait_for_stops(rig: Rig, hashes: Sequence[str]) -> None:
    """Wait until the tracker was told that all torrents have stopped."""
    deadline = time.monotonic() + _TOLD_WITHIN_S
    while time.monotonic() < deadline:
        last = {announce.info_hash: announce.event for announce in rig.trackers.told()}
        if all(last.get(info_hash) == "stopped" for info_hash in hashes):
            return
        time.sleep(0.2)


def lines(seen: Seen) -> Iterator[str]:
    """A run as a table."""
    yield "  interval      number   worst ÷ limit"
    for least_s, most_s in pairwise(_LENGTHS):
        number = sum(least_s <= i.end - i.start < most_s for i in seen.found)
        if number:
            yield f"  {least_s:>4} … {most_s:<5} s {number:>5} {seen.worst(least_s, most_s):>12.3f}"
    yield f"  used of the limit: {', '.join(f'{part:.3f}' for part in seen.used)}; {seen.changes} limits written"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", action="append", choices=[*VERSIONS, "all"])
    parser.add_argument("--mode", action="append", choices=["steady", "saved"])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--margin", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    versions = list(VERSIONS) if "all" in (options.version or ["all"]) else options.version
    for version in versions:
        for mode in options.mode or ["steady", "saved"]:
            seconds = 60.0 * options.minutes
            events = list(happenings(range(1, len(_DEMANDS)), seconds, random.Random(options.seed)))
            rule: dict[str, object] = {"mode": mode, "margin": options.margin}
            print(f"qBittorrent {version}, {mode}, {options.minutes:g} minutes, margin {options.margin:.0%}")
            print(*lines(play(version, rule, seconds, events)), sep="\n", flush=True)


if __name__ == "__main__":
    main()
