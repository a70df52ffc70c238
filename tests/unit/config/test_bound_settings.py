"""Settings that bound single torrents."""

from __future__ import annotations

import pytest

from qguardarr.config import Config
from qguardarr.core.model import Overspeed, Tier
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
        ("{limit: 50 MB/s, mode: saved}", Overspeed(50_000_000, saves=True)),
        ("null", None),
    ],
)
def test_an_overspeed_rule_is_a_speed_or_a_mapping(written: str, rule: Overspeed | None) -> None:
    assert config(f"overspeed: {written}").policy().classes[0].overspeed == rule


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("10", "trackers[0].overspeed.limit: 10 has no unit"),
        ("unlimited", "trackers[0].overspeed.limit: must be a limit"),
        ("0", "trackers[0].overspeed.limit: must be a limit. hint: leave the setting out for no limit"),
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


def test_tiers_have_conditions_and_a_cap() -> None:
    found = config("tiers: [{above_ratio: 2, cap: 500 kB/s}, {above_age: 90d, above_ratio: 0.5, cap: 200 kB/s}]")
    assert found.policy().classes[0].tiers == (Tier(500_000, 2.0), Tier(200_000, 0.5, 90 * 86400.0))
    assert not found.notes
    assert Config.model_validate(found.model_dump(by_alias=True)).policy() == found.policy()


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("[{cap: 500 kB/s}]", "trackers[0].tiers[0]: has no condition"),
        ("[{above_ratio: 2}]", "trackers[0].tiers[0].cap: is missing"),
        ("[{above_ratio: -1, cap: 500 kB/s}]", "trackers[0].tiers[0].above_ratio: "),
        ("[{above_age: 90, cap: 500 kB/s}]", "trackers[0].tiers[0].above_age: is not an age. hint: write '90m'"),
        ("[{above_age: 90d, cap: unlimited}]", "trackers[0].tiers[0].cap: must be a limit"),
        ("{above_age: 90d, cap: 500 kB/s}", "trackers[0].tiers: must be a list"),
    ],
)
def test_what_is_no_tier_is_told_with_its_place(written: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        config(f"tiers: {written}")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("written", "useless"),
    [
        ("[{above_ratio: 1, cap: 2 MB/s}, {above_ratio: 2, cap: 1 MB/s}]", 0),
        ("[{above_ratio: 2, cap: 1 MB/s}, {above_ratio: 1, cap: 2 MB/s}]", 0),
        ("[{above_ratio: 1, cap: 1 MB/s}, {above_ratio: 2, cap: 2 MB/s}]", 1),
        ("[{above_ratio: 1, cap: 1 MB/s}, {above_ratio: 1, cap: 1 MB/s}]", 1),
        ("[{above_ratio: 1, cap: 1 MB/s}, {above_ratio: 1, above_age: 9d, cap: 1 MB/s}]", 1),
        ("[{above_ratio: 1, cap: 1 MB/s}, {above_age: 9d, cap: 2 MB/s}]", 0),
    ],
)
def test_a_tier_that_changes_nothing_is_noted(written: str, useless: int) -> None:
    assert sum("has no effect" in note for note in config(f"tiers: {written}").notes) == useless


@pytest.mark.parametrize("written", ["overspeed: 50 MB/s", "tiers: [{above_ratio: 1, cap: 1 MB/s}]"])
def test_an_entry_that_selects_no_torrents_bounds_none(written: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loads(
            f"trackers: [{{id: top, max_upload_speed: 9 MB/s, {written}}}, {{id: a, parent: top, pattern: a, "
            "max_upload_speed: -1}, {id: rest, pattern: '.*', max_upload_speed: -1}]",
            environment={},
        )
    assert "bounds single torrents, and this entry selects none" in str(raised.value)
