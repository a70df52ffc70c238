"""Measure how long selecting takes: 30,000 torrents, two announce URLs and a passkey each, 50 rules.

python bench/match.py
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

import msgspec

from qguardarr.core.model import UNLIMITED, Activity, Labels, Observation, Range, Selector, Torrent, TrackerClass
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.select.matcher import Matcher
from tests.support.guard_loop import policy_of

TORRENTS, RULES = 30_000, 50
DAY: Final = 86_400
NOW: Final = 1_800_000_000


def main() -> None:
    rng = random.Random(1)
    torrents = [_torrent(rng, number) for number in range(TORRENTS)]
    by_url = _policy()
    matcher = Matcher(by_url.classes)
    _took("search the announce URLs", lambda: [matcher.match(torrent.urls) for torrent in torrents])
    selectors = _policy("tags", "gold")
    registry = TorrentRegistry(selectors)
    registry.selection.now = float(NOW)
    seen = Observation(0.0, True, {torrent.hash: torrent for torrent in torrents}, frozenset(), None, 1.5)
    _took("take in a complete list", lambda: registry.observe(seen))
    other = _policy("tags", "slow")
    _took("select all again by other conditions", lambda: registry.adopt_policy(other))
    _took("look at all ages", lambda: _observe(registry, 60.0))
    few = torrents[:3000]
    values = [msgspec.structs.replace(known, ratio=known.ratio + 0.001) for known in _known(registry, few)]
    _took("3,000 changes of the ratio", lambda: _observe(registry, 62.0, *values), len(few))
    labels = [Labels("movies/uhd", ("slow", f"x{number % 500}"), True) for number in range(len(few))]
    values = [msgspec.structs.replace(t, labels=label) for t, label in zip(_known(registry, few), labels, strict=True)]
    before = registry.counts.copy()
    _took("3,000 changes of tags", lambda: _observe(registry, 64.0, *values), len(few))
    assert registry.counts != before


def _policy(*tags: str) -> Policy:
    """49 rules, the odd ones of which look at more than the announce URL."""
    wheres = [
        Selector(tags=tags, category=("movies",)),
        Selector(ratio=Range(above=2.0), age=Range(above=30 * DAY)),
        Selector(size=Range(below=5 * 2**30), state="seeding", unless=(Selector(tags=("keep",)),)),
    ]
    rules = [
        TrackerClass(
            f"t{n}",
            "",
            rf".*tracker{n:02}\.(example|invalid)\..*",
            10**6,
            5,
            where=wheres[n // 2 % 3] if tags and n % 2 else Selector(),
        )
        for n in range(RULES - 1)
    ]
    return policy_of(*rules)


def _torrent(rng: random.Random, number: int) -> Torrent:
    urls = tuple(
        f"https://Tracker{rng.randrange(60):02}.example.org:2053/{rng.randbytes(16).hex()}/{path}"
        for path in ("announce", "announce.php?compact=1")
    )
    tags = tuple(sorted(rng.sample(["gold", "keep", "slow", "x", "y"], rng.randrange(3))))
    return Torrent(
        f"{number:040x}",
        urls,
        Activity.IDLE,
        UNLIMITED,
        0,
        0,
        0,
        False,
        labels=Labels(rng.choice(["", "movies", "movies/uhd", "tv"]), tags, rng.random() < 0.5),
        ratio=rng.expovariate(1.0),
        size=rng.randrange(2**35),
        added_on=NOW - rng.randrange(60 * DAY),
    )


def _known(registry: TorrentRegistry, torrents: list[Torrent]) -> list[Torrent]:
    return [known for torrent in torrents if (known := registry.known(torrent.hash))]


def _observe(registry: TorrentRegistry, at: float, *torrents: Torrent) -> None:
    registry.selection.now = NOW + at
    registry.observe(Observation(at, False, {t.hash: t for t in torrents}, frozenset(), None, 1.5))


def _took(what: str, work: Callable[[], object], count: int = TORRENTS) -> None:
    start = time.process_time()
    work()
    spent = time.process_time() - start
    print(f"{what:<40} {spent * 1000:6.0f} ms, {spent / count * 1e6:5.1f} µs each")


if __name__ == "__main__":
    main()
