import gc
import re
import weakref
from typing import Literal
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.core import match
from qguardarr.core.match import Matcher, compile_pattern, host_of, is_catch_all, needles
from qguardarr.core.model import UNLIMITED, TrackerClass

Mode = Literal["first", "strictest"]


def rules(*patterns: str, caps: tuple[int, ...] = ()) -> list[TrackerClass]:
    caps = caps or (1000,) * len(patterns)
    return [TrackerClass(f"r{n}", "", p, cap, 1) for n, (p, cap) in enumerate(zip(patterns, caps, strict=True))]


def test_the_first_rule_in_the_file_wins_whatever_the_order_of_the_urls() -> None:
    matcher = Matcher(rules("a\\.example", "b\\.example", ".*"))
    a, b, other = "http://a.example/announce", "http://b.example/announce", "http://c.example/announce"
    assert matcher.match((b, a)) == matcher.match((a, b)) == matcher.match((other, a)) == 0
    assert matcher.match((other, b)) == 1
    assert matcher.match((other,)) == 2


def test_strictest_takes_the_lowest_cap_of_the_rules_of_its_trackers() -> None:
    matcher = Matcher(rules("a\\.example", "b\\.", "a", ".*", caps=(9, 5, 1, UNLIMITED)), "strictest")
    a, b, other = "http://a.example/announce", "http://b.test/", "http://c.test/"
    assert matcher.match((a,)) == 0  # rule 2 matches as well, but is not this URL's first
    assert matcher.match((a, b)) == 1
    assert matcher.match((other, a)) == 0
    assert matcher.match((other,)) == 3


def test_equal_caps_leave_the_order_of_the_file() -> None:
    matcher = Matcher(rules("a\\.", "b\\.", ".*", caps=(5, 5, 5)), "strictest")
    assert matcher.match(("http://b.x/", "http://a.x/", "http://c.x/")) == 0


@pytest.mark.parametrize(
    "url", ["** [DHT] **", "** [PeX] **", "** [LSD] **", "", "  ", "http://", "http:///x", "a.example"]
)
def test_rows_that_are_no_tracker_count_for_nothing(url: str) -> None:
    matcher = Matcher(rules("dht|pex|lsd|http|a\\.example", "b\\.example", ".*"))
    assert matcher.match((url,)) == 2
    assert matcher.match((url, "udp://b.example:6969")) == 1
    assert host_of(url) == ""


def test_torrents_without_a_tracker_belong_to_the_catch_all_or_a_rule_for_nothing() -> None:
    assert Matcher(rules("a", ".*")).match(()) == 1
    assert Matcher(rules("^$", ".*")).match(("** [DHT] **",)) == 0
    assert Matcher(rules("^$", ".*")).match(("http://a.example/",)) == 1


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("TRACKER\\.Example", "HTTPS://tracker.EXAMPLE/x"),
        ("a b/", "http://t.example/a%20b/announce"),
        ("a%20b", "http://t.example/a%20b/announce"),
        ("//tracker\\.example[:/]", "http://tracker.example./announce"),
        ("//tracker\\.example[:/]", "udp://tracker.example.:80"),
        ("//tracker\\.example[:/]", "http://%74racker.example/announce"),
        ("tracker\\.example\\./", "http://tracker.example./announce"),
        ("example\\.org:2053", "https://example.org:2053/announce"),
        ("^udp://", "udp://example.org:1"),
        ("^wss:", "wss://example.org"),
        ("\\[2001:db8::1\\]", "http://[2001:DB8::1]:6969/announce"),
        ("bücher", "http://BÜCHER.example/announce"),
        ("bücher", "http://b%C3%BCcher.example/announce"),
        ("straſe", "http://strase.example/announce"),
        ("kelvin", "http://\u212aelvin.example/announce"),
        ("^http://example", "  http://example.org/announce \n"),
        ("user=7", "http://example.org/announce?user=7"),
        ("(?i:FOO)\\d+|bar", "http://foo12.example/"),
        ("(?x) foo  # a comment", "http://foo.example/"),
    ],
)
def test_forms_of_urls_that_match(pattern: str, url: str) -> None:
    assert Matcher(rules(pattern, ".*")).match((url,)) == 0


def test_the_first_rule_counts_whichever_form_it_matches() -> None:
    assert Matcher(rules("a%20b", "a b", ".*")).match(("http://t.example/a%20b",)) == 0
    assert Matcher(rules("a b", "a%20b", ".*")).match(("http://t.example/a%20b",)) == 0


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://Tracker.Example.ORG/0123456789abcdef/announce", "tracker.example.org"),
        ("https://user:secret@tracker.example:443/announce?passkey=1", "tracker.example"),
        ("https://us@er:sec@ret@tracker.example/announce", "tracker.example"),
        ("udp://tracker.example:1337", "tracker.example:1337"),
        ("http://tracker.example.:80/announce", "tracker.example"),
        ("http://127.0.0.1:6969/announce", "127.0.0.1:6969"),
        ("http://[2001:DB8::1]:6969/announce", "[2001:db8::1]:6969"),
        ("wss://[::1]/", "[::1]"),
        ("http://tracker.example?passkey=1", "tracker.example"),
        ("http://tracker.example#x", "tracker.example"),
        ("http://user:secret/path@tracker.example/", ""),
    ],
)
def test_hosts_are_shown_without_secrets(url: str, host: str) -> None:
    assert host_of(url) == host


