"""Show the text of a configuration file, and how two of them differ, without secrets.

Values of secret settings are masked where they stand. A comment may hold an old one: what stands behind a name that
tells of a secret is masked, and so are addresses that may hold tokens.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from typing import Final

import yaml

from qguardarr.config.document import Document
from qguardarr.config.marked_text import CannotEdit
from qguardarr.config.outline import settings
from qguardarr.config.redacted import MASK
from qguardarr.errors import KeyPath
from qguardarr.secrecy import is_distinct

CONTEXT: Final = 3
"""Lines around a change."""

_REFERENCE: Final = re.compile(r"""["']?\$\{[A-Za-z_][A-Za-z0-9_]*\}["']?""")
_NAMED: Final = re.compile(r"(?i)([\w.-]*(?:pass|secret|key|token|pwd|cred)[\w.-]*\s*[:=]\s*)(\S.*)")
_ADDRESS: Final = re.compile(r"(?i)\b(?!(?:udp|wss?)://)([a-z][a-z0-9+.-]*://)[^\s'\",\]]+")
_PLAIN_WEB: Final = re.compile(r"(?i)https?://[^/?#@\s]+(?:/(?:[a-z_.-]{0,24}/?)*)?")


def masked(text: str, secrets: Collection[str] = ()) -> str:
    """Return the text with as many lines, and without secrets. `secrets`: further ones, masked where they are
    distinct."""
    try:
        document = Document(text)
    except (yaml.YAMLError, RecursionError):
        return "\n".join(MASK for _ in text.split("\n"))
    spans = sorted(_spans(document), reverse=True)
    for begin, end in spans:
        value = text[begin:end]
        if value and not _REFERENCE.fullmatch(value):
            text = text[:begin] + MASK + "\n" * value.count("\n") + text[end:]
    for secret in secrets:
        if is_distinct(secret):
            text = text.replace(secret, MASK)
    return "".join(map(_masked_comment, re.split(r"(?<=\n)", text)))


def difference(before: str, after: str, name: str, secrets: Collection[str] = ()) -> str:
    """Return a unified diff of two texts without secrets; empty if they are the same. A changed secret shows as a
    changed line."""
    old, new = _lines(before), _lines(after)
    shown_old, shown_new = _shown(before, secrets), _shown(after, secrets)
    lines: list[str] = []
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(CONTEXT):
        first, last = group[0], group[-1]
        lines.append(f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@")
        for tag, a, b, c, d in group:
            if tag == "equal":
                lines += [f" {line}" for line in shown_old[a:b]]
                continue
            lines += [f"-{line}" for line in shown_old[a:b]]
            lines += [f"+{line}" for line in shown_new[c:d]]
    return "\n".join([f"--- {name}", f"+++ {name}", *lines]) + "\n" if lines else ""


def sections(text: str, paths: Collection[KeyPath], secrets: Collection[str] = ()) -> str:
    """Return the sections of the text that hold these paths, without secrets."""
    wanted, lines = {str(path[0]) for path in paths}, _shown(text, secrets)
    starts = [n for n, line in enumerate(lines) if re.match(r"[\w\"']+\s*:", line)]
    found = []
    for begin, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        if re.split(r"\s*:", lines[begin], maxsplit=1)[0].strip("\"'") in wanted:
            part = lines[begin:end]
            while part and (not part[-1].strip() or part[-1].startswith("#")):
                part.pop()
            found.append("\n".join(part))
    return "\n\n".join(found) + "\n" if found else ""


def _shown(text: str, secrets: Collection[str]) -> list[str]:
    return [line.rstrip("\r") for line in _lines(masked(text, secrets).removeprefix("\ufeff"))]


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


def _spans(document: Document) -> Iterator[tuple[int, int]]:
    for setting in settings():
        if not setting.secret:
            continue
        index = 0
        while setting.structured and document.has((*setting.path, index)):
            yield document.span((*setting.path, index))
            index += 1
        if not index:
            try:
                yield document.span(setting.path)
            except CannotEdit:
                continue


def _masked_comment(line: str) -> str:
    """Return a line whose comment holds no secret. A sign that begins none (within quotes) only hides more."""
    if (at := line.find("#")) < 0:
        return line
    head, comment, end = line[:at], line[at:].rstrip("\r\n"), line[len(line.rstrip("\r\n")) :]
    comment = _ADDRESS.sub(lambda m: m[0] if _PLAIN_WEB.fullmatch(m[0]) else m[1] + MASK, comment)
    named = _NAMED.search(comment)
    if named is not None and not _is_harmless(named[2]):
        comment = comment[: named.start(2)] + MASK
    return head + comment + end


def _is_harmless(value: str) -> bool:
    """Tell whether what stands behind a telling name is a reference, as in the file that we write."""
    return bool(re.match(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}(?:\s|$)|key\b|\[\]", value))


def _range(begin: int, end: int) -> str:
    count = end - begin
    return f"{begin + 1 if count else begin},{count}"
