"""Search Python's regular expressions with RE2, in time linear in the text.

The uploader of a torrent chooses its announce URLs, and Python's `re` may take for ever on one. Patterns keep the
meaning that `re` gives them: `re`'s own parser reads them, and each is rewritten in RE2's language.

RE2 cannot express look-around, back-references, atomic groups, possessive and very large repeats, and `(?a)`. Such a
pattern is rewritten as one that finds at least as much. Each find is put to `Backtrack`, which runs `re` in a process
that can be killed (`qguardarr.adapters.backtrack`).

Known differences from `re`, all in texts that are not ASCII: `\\b` treats letters beyond ASCII as punctuation, and
`\\w` and `\\d` follow RE2's version of Unicode. `$` and `\\Z` match only the end of the text, so texts must not end
with a line break. `\\B` is found in the empty text (as in Python 3.14).
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec
import re2

Backtrack = Callable[[str, str], bool]
"""Returns whether `re` finds a pattern in a text, ignoring case; also False if that would take too long.

Raises SearchFailed if there is no answer; that must never count as one.
"""

_MOST_REPEATS: Final = 1000
"""RE2's own bound."""
_SENTINEL: Final = ""
"""Found in every text: an answer without it means that RE2's memory was too small."""
MOST_BYTES: Final = 8 * 1024 * 1024
"""RE2's memory for all patterns together: programs, and automata that grow with the texts searched."""
_ANY: Final = "(?s:.)"
_NOTHING: Final = r"[^\x{0}-\x{10ffff}]"
_DOTTED_I: Final = frozenset(map(ord, "iIİı"))
"""One letter to `re`, two to RE2. No other character of Unicode is matched differently (see `test_pattern.py`)."""

_CATEGORIES: Final = {
    "CATEGORY_DIGIT": r"\p{Nd}",
    "CATEGORY_WORD": r"0-9A-Z_a-z\p{L}\p{N}",
    "CATEGORY_SPACE": (
        r"\t-\r\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
    ),
}
_ANCHORS: Final = {
    "AT_BEGINNING_STRING": r"\A",
    "AT_END_STRING": r"\z",
    "AT_BOUNDARY": r"\b",
    "AT_NON_BOUNDARY": r"\B",
}


class Pattern(msgspec.Struct, frozen=True):
    """A pattern that has been checked."""

    source: str
    """In `re`'s syntax."""
    text: str
    """In RE2's syntax; finds at least as much."""
    exact: bool
    """RE2's answer equals `re`'s. Otherwise only its "no" counts."""
    verbose: bool
    """`(?x)`: white space in it is ignored."""


def compile_pattern(source: str) -> Pattern:
    """Check a pattern, and rewrite it for RE2. ValueError, with the cause, if it is no regular expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            flags = re.compile(source, re.IGNORECASE).flags
            tokens = importlib.import_module("re._parser").parse(source, re.IGNORECASE)
    except re.error as error:
        place = "" if error.pos is None else f" at character {error.pos + 1}"
        raise ValueError(f"is not a regular expression: {error.msg}{place}") from None
    except (OverflowError, RecursionError):
        raise ValueError("is not a regular expression: too large") from None
    writer = _Writer()
    try:
        text, exact = writer.sequence(tokens, flags), writer.exact
        _set_of([text])  # not `re2.compile`, which would keep it
    except (_Beyond, re2.error, UnicodeEncodeError):
        text, exact = "", False
    return Pattern(source, text, exact, bool(flags & re.VERBOSE))


class PatternSet:
    """Patterns that are searched together, in one pass over a text."""

    def __init__(self, patterns: Sequence[Pattern], backtrack: Backtrack | None = None) -> None:
        """Compile the patterns. ValueError if one needs `backtrack`, and there is none."""
        self._patterns = tuple(patterns)
        for pattern in self._patterns:
            if not pattern.exact and backtrack is None:
                raise ValueError(f"the pattern {pattern.source!r} is beyond RE2")
        self._backtrack = backtrack
        try:
            self._match = _set_of([*(pattern.text for pattern in self._patterns), _SENTINEL]).Match
        except re2.error:  # each fits, all together do not
            self._match = _none

    @property
    def exact(self) -> bool:
        """Whether RE2 alone answers, so that no search can fail."""
        return all(pattern.exact for pattern in self._patterns)

    def first(self, text: str) -> int | None:
        """Return the index of the first pattern that is found in `text`."""
        return next(self.found(text), None)

    def found(self, text: str) -> Iterator[int]:
        """Yield the indices of the patterns that are found in `text`, in order, each searched on demand."""
        return (index for index in self.candidates(text) if self.confirmed(index, text))

    def is_exact(self, index: int) -> bool:
        """Return whether RE2's answer is enough for a pattern."""
        return self._patterns[index].exact

    def confirmed(self, index: int, text: str) -> bool:
        """Return whether a pattern that is a candidate is found. SearchFailed."""
        pattern = self._patterns[index]
        return pattern.exact or (self._backtrack is not None and self._backtrack(pattern.source, text))

    def candidates(self, text: str) -> list[int]:
        """Return the indices of the patterns that RE2 finds, in order: all that are found, and perhaps more."""
        data = text.encode() if text.isascii() else _encoded(text)
        answer: list[int] | None = self._match(data)
        if not answer:
            return [index for index, search in enumerate(self._searches) if search(data)]
        if len(answer) == 1:
            return []
        answer.sort()
        answer.pop()
        return answer

    @cached_property
    def _searches(self) -> tuple[Callable[[bytes], object], ...]:
        """One search for each pattern, where RE2 lacks the memory to search all at once."""
        return tuple(re2.compile(pattern.text, _options()).search for pattern in self._patterns)


