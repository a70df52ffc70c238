"""Show the text of a configuration file, and how two of them differ, without secrets.

Values of secret settings are masked where they stand, also behind an alias, a merged mapping or a name that is
mistyped. A comment may hold an old one: what stands behind a name that tells of a secret is masked, and so are
addresses that may hold tokens. All searches are linear in the length of the text.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

import yaml

from qguardarr.config.document import Document
from qguardarr.config.outline import settings
from qguardarr.config.redacted import MASK
from qguardarr.config.source import ALIAS, ENTRIES
from qguardarr.errors import KeyPath
from qguardarr.secrecy import is_distinct

CONTEXT: Final = 3
"""Lines around a change."""

_REFERENCE: Final = re.compile(r"""["']?\$\{[A-Za-z_][A-Za-z0-9_]*\}["']?""")
_TELLING: Final = re.compile(r"(?i)pass|secret|key|token|pwd|cred")
_MISTYPED: Final = ("password", "passwd", "api_key", "apikey", "token", "secret")
_LIKE: Final = 0.75
"""Likeness of a key to one of these, as difflib counts it: `pasword` has 0.93, `api_kye` 0.86, `pattern` 0.4."""
_BEHIND: Final = re.compile(r"[\w.-]{0,100}[\"']?\s{0,100}[:=]\s{0,100}(\S)")
_OPEN: Final = re.compile(r"[\w.-]{0,100}[\"']?\s{0,100}[:=]\s{0,100}(?:[|>][-+0-9]{0,2})?\s*")
"""What follows a telling name whose value stands in the lines below."""
_ADDRESS: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,30}://)[^\s'\",\]]+")
_PLAIN_WEB: Final = re.compile(r"(?i)https?://[^/?#@\s]+(?:/[a-z_.-]{0,24})*")
_SCHEME: Final = re.compile(r"(?i)[a-z][a-z0-9+.-]{0,30}://")
_OF_TRACKERS: Final = ("udp://", "ws://", "wss://")


class Hidden(NamedTuple):
    """A part of a text that is not shown."""

    begin: int
    end: int
    text: str
    """What is shown in its place."""


def is_reference(written: str) -> bool:
    """Tell whether a value, as it stands in the file, is the name of a variable and nothing else."""
    return bool(_REFERENCE.fullmatch(written))


def hidden_parts(document: Document) -> list[Hidden]:
    """Return the values of a file that are not shown, in their order. Those of references alone (`${NAME}`) are."""
    found: dict[int, Hidden] = {}
    for node, is_secret in _scalars(document.root):
        begin, end = document.span_of(node)
        value = document.text[begin:end]
        if not value or is_reference(value):
            continue
        if is_secret:
            found[begin] = Hidden(begin, end, MASK + "\n" * value.count("\n"))
        elif begin in found:
            continue
        elif _names_secret(node.value):
            found[begin] = Hidden(begin, end, MASK + "\n" * value.count("\n"))
        elif "://" in value and not _is_plain_address(node.value):
            scheme = _SCHEME.match(node.value)
            found[begin] = Hidden(begin, end, (scheme[0] if scheme else "") + MASK + "\n" * value.count("\n"))
    return sorted(found.values())


def masked(text: str, secrets: Collection[str] = ()) -> str:
    """Return the text with as many lines, and without secrets. `secrets`: further ones, masked where they are
    distinct."""
    try:
        document = Document(text)
    except (yaml.YAMLError, RecursionError):
        return "\n".join(MASK for _ in text.split("\n"))
    for begin, end, shown in reversed(hidden_parts(document)):
        text = text[:begin] + shown + text[end:]
    for secret in secrets:
        if is_distinct(secret):
            text = text.replace(secret, MASK)
    return "".join(_masked_comments(re.split(r"(?<=\n)", text)))


def difference(before: str, after: str, name: str, secrets: Collection[str] = (), *, context: int = CONTEXT) -> str:
    """Return a unified diff of two texts without secrets; empty if they are the same. A changed secret shows as a
    changed line. `context`: lines around a change."""
    old, new = _lines(before), _lines(after)
    shown_old, shown_new = _shown(before, secrets), _shown(after, secrets)
    lines: list[str] = []
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(context):
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
    """Return the sections of the text that hold these paths, without secrets; empty if they do not stand in lines of
    their own (flow style, JSON)."""
    wanted, lines = {str(path[0]) for path in paths}, _shown(text, secrets)
    if ENTRIES in wanted:
        wanted.add(ALIAS)
    starts = [n for n, line in enumerate(lines) if re.match(r"[\w\"']+\s*:", line)]
    found = []
    for begin, end in itertools.pairwise([*starts, len(lines)]):
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