def test_nothing_of_a_url_is_in_a_repr() -> None:
    matcher = Matcher(rules("a", ".*"))
    matcher.match(("http://a.example/0123456789abcdef/announce",))
    assert repr(matcher) == "<Matcher of 2 rules, first>"


@pytest.mark.parametrize("pattern", [".*", "", "^.*$", "(foo)?", "^", ".*?", "(?s).*", "x*", ".*|foo"])
def test_catch_alls(pattern: str) -> None:
    assert is_catch_all(pattern)


@pytest.mark.parametrize("pattern", [".+", "^$", "http", "^(http|udp|wss)|^$x", "://", "^$|http", "[a-z]"])
def test_no_catch_alls(pattern: str) -> None:
    assert not is_catch_all(pattern)


@pytest.mark.parametrize("classes", [[], rules("a"), rules(".*", ".+")])
def test_a_matcher_without_a_catch_all_is_refused(classes: list[TrackerClass]) -> None:
    with pytest.raises(ValueError, match="catch-all"):
        Matcher(classes)


@pytest.mark.parametrize("pattern", ["(", "*a", "[", "a{5,2}", "(?P<x", "\\", "a{99999999999999999999}"])
def test_what_is_no_regular_expression_says_so(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a regular expression"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", r"(\w+)*x", "(.*a)*$", r"(\w+-?)+$", "x|(y(?:[a-z]*)+)", "((a*)b*){2,}", "(.*)*"]
)
def test_repeats_of_repeats_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="repeats a repeat"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", [r"(\w+\.)*example\.org", "(.*)?x", "(a+)", "(?:a|b)+", "([a-z]{2}:){3}", "(a+)++", "(a?b)*"]
)
def test_harmless_repeats_are_not(pattern: str) -> None:
    compile_pattern(pattern)


def test_little_is_remembered_of_urls_that_are_all_different(monkeypatch: pytest.MonkeyPatch) -> None:
    class Url(str):
        __slots__ = ("__weakref__",)

    monkeypatch.setattr(match, "_CACHED", 3)
    matcher = Matcher(rules("7", ".*"))
    alive: weakref.WeakSet[Url] = weakref.WeakSet()
    for n in [*range(10), *range(10)]:
        url = Url(f"http://t{n}.example/")
        alive.add(url)
        assert matcher.match((url,)) == (n != 7)
    del url
    gc.collect()
    assert len(alive) == 3


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (r".*tracker\.example\.org.*", {"tracker.example.org"}),
        (r"^https?://Foo", {"://foo"}),
        (r"(nyaa|eztv|rarbg)", {"nyaa", "eztv", "rarbg"}),
        (r"(?:alpha\.|beta\.)example\.org", {"example.org"}),
        (r"(foo)?ba[rz]", {"ba"}),
        (r"(foo){2,}", {"foo"}),
        (r"foo|.*", {""}),
        (r"[a-z]+", {""}),
        (r"(?!foo).", {""}),
    ],
)
def test_texts_that_every_match_must_contain(pattern: str, found: set[str]) -> None:
    assert set(needles(pattern)) == found


GROUPS = ["a|b", "(a|Bc)", "(?:x)?", "(?=a)", "(?-i:A)", "[ab]", "b{2}", "a+", ".*"]
PIECE = st.sampled_from([*GROUPS, "a", "B", "ex", ".", "\\.", "\\d+", "^", "$", "/", "ü", "%41", ":", "ſ", "k"])
PATTERN = st.lists(PIECE, min_size=1, max_size=5).map("".join)
URL = st.builds(
    "{}://{}{}/{}".format,
    st.sampled_from(["http", "UDP", "wss"]),
    st.text("abBkKxeüſ.", min_size=1, max_size=6),
    st.sampled_from(["", ":80", ".", ".:6969"]),
    st.text("abABk%41/ \u212a", max_size=8),
) | st.sampled_from(["** [DHT] **", "", "http://", "nothing"])


def naive_forms(url: str) -> list[str]:
    """The same decisions, said without regard for speed."""
    found = re.fullmatch(r"(\w+)://([^/:?#\s]+)(:\d+)?(/.*)", url.strip(), re.DOTALL)
    if not found:
        return []
    scheme, host, port, path = found.groups(default="")
    forms = {f"{scheme}://{h}{port}{path}" for h in (host, host.rstrip(".") if host.endswith(".") else host)}
    return [*forms, *(unquote(form) for form in forms)]


def naive(classes: list[TrackerClass], mode: Mode, urls: tuple[str, ...]) -> int:
    def first(forms: list[str]) -> int:
        hits = (n for n, c in enumerate(classes) for f in forms if re.search(c.pattern, f, re.IGNORECASE))
        return next(hits)

    found = [first(naive_forms(url)) for url in urls if naive_forms(url)] or [first([""])]
    return min(found) if mode == "first" else min(found, key=lambda n: (classes[n].cap, n))


@given(
    st.lists(st.tuples(PATTERN, st.integers(1, 5)), max_size=5),
    st.sampled_from(["first", "strictest"]),
    st.lists(st.lists(URL, max_size=3).map(tuple), min_size=1, max_size=5),
)
def test_the_fast_matcher_agrees_with_the_plain_one(
    given_rules: list[tuple[str, int]], mode: Mode, torrents: list[tuple[str, ...]]
) -> None:
    classes = [TrackerClass(str(n), "", p, cap, 1) for n, (p, cap) in enumerate([*given_rules, (".*", 3)])]
    matcher = Matcher(classes, mode)
    for urls in torrents:
        assert matcher.match(urls) == naive(classes, mode, urls) == matcher.match(urls)