def _none(_data: bytes) -> list[int] | None:
    return None


def _set_of(texts: Iterable[str]) -> Any:
    made = re2.Set.SearchSet(_options())
    for text in texts:
        made.Add(text)
    made.Compile()
    return made


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MOST_BYTES
    options.case_sensitive = False
    return options


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # JSON can hold halves of surrogate pairs
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


class _Beyond(Exception):
    """The pattern cannot be rewritten for RE2 at all."""


class _Writer:
    """Rewrites the tokens of `re`'s parser in RE2's syntax."""

    def __init__(self) -> None:
        self.exact = True

    def sequence(self, tokens: Iterable[tuple[Any, Any]], flags: int) -> str:
        if flags & (re.ASCII | re.LOCALE):
            raise _Beyond
        return "".join(self._item(str(operation), argument, flags) for operation, argument in tokens)

    def _item(self, name: str, argument: Any, flags: int) -> str:
        match name:
            case "LITERAL":
                return _literal(argument, flags)
            case "NOT_LITERAL":
                return f"[^{_member(argument, argument, flags)}]"
            case "ANY":
                return _ANY if flags & re.DOTALL else "."
            case "IN":
                return self._class(argument, flags)
            case "AT":
                return _anchor(str(argument), flags)
            case "BRANCH":
                return f"(?:{'|'.join(self.sequence(branch, flags) for branch in argument[1])})"
            case "SUBPATTERN":
                _, added, removed, tokens = argument
                inner = (flags | added) & ~removed
                text = self.sequence(tokens, inner)
                return f"(?{'i' if inner & re.IGNORECASE else '-i'}:{text})"
            case "MAX_REPEAT" | "MIN_REPEAT":
                return self._repeat(argument, flags)
            case "FAILURE":
                return _NOTHING
            case _:
                self.exact = False
                return self._superset(name, argument, flags)

    def _superset(self, name: str, argument: Any, flags: int) -> str:
        match name:
            case "ASSERT" | "ASSERT_NOT":
                return ""
            case "ATOMIC_GROUP":
                return f"(?:{self.sequence(argument, flags)})"
            case "POSSESSIVE_REPEAT":
                return self._repeat(argument, flags)
            case "GROUPREF":
                return f"{_ANY}*"
            case "GROUPREF_EXISTS":
                _, then, otherwise = argument
                return f"(?:{self.sequence(then, flags)}|{self.sequence(otherwise or (), flags)})"
            case _:
                raise _Beyond

    def _repeat(self, argument: tuple[Any, Any, Any], flags: int) -> str:
        least, most, tokens = argument
        text = f"(?:{self.sequence(tokens, flags)})"
        endless = str(most) == "MAXREPEAT"
        if least > _MOST_REPEATS or (not endless and most > _MOST_REPEATS):
            self.exact = False
            return f"{text}*"
        return text + (f"{{{least},}}" if endless else f"{{{least},{most}}}")

    def _class(self, items: Sequence[tuple[Any, Any]], flags: int) -> str:
        negated = str(items[0][0]) == "NEGATE"
        members = items[1:] if negated else items
        inside = [str(argument) for operation, argument in members if str(operation) == "CATEGORY"]
        outside = {name.replace("_NOT", "") for name in inside if "_NOT" in name}
        if outside and len(members) == 1:
            return f"[{'' if negated else '^'}{_CATEGORIES[outside.pop()]}]"
        if outside & set(inside):
            return _NOTHING if negated else _ANY
        if outside:  # RE2 cannot express "no digit, or one of these"
            self.exact = False
            return _ANY
        text = "".join(_CATEGORIES[name] for name in inside)
        for operation, argument in members:
            if str(operation) == "LITERAL":
                text += _member(argument, argument, flags)
            elif str(operation) == "RANGE":
                text += _member(argument[0], argument[1], flags)
        return f"[{'^' if negated else ''}{text}]"


def _literal(code: int, flags: int) -> str:
    if flags & re.IGNORECASE and code in _DOTTED_I:
        return f"[{_member(code, code, flags)}]"
    sign = chr(code)
    return sign if sign.isascii() and sign.isalnum() else f"\\x{{{code:x}}}"


def _member(first: int, last: int, flags: int) -> str:
    """Return a range of a character class."""
    i = "".join(map(chr, _DOTTED_I)) if flags & re.IGNORECASE and any(first <= c <= last for c in _DOTTED_I) else ""
    return f"\\x{{{first:x}}}-\\x{{{last:x}}}{i}"


def _anchor(name: str, flags: int) -> str:
    if name in ("AT_BEGINNING", "AT_END"):
        if flags & re.MULTILINE:
            return "(?m:^)" if name == "AT_BEGINNING" else "(?m:$)"
        name += "_STRING"
    return _ANCHORS[name]
