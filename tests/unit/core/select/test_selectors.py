"""Selectors, held against a plain reading of what they mean."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qguardarr.core.model import (
    UNLIMITED,
    Activity,
    Labels,
    Range,
    Selector,
    Torrent,
    TrackerClass,
    digest_of,
    float32,
)
from qguardarr.core.select.matcher import Matcher, Verdict

NOW = 1_800_000_000.0
DAY = 86_400
URLS = ["http://hd.example/announce", "http://public.example/announce", "udp://hd.other"]
PATTERNS = ["", "hd", "public", r"hd\.example", "(?<!x)example", "^$"]
NAMES = ["Some.Show.S01E02", "A film", "xs02e03"]
NAME_PATTERNS = ["", r"S\d\dE\d\d", "film", "(?<!x)s0"]
CATEGORIES = ["", "movies", "movies/uhd", "moviesx", "tv"]
TAGS = ["", "keep", "gold", "slow"]


def torrent(**values: Any) -> Torrent:
    known: dict[str, Any] = {"urls": (), "activity": Activity.IDLE, "up_limit": UNLIMITED, "uploaded": 0}
    known |= {"hash": "a" * 40, "leechers": 0, "swarm_leechers": 0, "downloading": False, "added_on": int(NOW) - DAY}
    return Torrent(**(known | values))


def rule_of(matcher: Matcher, shown: Torrent, now: float = NOW) -> int:
    return matcher.match(shown.urls, shown, now)


def rules(*selectors: Selector, caps: tuple[int, ...] = ()) -> list[TrackerClass]:
    found = [
        TrackerClass(f"r{n}", "", selector.pattern, 1000, 1, where=msgspec.structs.replace(selector, pattern=""))
        for n, selector in enumerate(selectors)
    ]
    found = [msgspec.structs.replace(rule, cap=cap) for rule, cap in zip(found, caps or (1000,) * 99, strict=False)]
    return [*found, TrackerClass("rest", "", ".*", UNLIMITED, 1)]


def search(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def matches(selector: Selector, **values: Any) -> bool:
    return rule_of(Matcher(rules(selector), backtrack=search, instance="home"), torrent(**values)) == 0


class TestOneCondition:
    @pytest.mark.parametrize(
        ("wanted", "category", "found"),
        [
            (("movies",), "movies", True),
            (("movies",), "movies/uhd", True),
            (("movies",), "moviesx", False),
            (("movies",), "Movies", False),
            (("movies",), "", False),
            (("movies/uhd",), "movies", False),
            (("tv", "movies"), "movies/uhd/hdr", True),
            (("",), "", True),
            (("",), "movies", False),
        ],
    )
    def test_a_category_holds_those_beneath_it(self, wanted: tuple[str, ...], category: str, found: bool) -> None:
        assert matches(Selector(category=wanted), labels=Labels(category, (), None)) is found

    @pytest.mark.parametrize(
        ("wanted", "tags", "found"),
        [
            (("keep", "gold"), ("gold", "slow"), True),
            (("keep", "gold"), ("slow",), False),
            (("keep",), (), False),
            (("",), (), True),
            (("",), ("keep",), False),
            (("", "keep"), ("keep",), True),
        ],
    )
    def test_one_of_several_tags_is_enough(self, wanted: tuple[str, ...], tags: tuple[str, ...], found: bool) -> None:
        assert matches(Selector(tags=wanted), labels=Labels("", tags, None)) is found

    @pytest.mark.parametrize("wanted", [True, False])
    def test_what_is_not_known_to_be_private_is_neither(self, wanted: bool) -> None:
        selector = Selector(private=wanted)
        assert matches(selector, labels=Labels("", (), wanted))
        assert not matches(selector, labels=Labels("", (), not wanted))
        assert not matches(selector, labels=Labels("", (), None))
        opposite = Selector(unless=(selector,))
        assert not matches(opposite, labels=Labels("", (), wanted))
        assert matches(opposite, labels=Labels("", (), not wanted))
        assert not matches(opposite, labels=Labels("", (), None))

    def test_above_includes_the_number_and_below_does_not(self) -> None:
        selector = Selector(ratio=Range(1.3, 3))
        found = [matches(selector, ratio=float32(ratio)) for ratio in (1.2999, 1.3, 2.9999, 3, math.inf)]
        assert found == [False, True, True, False, False]
        assert matches(Selector(size=Range(above=10)), size=10)
        assert not matches(Selector(size=Range(below=10)), size=10)

    def test_age_counts_from_when_it_was_added(self) -> None:
        selector = Selector(age=Range(above=30 * DAY))
        assert matches(selector, added_on=int(NOW) - 30 * DAY)
        assert not matches(selector, added_on=int(NOW) - 30 * DAY + 1)
        assert not matches(selector, added_on=0)

    def test_state_is_whether_it_is_complete(self) -> None:
        assert matches(Selector(state="seeding"), downloading=False)
        assert matches(Selector(state="downloading"), downloading=True)
        assert not matches(Selector(state="downloading"), downloading=False)

    def test_a_name_is_searched_as_an_announce_url_is(self) -> None:
        selector = Selector(name=r"s\d\de\d\d")
        assert matches(selector, name="A.Show.S01E02.1080p")
        assert not matches(selector, name="A.Film.2020")

    def test_an_instance_is_one_of_those_named(self) -> None:
        assert matches(Selector(instance=("home",)))
        assert not matches(Selector(instance=("away",)))
        assert matches(Selector(unless=(Selector(instance=("away",)),)))
        assert not matches(Selector(unless=(Selector(instance=("home",)),)))

    def test_several_conditions_must_all_hold(self) -> None:
        selector = Selector(pattern="hd", tags=("keep",), unless=(Selector(category=("tv",)),))
        good = {"urls": (URLS[0],), "labels": Labels("movies", ("keep",), None)}
        assert matches(selector, **good)
        assert not matches(selector, **(good | {"urls": (URLS[1],)}))
        assert not matches(selector, **(good | {"labels": Labels("movies", (), None)}))
        assert not matches(selector, **(good | {"labels": Labels("tv", ("keep",), None)}))

    def test_what_is_left_out_by_one_url_is_left_out(self) -> None:
        selector = Selector(unless=(Selector(pattern="public"),))
        assert matches(selector, urls=(URLS[0],))
        assert not matches(selector, urls=(URLS[0], URLS[1]))
        strictest = Matcher(rules(selector, Selector(pattern="hd"), caps=(1, 2)), "strictest")
        assert rule_of(strictest, torrent(urls=(URLS[0], URLS[1]))) == 1


class TestSearching:
    def test_a_rule_that_only_a_pattern_decides_ends_the_search_for_patterns_beyond_re2(self) -> None:
        asked: list[str] = []

        def backtrack(pattern: str, text: str) -> bool:
            asked.append(pattern)
            return search(pattern, text)

        first, last = "(?<!x)hd", "(?<!y)example"
        tagged = Selector(pattern=first, tags=("keep",))
        matcher = Matcher(rules(tagged, Selector(pattern="hd"), Selector(pattern=last)), backtrack=backtrack)
        assert rule_of(matcher, torrent(urls=(URLS[0],))) == 1
        assert asked == [first]
        asked.clear()
        assert rule_of(matcher, torrent(urls=(URLS[1],))) == 2
        assert asked == [last]

    def test_a_name_that_nobody_asks_for_is_not_wanted(self) -> None:
        assert not Matcher(rules(Selector(tags=("a",)))).wants_names
        assert not Matcher(rules(Selector(name="a", instance=("away",))), instance="home").wants_names
        assert Matcher(rules(Selector(unless=(Selector(name="a"),)))).wants_names

    def test_verdicts_are_good_for_rules_with_the_same_patterns(self) -> None:
        one = Matcher(rules(Selector(pattern="hd", tags=("a",)), Selector(pattern="public")))
        other = Matcher(
            rules(Selector(pattern="hd", tags=("b",)), Selector(state="seeding"), Selector(pattern="public"))
        )
        assert one.reads_alike(other)
        assert not one.reads_alike(Matcher(rules(Selector(pattern="public"), Selector(pattern="hd", tags=("a",)))))
        assert not one.reads_alike(Matcher(rules(Selector(pattern="hd"), Selector(pattern="public"))))
        assert not one.reads_alike(
            Matcher(rules(Selector(pattern="hd", tags=("a",)), Selector(pattern="public")), "strictest")
        )

    def test_the_last_rule_takes_all(self) -> None:
        with pytest.raises(ValueError, match="catch-all"):
            Matcher([TrackerClass("r", "", ".*", 1000, 1, where=Selector(tags=("a",)))])


RANGES = st.builds(Range, above=st.sampled_from([None, 0, 1, 2.5]), below=st.sampled_from([None, 1, 2.5, 100]))
AGES = st.builds(Range, above=st.sampled_from([None, DAY, 7 * DAY]), below=st.sampled_from([None, 7 * DAY, 30 * DAY]))
SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "pattern": st.sampled_from(PATTERNS),
    "category": st.lists(st.sampled_from(CATEGORIES), max_size=2).map(tuple),
    "tags": st.lists(st.sampled_from(TAGS), max_size=2).map(tuple),
    "private": st.sampled_from([None, None, True, False]),
    "ratio": RANGES,
    "age": AGES,
    "size": RANGES,
    "state": st.sampled_from([None, None, "downloading", "seeding"]),
    "name": st.sampled_from(NAME_PATTERNS),
    "instance": st.sampled_from([(), (), ("home",), ("away", "home"), ("away",)]),
}


def some_of(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Selector]:
    """Selectors with a few of these conditions."""
    chosen = st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True)
    return chosen.flatmap(lambda names: st.builds(Selector, **{name: fields[name] for name in names}))


SELECTORS = some_of(SIMPLE | {"unless": st.lists(some_of(SIMPLE), max_size=2).map(tuple)})
TORRENTS = st.builds(
    torrent,
    urls=st.lists(st.sampled_from(URLS), max_size=3, unique=True).map(tuple),
    labels=st.builds(
        Labels,
        category=st.sampled_from(CATEGORIES),
        tags=st.lists(st.sampled_from(TAGS[1:]), max_size=2, unique=True).map(tuple),
        private=st.sampled_from([None, True, False]),
    ),
    ratio=st.sampled_from([0.0, 0.99, 1.0, 2.5, math.inf]),
    size=st.sampled_from([0, 1, 2, 3, 99, 100]),
    added_on=st.sampled_from([0, *(int(NOW) - days * DAY for days in (0, 1, 6, 7, 30, 400))]),
    downloading=st.booleans(),
    name=st.sampled_from(NAMES),
)


def plainly(selector: Selector, shown: Torrent, texts: list[str], all_texts: list[str]) -> bool | None:
    """What a selector means, said without regard for speed; None if that cannot be known."""

    def lies_in(wanted: Range, number: float) -> bool:
        above = wanted.above is None or number >= wanted.above
        return above and (wanted.below is None or number < wanted.below)

    category, age = shown.labels.category, NOW - shown.added_on if shown.added_on else 0.0
    certain = [
        not selector.pattern or any(search(selector.pattern, text) for text in texts),
        not selector.category or any(category == c or (c and category.startswith(c + "/")) for c in selector.category),
        not selector.tags or bool(set(selector.tags) & set(shown.labels.tags or [""])),
        lies_in(selector.ratio, shown.ratio),
        lies_in(selector.age, age),
        lies_in(selector.size, shown.size),
        selector.state is None or (selector.state == "downloading") is shown.downloading,
        not selector.name or search(selector.name, shown.name),
        not selector.instance or "home" in selector.instance,
        not any(plainly(left_out, shown, all_texts, all_texts) for left_out in selector.unless),
    ]
    if not all(certain):
        return False
    unknown = any(plainly(left_out, shown, all_texts, all_texts) is None for left_out in selector.unless)
    if selector.private is not None:
        if shown.labels.private is None:
            return None
        if shown.labels.private is not selector.private:
            return False
    return None if unknown else True


def expected(classes: list[TrackerClass], mode: str, shown: Torrent) -> int:
    texts = list(shown.urls) or [""]
    found = [
        next(n for n, rule in enumerate(classes) if plainly(rule.selector, shown, [text], texts) is True)
        for text in texts
    ]
    return min(found) if mode == "first" else min(found, key=lambda n: (classes[n].cap, n))


@settings(deadline=None, max_examples=300)
@given(
    selectors=st.lists(SELECTORS, max_size=5),
    caps=st.lists(st.integers(1, 4), min_size=5, max_size=5).map(tuple),
    mode=st.sampled_from(["first", "strictest"]),
    torrents=st.lists(TORRENTS, min_size=1, max_size=5),
)
def test_the_matcher_says_what_the_selectors_mean(
    selectors: list[Selector], caps: tuple[int, ...], mode: Any, torrents: list[Torrent]
) -> None:
    classes = rules(*selectors, caps=caps)
    matcher = Matcher(classes, mode, search, "home")
    for shown in torrents:
        wanted = expected(classes, mode, shown)
        assert rule_of(matcher, shown) == wanted
        verdict = Verdict(matcher.read_urls(shown.urls), matcher.read_name(shown.name))
        kept = msgspec.structs.replace(shown, urls=(), urls_digest=digest_of(shown.urls), name="")
        assert matcher.choose(verdict, kept, NOW) == wanted == matcher.choose(verdict, kept, NOW)
        failing = [*matcher.failing(matcher.whole_verdict(shown.urls, shown.name), kept, NOW), None]
        assert failing[wanted] is None
        if mode == "first":
            assert failing.index(None) == wanted
