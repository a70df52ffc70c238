"""A complete list in rows says what a dictionary of the same torrents says."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.adapters.qbittorrent.packed_torrents import PackedTorrents
from qguardarr.core.model import UNLIMITED, Activity, Labels, Torrent

COUNTS = st.integers(0, 2**31 - 1)
LABELS = st.builds(
    Labels,
    category=st.sampled_from(["", "movies", "movies/uhd"]),
    tags=st.sampled_from([(), ("keep",), ("gold", "keep")]),
    private=st.sampled_from([None, False, True]),
)
HASHES = st.integers(0, 40).map(lambda number: f"{number:040x}")
TORRENTS = st.builds(
    Torrent,
    hash=HASHES,
    urls=st.lists(st.sampled_from(["udp://a.example", "http://b.example/announce"])).map(tuple),
    activity=st.sampled_from(list(Activity)),
    up_limit=st.integers(1, UNLIMITED),
    uploaded=st.integers(0, 2**63 - 1),
    leechers=COUNTS,
    swarm_leechers=COUNTS,
    downloading=st.booleans(),
    active_s=COUNTS,
    urls_digest=st.integers(0, 2**32 - 1),
    labels=LABELS,
    ratio=st.floats(0, 1e9, width=32) | st.just(math.inf),
    size=st.integers(0, 2**63 - 1),
    added_on=st.integers(0, 2**32 - 1),
    uploaded_ever=st.integers(0, 2**63 - 1),
    name=st.text(max_size=20) | st.just("\ud800"),
)


@given(st.lists(st.one_of(TORRENTS, HASHES), max_size=60))
def test_it_says_what_a_dictionary_says(steps: list[Any]) -> None:
    packed, plain = PackedTorrents(), dict[str, Torrent]()
    for step in steps:
        if isinstance(step, Torrent):
            packed[step.hash] = plain[step.hash] = step
        else:
            assert packed.pop(step, None) == plain.pop(step, None)
    assert packed == plain
    assert dict(packed.items()) == plain
    assert len(packed) == len(plain)
    assert set(packed) == set(plain)
    assert all(hash_ in packed and packed.get(hash_) == torrent for hash_, torrent in plain.items())


def test_what_is_missing_is_a_key_error() -> None:
    packed = PackedTorrents()
    for wanted in ("0" * 40, "no hash"):
        assert wanted not in packed
        with pytest.raises(KeyError):
            packed[wanted]
        with pytest.raises(KeyError):
            del packed[wanted]
