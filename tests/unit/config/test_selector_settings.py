"""What an entry selects torrents by: read, refused, and remarked upon."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qguardarr.config import Config
from qguardarr.config.load import reads
from qguardarr.core.model import Range, Selector
from qguardarr.errors import ConfigError

REST = "  - {id: rest, pattern: '.*', max_upload_speed: unlimited}\n"


SEVERAL = "qbittorrent: [{name: home, url: 'http://h'}, {name: box, url: 'http://b', formerly: old}]\n"


def loads(*entries: str, servers: str = "") -> Config:
    lines = "".join(f"  - {{id: g{n}, max_upload_speed: 1 MB/s, {entry}}}\n" for n, entry in enumerate(entries))
    return reads(f"trackers:\n{lines}{REST}{servers}", "c.yaml", {}).config


def where(entry: str) -> Selector:
    return loads(entry).policy().classes[0].where


def fault_of(*entries: str, servers: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        loads(*entries, servers=servers)
    return str(caught.value)


@pytest.mark.parametrize(
    ("entry", "selector"),
    [
        ("category: movies", Selector(category=("movies",))),
        ("category: [movies, '']", Selector(category=("movies", ""))),
        ("tags: [keep, gold]", Selector(tags=("keep", "gold"))),
        ("private: true", Selector(private=True)),
        ("private: no", Selector(private=False)),
        ("ratio: {above: 1, below: 3.5}", Selector(ratio=Range(1.0, 3.5))),
        ("age: {above: 30d}", Selector(age=Range(above=30 * 86400.0))),
        ("age: {above: 90m, below: 2w}", Selector(age=Range(5400.0, 14 * 86400.0))),
        ("size: {below: 10 GiB}", Selector(size=Range(below=10 * 2**30))),
        ("size: {above: 700 MB, below: 2000000000}", Selector(size=Range(700_000_000, 2_000_000_000))),
        ("state: seeding", Selector(state="seeding")),
        (r"torrent_name: 'S\d\dE\d\d'", Selector(name=r"S\d\dE\d\d")),
        ("tags: a, not: {tags: b}", Selector(tags=("a",), unless=(Selector(tags=("b",)),))),
        (
            "not: [{category: tv, private: true}, {pattern: x}]",
            Selector(unless=(Selector(category=("tv",), private=True), Selector(pattern="x"))),
        ),
    ],
)
def test_conditions_reach_the_policy(entry: str, selector: Selector) -> None:
    assert where(entry) == selector


def test_a_configuration_that_is_shown_reads_as_the_same() -> None:
    first = loads(
        r"pattern: 'a\.b', category: [x], tags: [y, ''], private: false, ratio: {above: 1}, age: {below: 36h}, "
        "size: {above: 5 GiB}, state: downloading, torrent_name: z, not: {age: {above: 90m}}"
    )
    shown: dict[str, Any] = json.loads(first.model_dump_json(by_alias=True))
    assert shown["trackers"][0]["age"] == {"above": None, "below": "36h"}
    assert Config.model_validate(shown).policy() == first.policy()


def test_a_list_from_the_environment_may_have_conditions() -> None:
    rules = [
        {"id": "a", "tags": ["x"], "not": {"ratio": {"below": 1}}, "max_upload_speed": "1 MB/s"},
        {"id": "rest", "pattern": ".*", "max_upload_speed": -1},
    ]
    found = reads("{}", "c.yaml", {"QGUARDARR__TRACKERS": json.dumps(rules)}).config.policy()
    assert found.classes[0].where == Selector(tags=("x",), unless=(Selector(ratio=Range(below=1.0)),))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("tags: 'a,b'", "trackers[0].tags[0]: holds a comma"),
        ("tags: []", "trackers[0].pattern: is missing"),
        ("category: /movies", "trackers[0].category[0]: begins or ends"),
        ("ratio: {above: 3, below: 1}", "trackers[0].ratio: 'above' is not less than 'below'"),
        ("ratio: {above: 1, below: 1}", "'above' is not less than 'below'"),
        ("age: {}", "trackers[0].age: has no bound"),
        ("age: {above: 30}", "trackers[0].age.above: is not a duration. hint: write minutes, hours, days or weeks"),
        ("size: {above: big}", "trackers[0].size.above: is not a size"),
        ("ratio: {over: 1}", "trackers[0].ratio.over"),
        ("state: paused", "trackers[0].state"),
        ("torrent_name: '('", "trackers[0].torrent_name: is not a regular expression"),
        ("not: {}", "trackers[0].not[0]: has no condition"),
        ("not: {tag: a}", "did you mean 'tags'?"),
        ("not: {torrent_name: '['}", "trackers[0].not[0].torrent_name: is not a regular expression"),
        ("tag: a", "did you mean 'tags'?"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(entry: str, words: str) -> None:
    assert words in fault_of(entry)
    assert fault_of(entry).startswith("c.yaml:2:")


def test_an_entry_needs_a_condition() -> None:
    assert "trackers[0].pattern: is missing. hint: add it, or another condition" in fault_of("priority: 1")


def test_the_last_entry_has_none_but_its_pattern() -> None:
    text = "trackers:\n  - {id: a, pattern: '.*', tags: [x], max_upload_speed: unlimited}\n"
    with pytest.raises(ConfigError, match="the last rule must be a catch-all"):
        reads(text, "c.yaml", {})


def test_a_pattern_for_everything_may_stand_beside_another_condition() -> None:
    assert loads("pattern: '.*', tags: [x]").policy().classes[0].where == Selector(tags=("x",))


@pytest.mark.parametrize(
    ("first", "second", "never"),
    [
        ("tags: [a, b]", "tags: a, pattern: x", True),
        ("tags: a", "tags: [a, b]", False),
        ("category: movies", "category: movies/uhd, private: true", True),
        ("category: movies/uhd", "category: movies", False),
        ("pattern: x", "pattern: x, ratio: {above: 1}", True),
        ("pattern: x", "pattern: y", False),
        ("ratio: {above: 1}", "ratio: {above: 2, below: 3}", True),
        ("ratio: {above: 2}", "ratio: {above: 1}", False),
        ("age: {below: 2w}", "age: {below: 7d}", True),
        ("state: seeding", "state: seeding, size: {above: 1 GB}", True),
        ("state: seeding", "state: downloading", False),
        ("tags: a, not: {tags: b}", "tags: a", False),
        ("tags: a, not: {tags: b}", "tags: a, not: {tags: [b, c]}", True),
        ("torrent_name: x", "torrent_name: x, tags: a", True),
    ],
)
def test_an_entry_that_never_gets_a_torrent_is_remarked(first: str, second: str, never: bool) -> None:
    found = [note for note in loads(first, second).notes if "'g1' never gets a torrent, since 'g0'" in note]
    assert bool(found) is never


@pytest.mark.parametrize(
    ("entry", "selector"),
    [
        ("instance: home", Selector(instance=("home",))),
        ("instance: [home, box]", Selector(instance=("home", "box"))),
        ("tags: a, not: {instance: box}", Selector(tags=("a",), unless=(Selector(instance=("box",)),))),
    ],
)
def test_the_qbittorrent_is_a_condition(entry: str, selector: Selector) -> None:
    assert loads(entry, servers=SEVERAL).policy().classes[0].where == selector


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("instance: hom", "trackers[0].instance: there is no qBittorrent with the name 'hom'. hint: did you mean"),
        (
            "instance: [home, zzz]",
            "trackers[0].instance[1]: there is no qBittorrent with the name 'zzz'. hint: known",
        ),
        ("instance: old", "hint: did you mean 'box'?"),
        ("instance: ['']", "no qBittorrent with the name ''"),
        ("tags: a, not: {instance: zzz}", "trackers[0].not.instance: there is no"),
        ("tags: a, not: [{tags: b}, {instance: zzz}]", "trackers[0].not[1].instance: there is no"),
    ],
)
def test_an_unknown_qbittorrent_is_refused_with_its_place(entry: str, words: str) -> None:
    assert words in fault_of(entry, servers=SEVERAL)
    assert fault_of(entry, servers=SEVERAL).startswith("c.yaml:2:")


def test_the_only_qbittorrent_has_no_name_to_select_by() -> None:
    assert "there is one qBittorrent, which has no name. hint: remove it, or make 'qbittorrent' a list" in fault_of(
        "instance: home"
    )


@pytest.mark.parametrize(
    ("entry", "servers", "words"),
    [
        ("instance: [box, home]", SEVERAL, "'instance' of 'g0' has no effect: it names all qBittorrents"),
        ("instance: home", "qbittorrent: [{name: home}]\n", "'instance' of 'g0' has no effect: it names the only"),
        ("tags: a, not: {instance: [box, home]}", SEVERAL, "'g0' never gets a torrent: it leaves out those on all"),
        ("tags: a, not: {instance: [box, home], tags: b}", SEVERAL, "'instance' of 'g0' has no effect"),
        ("instance: home", SEVERAL, None),
        ("tags: a, not: {instance: home}", SEVERAL, None),
    ],
)
def test_a_condition_that_names_all_qbittorrents_is_remarked(entry: str, servers: str, words: str | None) -> None:
    found = [note for note in loads(entry, servers=servers).notes if "g0" in note]
    assert found == [] if words is None else words in found[0]


def test_a_slow_name_pattern_is_remarked() -> None:
    assert any(
        "the pattern of 'g0' is matched by a slower search" in note for note in loads("torrent_name: '(?!x)y'").notes
    )
