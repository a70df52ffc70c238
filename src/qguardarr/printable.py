"""Make texts from outside safe to show: names of torrents and trackers, reasons, errors of servers.

Strangers write them. A control character could steer the terminal, a line break could forge a line of the log, and
characters of no width or of another direction make a text look like a different one.
"""

from __future__ import annotations

import json


def printable(text: str) -> str:
    """Return `text` as one line of visible characters: white space becomes a space, anything else invisible `?`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " if char.isspace() else "?" for char in text)


def printable_lines(text: str) -> str:
    """Return a text with each of its lines printable. For line breaks of our own, such as those of a traceback."""
    return "\n".join(printable(line) for line in text.split("\n"))


def printable_json(text: str) -> str:
    """Return the same JSON with invisible characters written as `\\u…`. Line breaks between values stay."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
