"""Make the text of a first configuration file, which `serve --first-start` and `init` write.

It is `qguardarr.example.yaml`, which has every setting with its default as a comment and loads as it is: it only
observes, and takes qBittorrent's address from QBIT_URL or waits for one. `init` fills in connection and rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

_EXAMPLE: Final = Path(__file__).with_name("qguardarr.example.yaml")
_REFERENCE: Final = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_LIKE_A_REFERENCE: Final = re.compile(r"\$(?=\{[^}]{0,200}\})")
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(?:://[A-Za-z0-9_.:/~-]+)?")
_YAML_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "none", "y", "n"})


class Rule(NamedTuple):
    """A rule to write: the torrents whose announce URL matches share one cap."""

    id: str
    pattern: str
    cap: str = "unlimited"
    """`max_upload_speed`, in words."""
    remark: str = ""
    """Comment behind the id."""


CATCH_ALL: Final = Rule("default", ".*", remark="everything else; must stand last")


def starter_file(connection: Mapping[str, str] | None = None, rules: Iterable[Rule] = ()) -> str:
    """Return the text of a configuration file that loads as it is. The catch-all is put behind `rules`.

    `connection`: settings of the section `qbittorrent`, each as YAML (see `scalar` and `quoted`).
    """
    text = _EXAMPLE.read_text(encoding="utf-8")
    for key, value in (connection or {}).items():
        before, after = re.split(rf"(?m)^  (?:# )?{key}: .*$", text, maxsplit=1)
        text = f"{before}  {key}: {value}{after}"
    return text.replace(rules_text(()), rules_text(rules))


def rules_text(rules: Iterable[Rule]) -> str:
    """Return the section `trackers` with the catch-all. A rule stands behind those that match a part of its URLs."""
    lines = ["trackers:"]
    for rule in (*_specific_first(rules), CATCH_ALL):
        remark = f"  # {_one_line(rule.remark)}" if rule.remark else ""
        lines += [
            f"  - id: {scalar(rule.id)}{remark}",
            f"    pattern: {quoted(rule.pattern)}",
            f"    max_upload_speed: {scalar(rule.cap)}",
        ]
    return "\n".join(lines) + "\n"


def _specific_first(rules: Iterable[Rule]) -> list[Rule]:
    """Order the rules of hosts: that of `a.example` also matches `a.example:6969` and `a.example.org`."""
    ordered: list[Rule] = []
    for rule in rules:
        wider = (i for i, other in enumerate(ordered) if rule.pattern.startswith(other.pattern.removesuffix(r"\b")))
        ordered.insert(next(wider, len(ordered)), rule)
    return ordered


def scalar(text: str) -> str:
    """Return a text as a YAML value that means the text itself, or the variable if it is a reference as a whole."""
    if _REFERENCE.fullmatch(text) or (_PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS):
        return text
    return quoted(text)


def quoted(text: str) -> str:
    """Return a text in quotes, as a YAML value that means the text itself."""
    text = _LIKE_A_REFERENCE.sub("$$", text)
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(s if s.isprintable() and s not in '"\\' else f"\\U{ord(s):08x}" for s in text) + '"'


def _one_line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
