"""Patterns searched by RE2 mean what they mean to Python's `re`."""

import re
import subprocess
import sys
import unicodedata
from collections import defaultdict

import pytest
import re2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qguardarr.core.select.pattern import PatternSet, compile_pattern

pytestmark = pytest.mark.slow


def by_re(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def by_re2(pattern: str, text: str) -> bool:
    return PatternSet([compile_pattern(pattern)], lambda _pattern, _text: True).first(text) == 0


SIGNS = "aAbBkKsSiI_x0159-./:?%&=@# \t\néÉßſ\u212aİıßΣς٣\x85\u2003\U0001f600\x00"
CLASS_ITEM = st.sampled_from(
    [
        "a",
        "B",
        "k",
        "i",
        "_",
        "-",
        "é",
        "ſ",
        "0-9",
        "a-z",
        "A-Z",
        "H-K",
        "À-ÿ",
        r"\w",
        r"\d",
        r"\s",
        r"\W",
        r"\D",
        r"\S",
    ]
)
CLASS = st.builds(
    "[{}{}]".format, st.sampled_from(["", "^"]), st.lists(CLASS_ITEM, min_size=1, max_size=3).map("".join)
).filter(lambda text: "[-" not in text and "[^-" not in text and "--" not in text)
ATOM = (
    st.sampled_from(
        [*"aAbkKsiI0_/", "é", "ſ", "İ", "ı", "\u212a", "Σ", "ß", ".", r"\.", r"\d", r"\w", r"\s", r"\D", r"\W"]
    )
    | st.sampled_from([r"\S", "^", "$", r"\A", r"\Z", r"\x41", r"\u00e9", r"\n", r"\0", "(?#note)", " ", "{", "]"])
    | CLASS
)
REPEAT = st.sampled_from(
    ["", "", "", "?", "*", "+", "{2}", "{1,2}", "{,2}", "{2,}", "??", "*?", "+?", "++", "*+", "?+"]
)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = st.sampled_from(
        [
            "({})",
            "(?:{})",
            "(?i:{})",
            "(?-i:{})",
            "(?s:{})",
            "(?m:{})",
            "(?x:{})",
            "({}|b)",
            "(?:|{})",
            "(?={})",
            "(?!{})",
        ]
    ) | st.sampled_from(["(?<!a){}", "(?>{})", r"({})\1", "(a)?(?({})x|y)"])
    body = st.lists(inner, min_size=1, max_size=3).map("".join)
    return st.builds(lambda frame, text, times: frame.replace("{}", text) + times, group, body, REPEAT)


def _valid(pattern: str) -> bool:
    try:
        compile_pattern(pattern)
    except ValueError:
        return False
    return True


PIECE = st.recursive(st.builds("{}{}".format, ATOM, REPEAT), _nested, max_leaves=6)
FLAGS = st.sampled_from(["", "", "", "(?s)", "(?m)", "(?x)", "(?a)", "(?sm)"])
PATTERN = st.builds("{}{}".format, FLAGS, st.lists(PIECE, max_size=4).map("".join)).filter(_valid)
TEXT = st.text(SIGNS, max_size=12).map(lambda text: text.rstrip("\n"))


@settings(max_examples=1000, deadline=None)
@given(PATTERN, st.lists(TEXT, min_size=1, max_size=8))
@example(r"foo$", ["foo", "a\nfoo"])
@example(r"x{,2}y", ["x{,2}y", "xxy"])
@example(r"[[:alpha:]]", ["a]", "a", ":]"])
@example(r"(?m)^b$", ["a\nb\nc"])
@example(r"[^\s\S]", ["a", ""])
@example(r"(?-i:k)", ["K", "\u212a", "k"])
@example(r"[^h-k]", ["İ", "ı", "i", "\u212a", "l"])
def test_re2_finds_what_re_finds(pattern: str, texts: list[str]) -> None:
    exact = compile_pattern(pattern).exact
    for text in texts:
        if exact:
            assert by_re2(pattern, text) == by_re(pattern, text)
        elif by_re(pattern, text):
            assert by_re2(pattern, text)  # else `re` would never be asked


BOUNDARY = st.lists(st.sampled_from([r"\b", r"\b", r"\B", "a", ".", r"\.", "-", "(a|b)+", r"\w*"]), max_size=6).map(
    "".join
)


@settings(deadline=None)
@given(BOUNDARY, st.text("ab.-_/0", min_size=1, max_size=10))
def test_word_boundaries_in_ascii_are_those_of_re(pattern: str, text: str) -> None:
    assert by_re2(pattern, text) == by_re(pattern, text)


def test_upper_and_lower_case_are_those_of_re_in_all_of_unicode() -> None:
    alike: dict[str, set[str]] = defaultdict(set)
    for code in (*range(0xD800), *range(0xE000, 0x110000)):
        sign = chr(code)
        if sign.lower() != sign or sign.upper() != sign:
            for form in (sign, sign.lower(), sign.upper(), sign.casefold()):
                if len(form) == 1:
                    alike[form.casefold()].add(sign)
                    alike[form.casefold()].add(form)
    groups = [sorted(group | {"i", "I", "İ", "ı"} if "i" in group else group) for group in alike.values()]
    assert sum(map(len, groups)) > 2500
    for group in groups:
        for letter in group:
            ours = PatternSet([compile_pattern(re.escape(letter))])
            for other in group:
                assert (ours.first(other) == 0) == by_re(re.escape(letter), other), (letter, other)


@pytest.mark.parametrize("kind", [r"\s", r"\S", r"\d", r"\w"])
def test_kinds_of_signs_are_those_of_re(kind: str) -> None:
    """Newer letters and digits are known to whoever has the newer Unicode; what Python knows, RE2 knows. (U+0345,
    a combining sign, folds to a letter.)"""
    ours = PatternSet([compile_pattern(kind)])
    search = re.compile(kind).search
    for code in (*range(0xD800), *range(0xE000, 0x30000)):
        sign = chr(code)
        if unicodedata.category(sign) not in ("Cn", "Mn"):
            assert (ours.first(sign) == 0) == bool(search(sign)), hex(code)


@pytest.mark.parametrize(
    "pattern",
    [
        r"//([\w.-]+\.)*example\.org\b",
        r"//([^/]+\.)*example\.org",
        "(?x) foo  # a comment",
        r"(?P<host>a|b)+(?:c)",
        "[[:alpha:]]",
        r"foo$|\Abar\Z",
        "a{,3}",
        r"[\s\S]*x",
        "b\u00fccher",
        "(?sm).*^x",
        "(?:a|ab|b)*c{1000}",
    ],
)
def test_usual_patterns_are_within_re2(pattern: str) -> None:
    assert compile_pattern(pattern).exact


@pytest.mark.parametrize(
    "pattern",
    [
        "(?!a)b",
        "(?<=a)b",
        r"(a)\1",
        "a++b",
        "(?>a)b",
        "(a)?(?(1)b|c)",
        "(?a)a",
        r"[\Wa]",
        "a{1001}",
        "(a{100}){100}",
    ],
)
def test_what_is_beyond_re2_is_told(pattern: str) -> None:
    assert not compile_pattern(pattern).exact


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("foo(", r"missing \), unterminated subpattern at character 4"),
        ("*a", "nothing to repeat at character 1"),
        ("[", "unterminated character set at character 1"),
        ("a{5,2}", "min repeat greater than max repeat at character 3"),
        ("(?P<x", "missing >, unterminated name"),
        ("\\", "bad escape"),
        (r"\Qa\E", r"bad escape \\Q at character 1"),
        (r"\pL", r"bad escape \\p at character 1"),
        ("a{99999999999999999999}", "too large"),
        ("(" * 5000 + ")" * 5000, "too large"),
    ],
)
def test_what_is_no_regular_expression_says_so(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"is not a regular expression: .*{message}"):
        compile_pattern(pattern)


def test_halves_of_surrogate_pairs_in_a_text_are_signs_like_others() -> None:
    assert by_re2("^http://a.b", "http://a\ud800b")
    assert not by_re2("a.+b", "a\udfff")


def test_no_word_of_re2_reaches_the_terminal() -> None:
    script = (
        "from qguardarr.core.select.pattern import PatternSet, compile_pattern\n"
        "for text in ('(?!a)b', 'a{1001}', '(a{1000}){1000}', '[a-z' * 3 + ']'):\n"
        "    PatternSet([compile_pattern(text)], lambda p, t: False).first('a' * 1000)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_nothing_compiled_is_kept_by_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    monkeypatch.setattr(re2, "compile", lambda *given: kept.append(given))  # whose results the library keeps
    assert compile_pattern("pattern").exact
    assert kept == []
