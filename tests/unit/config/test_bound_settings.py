"""Settings that bound single torrents."""

from __future__ import annotations

import pytest

from qguardarr.config import Config
from qguardarr.core.model import Overspeed
from qguardarr.errors import ConfigError
from tests.support.configs import loads

RULES = """
trackers:
  - {{id: a, pattern: a, max_upload_speed: 100 MB/s, {}}}
  - {{id: rest, pattern: '.*', max_upload_speed: -1}}
"""


def config(settings: str) -> Config:
    return loads(RULES.format(settings), environment={})


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("50 MiB/s", Overspeed(52_428_800)),
        ("{limit: 50 MB/s}", Overspeed(50_000_000)),
        ("{limit: 50 MB/s, margin: 10 %}", Overspeed(50_000_000, 0.1)),
        ("{limit: 50 MB/s, margin: 7.5%}", Overspeed(50_000_000, 0.075)),
        ("{limit: 50 MB/s, margin: 0.02}", Overspeed(50_000_000, 0.02)),
        ("null", None),
    ],
)
def test_an_overspeed_rule_is_a_speed_or_a_mapping(written: str, rule: Overspeed | None) -> None:
    assert config(f"overspeed: {written}").policy().classes[0].overspeed == rule


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("10", "trackers[0].overspeed.limit: 10 has no unit"),
        ("unlimited", "trackers[0].overspeed.limit: "),
        ("{margin: 5 %}", "trackers[0].overspeed.limit: is missing"),
        ("{limit: 50 MB/s, margin: 5}", "write '5 %'"),
        ("{limit: 50 MB/s, margin: 60 %}", "trackers[0].overspeed.margin: "),
        ("{limit: 50 MB/s, margin: 0}", "trackers[0].overspeed.margin: "),
        ("{limit: 50 MB/s, margin: some}", "trackers[0].overspeed.margin: "),
        ("[1]", "trackers[0].overspeed: must be a mapping"),
    ],
)
def test_what_is_no_overspeed_rule_is_told_with_its_place(written: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config(f"overspeed: {written}")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("overspeed: 200 MB/s", "'overspeed' of 'a' has no effect"),
        ("overspeed: {limit: 50 MB/s, margin: 1 %}", "the margin of 'a' is less than 3%"),
        ("overspeed: 50 MB/s", ""),
    ],
)
def test_what_may_surprise_is_noted(written: str, words: str) -> None:
    notes = " ".join(config(written).notes)
    assert words in notes
    assert bool(words) is bool(notes)
