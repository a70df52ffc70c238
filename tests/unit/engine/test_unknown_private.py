"""Rules that ask whether torrents are private of a qBittorrent that does not tell."""

from __future__ import annotations

import pytest

from qguardarr.core.model import Selector, TrackerClass
from qguardarr.engine.unknown_private import private_unknown

NONE = "takes none of its torrents"


def rule(where: Selector) -> TrackerClass:
    return TrackerClass("hd", "hd", "hd", 1_000_000, 1, where=where)


@pytest.mark.parametrize(
    ("where", "end"),
    [
        (Selector(private=True), NONE),
        (Selector(private=False, instance=("home", "box")), NONE),
        (Selector(private=True, instance=("home",)), None),
        (Selector(unless=(Selector(private=True),)), "leaves out all that may be"),
        (Selector(unless=(Selector(private=True, instance=("home",)),)), None),
        (Selector(tags=("x",), unless=(Selector(tags=("y",)),)), None),
    ],
)
def test_a_rule_that_asks_in_vain_is_remarked(where: Selector, end: str | None) -> None:
    found = private_unknown([rule(where)], "v4.5.2", "box")
    begin = "qBittorrent v4.5.2 at 'box' does not tell which torrents are private (5.0 and newer do), so the rule 'hd' "
    assert found == ([] if end is None else [begin + end])


@pytest.mark.parametrize("version", ["v5.0.0", "v5.1.2", "v10.0", None, "", "unknown"])
def test_those_that_tell_or_are_not_known_are_not_remarked(version: str | None) -> None:
    assert private_unknown([rule(Selector(private=True))], version) == []


def test_the_only_one_has_no_name() -> None:
    [found] = private_unknown([rule(Selector(private=True))], "v4.6.7")
    assert found.startswith("qBittorrent v4.6.7 does not tell")
