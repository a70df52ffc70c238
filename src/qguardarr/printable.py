"""Texts from outside on their way to a terminal or a log: names of torrents and trackers, reasons, servers' errors.

Strangers write them. A control character could steer the terminal, a line break forge a line of the log, and signs that
turn the direction of writing or have no width make a text look like another one.
"""

from __future__ import annotations

import json


def printable(text: str) -> str:
    """Return `text` as one line of signs that can be seen: a space for each other white space, `?` for all else."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else "?" for sign in text)


def printable_lines(text: str) -> str:
    """Return a text of several lines that are our own, such as a traceback, with each of them printable."""
    return "\n".join(printable(line) for line in text.split("\n"))


def printable_json(text: str) -> str:
    """Return JSON with what cannot be seen written as `\\u…`. It means the same; line breaks between values stay."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in text)