def _scalars(root: yaml.Node | None) -> Iterator[tuple[yaml.ScalarNode, bool]]:
    """Yield all scalars, each at least once, and whether it is secret there. An alias is the node that it names."""
    todo: list[tuple[yaml.Node, KeyPath, bool]] = [] if root is None else [(root, (), False)]
    seen: set[tuple[int, KeyPath, bool]] = set()
    while todo:
        node, path, is_secret = todo.pop()
        if (id(node), path, is_secret) in seen:
            continue
        seen.add((id(node), path, is_secret))
        if isinstance(node, yaml.ScalarNode):
            if path[-1:] != ("pattern",) or is_secret:
                yield node, is_secret
        elif isinstance(node, yaml.SequenceNode):
            todo += [(item, path, is_secret) for item in node.value]
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
                here = path if name == "<<" else _known_part((*path, name))
                glued = ":" in name and _tells_of_secret(name.partition(":")[0])
                todo.append((key, (), is_secret or glued))
                todo.append((value, here, is_secret or here in _secret_paths() or _tells_of_secret(name)))


def _known_part(path: KeyPath) -> KeyPath:
    """Return a path as far as it matters, so that aliases of aliases come to few of them."""
    if path in _secret_paths() or any(path == known[: len(path)] for known in _secret_paths()):
        return path
    return ("pattern",) if path[-1] == "pattern" else ("",)


@functools.cache
def _secret_paths() -> frozenset[KeyPath]:
    return frozenset(setting.path for setting in settings() if setting.secret)


@functools.cache
def _tells_of_secret(name: str) -> bool:
    """Tell whether a key looks like one whose value is secret, also if it is mistyped."""
    name = name[:100].lower()
    return bool(_TELLING.search(name) or difflib.get_close_matches(name, _MISTYPED, 1, _LIKE))


def _names_secret(value: str) -> bool:
    """Tell whether a value holds a telling name with something behind it: `password:x` is no key to YAML."""
    return any(_BEHIND.match(value, found.end()) for found in _TELLING.finditer(value))


def _is_plain_address(value: str) -> bool:
    return value.lower().startswith(_OF_TRACKERS) or bool(_PLAIN_WEB.fullmatch(value.strip()))


def _masked_comments(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines whose comments hold no secret. What is below a telling name without a value is one."""
    below: int | None = None
    is_next = False
    for line in lines:
        at = line.find("#")
        indent = _indent(line) if at >= 0 and not line[:at].strip() else None
        if below is not None and indent is not None and (indent > below or (is_next and _is_one_word(line[at:]))):
            yield line[: at + 1] + " " + MASK + line[len(line.rstrip("\r\n")) :]
            is_next = False
            continue
        is_next = indent is not None and _is_open(line[at:])
        below = indent if is_next else None
        yield _masked_comment(line, at)


def _indent(line: str) -> int:
    """Return the column of the text of a comment."""
    return len(line) - len(line.lstrip(" #\t"))


def _is_one_word(comment: str) -> bool:
    words = comment.lstrip("# \t").split(None, 1)
    return len(words) == 1 and not words[0].endswith(":")


def _is_open(comment: str) -> bool:
    """Tell whether a comment ends with a telling name whose value may stand below."""
    tail = comment[-400:]
    return any(_OPEN.fullmatch(tail, found.end()) for found in _TELLING.finditer(tail))


def _masked_comment(line: str, at: int) -> str:
    """Return a line whose comment, from `at` on, holds no secret. A sign that begins none (within quotes) only hides
    more."""
    if at < 0:
        return line
    head, comment, end = line[:at], line[at:].rstrip("\r\n"), line[len(line.rstrip("\r\n")) :]
    if "://" in comment:
        comment = _ADDRESS.sub(lambda m: m[0] if _is_plain_address(m[0]) else m[1] + MASK, comment)
    for found in _TELLING.finditer(comment):
        value = _BEHIND.match(comment, found.end())
        if value is not None and not _is_harmless(comment[value.start(1) : value.start(1) + 200]):
            comment = comment[: value.start(1)] + MASK
            break
    return head + comment + end


def _is_harmless(value: str) -> bool:
    """Tell whether what stands behind a telling name is a reference, as in the file that we write."""
    return bool(re.match(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}(?:\s|$)|key\b|\[\]", value))


def _range(begin: int, end: int) -> str:
    count = end - begin
    return f"{begin + 1 if count else begin},{count}"
