"""Read JSON of many megabytes entry by entry, in a window of little more than one entry.

A complete list of 30,000 torrents is 45–60 MB of JSON; only the torrents made of it stay in memory.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, Final

MAX_VALUE_CHARS: Final = 8 * 1024 * 1024
"""Longest value that is read. A longer one is garbage."""

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_NUMBER: Final = re.compile(r"[-+.0-9eE]*")
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]|[^"\[\]{}]++', re.DOTALL)
"""Possessive, so that a string of megabytes whose end has not arrived yet costs one pass, without backtracking."""
_DECODE: Final = json.JSONDecoder().raw_decode


class GarbledError(ValueError):
    """The answer is not the expected JSON, or is cut short. The message holds nothing of the text."""


class _Window:
    """A sliding view of the text. Consumed parts are forgotten, and further ones fetched when needed."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0

    def next(self) -> str:
        """Return the next character that is no space, without consuming it. GarbledError at the end."""
        while True:
            self._at = self._end_of(_SPACE)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise GarbledError("the answer is cut short")

    def take(self, allowed: str) -> str:
        """Consume and return the next character, which must be one of `allowed`."""
        character = self.next()
        if character not in allowed:
            raise GarbledError("the answer is not the JSON that was expected")
        self._at += 1
        return character

    def value(self) -> Any:
        """Consume and return one whole value."""
        if self.next() in "-0123456789":  # "1" may be the beginning of "1.5e3"
            while self._end_of(_NUMBER) == len(self._text) and self._more():
                pass
        while True:
            try:
                value, end = _DECODE(self._text, self._at)
            except (json.JSONDecodeError, RecursionError):
                if len(self._text) - self._at > MAX_VALUE_CHARS or not self._more():
                    raise GarbledError("the answer is cut short or no JSON") from None
                continue
            self._at = end
            return value

    def skip(self) -> None:
        """Consume one whole value without keeping it."""
        if self.next() not in '[{"':
            self.value()
            return
        depth = 0
        while True:
            for token in _TOKEN.finditer(self._text, self._at):
                if token.start() != self._at:  # a string whose end has not arrived yet
                    break
                self._at = token.end()
                first = token[0][0]
                if first in "[{":
                    depth += 1
                elif first in "]}":
                    depth -= 1
                if depth == 0:
                    return
            if len(self._text) - self._at > MAX_VALUE_CHARS or not self._more():
                raise GarbledError("the answer is cut short")

    def finish(self) -> None:
        """Read to the end. GarbledError if anything but spaces follows."""
        while True:
            self._at = self._end_of(_SPACE)
            if self._at < len(self._text):
                raise GarbledError("the answer goes on after its end")
            if not self._more():
                return

    def _end_of(self, pattern: re.Pattern[str]) -> int:
        """Return the position at which `pattern`, which may match nothing, ends."""
        found = pattern.match(self._text, self._at)
        return found.end() if found else self._at

    def _more(self) -> bool:
        """Fetch at least as much again as is there. Return False at the end.

        Callers parse a value from its beginning again: doubling the text keeps the time for a long value linear.
        """
        missing, pieces = len(self._text) - self._at, [self._text[self._at :]]
        for chunk in self._chunks:
            try:
                pieces.append(self._decoder.decode(chunk))
            except UnicodeDecodeError:
                raise GarbledError("the answer is not UTF-8") from None
            missing -= len(pieces[-1])
            if missing <= 0 and pieces[-1]:
                break
        self._text, self._at = "".join(pieces), 0
        return any(pieces[1:])


def array_items(chunks: Iterator[bytes]) -> Iterator[Any]:
    """Yield the elements of a JSON array."""
    window = _Window(chunks)
    window.take("[")
    if window.next() == "]":
        window.take("]")
    else:
        while True:
            yield window.value()
            if window.take(",]") == "]":
                break
    window.finish()


def object_items(chunks: Iterator[bytes], *, split: str, keep: frozenset[str]) -> Iterator[tuple[str, str, Any]]:
    """Yield members of a JSON object: `(split, name, value)` for each member of the object under `split`, and
    `(key, "", value)` for those in `keep`. All others are skipped unread."""
    window = _Window(chunks)
    for key in _keys(window):
        if key == split:
            for name in _keys(window):
                yield key, name, window.value()
        elif key in keep:
            yield key, "", window.value()
        else:
            window.skip()
    window.finish()


def _keys(window: _Window) -> Iterator[str]:
    """Yield the keys of the next object. The caller consumes each value before asking for the next key."""
    window.take("{")
    if window.next() == "}":
        window.take("}")
        return
    while True:
        key = window.value()
        if not isinstance(key, str):
            raise GarbledError("the answer is not the JSON that was expected")
        window.take(":")
        yield key
        if window.take(",}") == "}":
            return
