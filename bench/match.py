"""Measure how long matching takes: 30,000 torrents, two announce URLs and a passkey each, 50 rules.

python bench/match.py
"""

from __future__ import annotations

import random
import time

from qguardarr.core.model import TrackerClass
from qguardarr.core.select.matcher import Matcher

TORRENTS, RULES = 30_000, 50


def main() -> None:
    rng = random.Random(1)
    rules = [TrackerClass(f"t{n}", "", rf".*tracker{n:02}\.(example|invalid)\..*", 10**6, 5) for n in range(RULES - 1)]
    rules.append(TrackerClass("rest", "", ".*", 10**6, 1))
    torrents = [
        tuple(
            f"https://Tracker{rng.randrange(60):02}.example.org:2053/{rng.randbytes(16).hex()}/{path}"
            for path in ("announce", "announce.php?compact=1")
        )
        for _ in range(TORRENTS)
    ]
    matcher = Matcher(rules, "first")
    start = time.process_time()
    for urls in torrents:
        matcher.match(urls)
    print(f"{TORRENTS} torrents, {RULES} rules: {(time.process_time() - start) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
