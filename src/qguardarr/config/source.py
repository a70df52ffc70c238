"""Read YAML text as plain values, with the line of each, variables replaced, and faults collected.

Messages hold keys and names of variables, and nothing else of the text, since any of it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from qguardarr.errors import Fault, KeyPath

ENTRIES: Final = "trackers"
"""Key of the list of groups in the file, in paths and in lines."""
ALIAS: Final = "groups"
"""Another key of it, which stands in texts of files and in names of variables alone."""
_VARIABLE: Final = re.compile(r"\$(\$?)\{([^}]{0,200})\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_NODES: Final = 20_000
"""Some 1,500 rules. PyYAML takes a second for all of them, and a kilobyte for each."""
_MOST_FAULTS: Final = 100
_LONGEST: Final = 16 * 1024
"""Characters of one value."""
_TOO_MANY: Final = f"more values than the {_MOST_NODES} that a configuration may have"
_PLAIN: Final = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}


class _TooMuch(Exception):
    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


class _Loader(yaml.SafeLoader):
    """A loader that gives up early: PyYAML takes 50 µs for each value, and would read millions."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._left = _MOST_NODES

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._left -= 1
        if self._left < 0:
            raise _TooMuch(self.line + 1)
        return super().compose_node(parent, index)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merged mappings (`<<`) that merge others in turn can double with each."""
        super().flatten_mapping(node)
        if len(node.value) > _MOST_NODES:
            raise _TooMuch(node.start_mark.line + 1)


class Source:
    """The values of one file. `value` is unusable if `faults` is not empty."""

    def __init__(self, text: str, environment: Mapping[str, str]) -> None:
        self.value: Any = None
        self.lines: dict[KeyPath, int] = {}
        """Line of each key or item, from 1."""
        self.from_environment: dict[KeyPath, list[str]] = {}
        """Variables used in the value there, which must not be shown."""
        self.faults: list[Fault] = []
        self.key_of_entries = ENTRIES
        """The key of the list of groups in this file."""
        self._environment = environment
        self._left = _MOST_NODES
        self._open: set[int] = set()
        self._checked: set[int] = set()
        try:
            self._loader = _Loader(text)
            node = self._loader.get_single_node()
            if node is not None:
                self.value = self._value((), node)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self._fault((), line, "a control character, which YAML does not allow", "remove it")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = ", ".join(filter(None, (error.context, error.problem)))
            self._fault((), mark.line + 1 if mark else 1, f"not YAML: {_without_text(problem)}", _yaml_hint(problem))
        except RecursionError:
            self._fault((), 1, "nested too deeply")
        except _TooMuch as error:
            self._fault((), error.line, _TOO_MANY)

    def line(self, path: KeyPath) -> int:
        """Return the line of a path, or of the nearest key around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def _fault(self, path: KeyPath, line: int, message: str, hint: str = "") -> None:
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(Fault(path, message, hint, line=line))

    def _value(self, path: KeyPath, node: yaml.Node) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._left -= 1
        if self._left < 0 or id(node) in self._open:
            if self._left >= -1:
                self._fault(path, line, "aliases (*) that contain themselves" if self._left >= 0 else _TOO_MANY)
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(path, line, node)
        if node.tag not in _PLAIN:
            self._fault(path, line, "YAML tags (!) are not understood here", "remove the tag")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(path, node)
            return [self._value((*path, index), item) for index, item in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _scalar(self, path: KeyPath, line: int, node: yaml.ScalarNode) -> Any:
        if len(node.value) > _LONGEST:
            self._fault(path, line, f"a value of more than {_LONGEST} characters", "shorten it")
            return None
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            self._fault(path, line, "not a value that YAML understands", "put it in single quotes if it is a text")
            return None
        if not isinstance(value, str):
            return value
        if not _is_text(value):
            self._fault(path, line, "half of a character, such as \\ud800", "write the character itself")
            return None
        return self._fill_in(path, line, value)

    def _mapping(self, path: KeyPath, node: yaml.MappingNode) -> dict[str, Any]:
        if id(node) not in self._checked:  # once, and before `<<` adds keys that may be written twice
            self._checked.add(id(node))
            self._check_keys(path, node)
            try:
                self._loader.flatten_mapping(node)
            except _TooMuch:
                self._left = -1
                self._fault(path, node.start_mark.line + 1, _TOO_MANY)
                return {}
        result = {}
        if not path:
            self._find_entries(node)
        for key_node, value_node in node.value:
            if isinstance(key_node, yaml.ScalarNode):
                key = str(key_node.value)
                if key == self.key_of_entries and not path:
                    key = ENTRIES
                self.lines[(*path, key)] = key_node.start_mark.line + 1
                result[key] = self._value((*path, key), value_node)
        return result

    def _find_entries(self, root: yaml.MappingNode) -> None:
        keys = {key.value: key.start_mark.line + 1 for key, _ in root.value if isinstance(key, yaml.ScalarNode)}
        if ALIAS not in keys:
            return
        if ENTRIES in keys:
            reason = f"is another name of '{ENTRIES}', which stands in line {keys[ENTRIES]}"
            self._fault((ALIAS,), keys[ALIAS], reason, "keep one of them")
        else:
            self.key_of_entries = ALIAS

    def _check_keys(self, path: KeyPath, node: yaml.MappingNode) -> None:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(path, line, "a list or mapping as a key", "write 'key: value'")
            elif key_node.value in seen:
                first = seen[key_node.value]
                self._fault(
                    (*path, shown_key(key_node.value)), line, f"is given twice, first in line {first}", "keep one"
                )
            else:
                seen[key_node.value] = line

    def _fill_in(self, path: KeyPath, line: int, text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            escaped, name = match[1], match[2]
            if escaped:
                return match[0][1:]
            if not _NAME.fullmatch(name):
                self._fault(path, line, "'${' without the name of a variable behind it", "write '$${' for a plain '${'")
            elif name not in self._environment:
                hint = f"set it before the start, or write '$${{{name}}}' if the text itself is meant"
                self._fault(path, line, f"the environment variable {name} is not set", hint)
            elif not _is_text(self._environment[name]):
                self._fault(path, line, f"the environment variable {name} is not UTF-8 text", "set it again")
            else:
                self.from_environment.setdefault(path, []).append(name)
                return self._environment[name]
            return ""

        return _VARIABLE.sub(replace, text)


def _is_text(value: str) -> bool:
    """Return whether a text can be written: Python keeps bytes that are not UTF-8 as lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown_key(key: str) -> str:
    """Return a key for display. `{password:x}` is a key to YAML, so the part behind a colon is hidden."""
    head, colon, _ = key.partition(":")
    return "".join(sign if sign.isprintable() else "?" for sign in head[:40]) + (":…" if colon else "")


def _without_text(problem: str) -> str:
    """Return PyYAML's message without quotations from the file, except single characters and names of tokens."""
    problem = problem.replace("character '\\t' that cannot start any token", "a tab where there can be none")
    return re.sub(r"'(?!<)(?:[^']{2,}|\w).*", "…", problem)


def _yaml_hint(problem: str) -> str:
    if "escape character" in problem:
        return "in double quotes write '\\\\.' for '\\.', or put a pattern in single quotes"
    if "\\t" in problem:
        return "indent with spaces, not tabs"
    if "alias" in problem or "cannot start any token" in problem:
        return "put a text that starts with a sign such as * & @ % ! in single quotes"
    if "mapping values are not allowed" in problem:
        return "check the indentation, and put texts that hold ': ' in quotes"
    return "check indentation, quotes and colons here and in the line above"
