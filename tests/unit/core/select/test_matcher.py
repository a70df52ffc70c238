import gc
import re
import weakref
from typing import Literal
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qguardarr.core.model import UNLIMITED, TrackerClass
from qguardarr.core.select import matcher as match
from qguardarr.core.select import pattern as pattern_module
from qguardarr.core.select.matcher import NOTHING_KNOWN, Matcher, host_of, is_catch_all

Mode = Literal["first", "strictest"]


def rules(*patterns: str, caps: tuple[int, ...] = ()) -> list[TrackerClass]:
    caps = caps or (1000,) * len(patterns)
    return [TrackerClass(f"r{n}", "", p, cap, 1) for n, (p, cap) in enumerate(zip(patterns, caps, strict=True))]


def re_search(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


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


@pytest.mark.parametrize("pattern", ["(?!foo).*", "(?=.*)", "(?!.*foo)"])
def test_what_only_re_could_tell_may_stand_last_and_anywhere_else(pattern: str) -> None:
    assert is_catch_all(pattern) is None
    assert Matcher(rules("a", pattern)).match(("http://a.example/",)) == 0


def test_a_pattern_beyond_re2_is_left_to_re() -> None:
    matcher = Matcher(rules("^(?!.*(foo|bar))", "foo", ".*"), backtrack=re_search)
    found = [matcher.match((f"http://{host}.example/",)) for host in ("foo", "bar", "other")]
    assert found == [1, 2, 0]
    with pytest.raises(ValueError, match="beyond RE2"):
        Matcher(rules("(?!a)b", ".*"))


def test_re_is_not_asked_where_an_earlier_rule_matches_or_re2_finds_nothing() -> None:
    asked: list[str] = []
    matcher = Matcher(rules("foo", "(?<!x)bar", ".*"), backtrack=lambda _pattern, url: not asked.append(url))
    assert [matcher.match((f"http://{host}/",)) for host in ("foobar", "other", "bar")] == [0, 2, 1]
    assert asked == ["http://bar/"]


def test_all_rules_that_match_a_url_can_be_told() -> None:
    matcher = Matcher(rules("a b", "example", "nothing", "^$", ".*"))

    def matching(url: str) -> list[int]:
        failing = matcher.failing(matcher.whole_verdict((url,), ""), NOTHING_KNOWN, 0.0)
        return [index for index, field in enumerate(failing) if field is None]

    assert matching("http://example./a%20b") == [0, 1]
    assert matching("** [DHT] **") == [3]


HOSTILE = [
    (r"//([\w.-]+\.)*example\.org\b", "http://" + "a." * 70 + "!"),
    (r"//([\w.-]+\.)*example\.org\b", "http://" + "." * 300 + "example.orgs/"),
    (r"//([^/]+\.)*example\.org", "http://" + "a." * 70 + "/"),
    (r"(a+)+$", "http://x/" + "a" * 900 + "!"),
    (r"(ab|a|b)+$", "http://x/" + "ab" * 400 + "!"),
    (r"(.*a)*.*(.*b)*.*$x", "http://x/" + "ab" * 400),
    (r"^(\w+\s?)*$", "http://x/" + "a" * 900),
    (r"(x?){500}x{500}!", "http://" + "x" * 499 + "/"),
]


@pytest.mark.parametrize(("pattern", "url"), HOSTILE)
def test_no_url_makes_the_search_run_away(pattern: str, url: str) -> None:
    """Python's `re` would not come back from most of these; the watchdog of the suite would end it."""
    assert Matcher(rules(pattern, ".*")).match((url, url + "%20", url + "ü")) == 1


def test_patterns_for_which_re2_has_no_memory_together_are_searched_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pattern_module, "MOST_BYTES", 60_000)
    many = [f"{letter}[0-9a-f]{{60}}z{letter}" for letter in "ghijklmnop"]
    matcher = Matcher(rules(*many, ".*"))
    for index, letter in enumerate("ghijklmnop"):
        assert matcher.match((f"http://example/{letter}{'0f' * 30}Z{letter}",)) == index
    assert matcher.match((f"http://example/g{'0f' * 29}Zg",)) == len(many)


def test_little_is_remembered_of_urls_that_are_all_different(monkeypatch: pytest.MonkeyPatch) -> None:
    class Url(str):
        __slots__ = ("__weakref__",)

    monkeypatch.setattr(match, "CACHED", 3)
    matcher = Matcher(rules("7", ".*"))
    alive: weakref.WeakSet[Url] = weakref.WeakSet()
    for n in [*range(10), *range(10)]:
        url = Url(f"http://t{n}.example/")
        alive.add(url)
        assert matcher.match((url,)) == (n != 7)
    del url
    gc.collect()
    assert len(alive) == 3


GROUPS = ["a|b", "(a|Bc)", "(?:x)?", "(?=a)", "(?!b)", "(?<=x)", "(?-i:A)", r"(a|b)\\1", "[ab]", "b{2}", "a+", ".*"]
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


@settings(deadline=None)
@given(
    st.lists(st.tuples(PATTERN, st.integers(1, 5)), max_size=5),
    st.sampled_from(["first", "strictest"]),
    st.lists(st.lists(URL, max_size=3).map(tuple), min_size=1, max_size=5),
)
def test_the_fast_matcher_agrees_with_the_plain_one(
    given_rules: list[tuple[str, int]], mode: Mode, torrents: list[tuple[str, ...]]
) -> None:
    classes = [TrackerClass(str(n), "", p, cap, 1) for n, (p, cap) in enumerate([*given_rules, (".*", 3)])]
    matcher = Matcher(classes, mode, re_search)
    for urls in torrents:
        assert matcher.match(urls) == naive(classes, mode, urls) == matcher.match(urls)
