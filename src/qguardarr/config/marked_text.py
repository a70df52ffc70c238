"""The text of a YAML file with the places of its values: what can be looked up in it, and cut out of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import yaml

from qguardarr.config.source import ALIAS, ENTRIES
from qguardarr.errors import KeyPath

INDENT: Final = 2
_BOM: Final = "\ufeff"
_ALIAS: Final = re.compile(r"\s*:\s*(\*[^\s,\]}]+)")


class CannotEdit(Exception):
    """The text is written in a way that cannot be changed here. `reason` is for a person, and holds nothing of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MarkedText:
    """A text whose values can be found by their keys. All offsets are those of `body`."""

    def __init__(self, text: str) -> None:
        """Raises `yaml.YAMLError`, RecursionError."""
        self._bom = _BOM if text.startswith(_BOM) else ""
        self.body = text.removeprefix(_BOM)
        end = self.body.find("\n")
        self.newline = "\r\n" if end > 0 and self.body[end - 1] == "\r" else "\n"
        self.parse()

    @property
    def text(self) -> str:
        """The whole text as it is now."""
        return self._bom + self.body

    def has(self, path: KeyPath) -> bool:
        """Tell whether the file itself has this path, not by way of an alias or a merged mapping."""
        try:
            self.node(path)
        except CannotEdit:
            return False
        return True

    def span(self, path: KeyPath) -> tuple[int, int]:
        """Return where a value stands in `text`, as offsets; CannotEdit if it does not."""
        return self.span_of(self.node(path))

    def span_of(self, node: yaml.Node) -> tuple[int, int]:
        """Return where a node of this text stands in `text`."""
        shift = len(self._bom)
        return node.start_mark.index + shift, self.end_of(node) + shift

    # -- the tree -----------------------------------------------------------------------------------------------------

    def parse(self) -> None:
        self.root = yaml.compose(self.body, Loader=yaml.SafeLoader)
        if isinstance(self.root, yaml.MappingNode) and entry_of(self.root, ENTRIES) is None:
            for key, _ in self.root.value:
                if isinstance(key, yaml.ScalarNode) and key.value == ALIAS:
                    key.value = ENTRIES  # paths know this name alone

    def replace(self, body: str) -> None:
        before, self.body = self.body, body
        try:
            self.parse()
        except (yaml.YAMLError, RecursionError):
            self.body = before
            self.parse()
            raise CannotEdit("cannot be changed here without changing other values (anchors, aliases)") from None

    def splice(self, begin: int, end: int, new: str) -> None:
        self.replace(self.body[:begin] + new + self.body[end:])

    def node(self, path: KeyPath) -> yaml.Node:
        node = self.root
        for step in path:
            if node is None:
                break
            node = self.child(node, step)
        if node is None:
            raise CannotEdit("does not stand in the file itself")
        return node

    def child(self, node: yaml.Node, step: str | int) -> yaml.Node:
        """Return a value or an item that stands within `node` itself."""
        found: yaml.Node | None = None
        if isinstance(node, yaml.SequenceNode):
            index = index_of(step)
            found = node.value[index] if 0 <= index < len(node.value) else None
            own = found is not None and found.start_mark.index >= node.start_mark.index
        else:
            entry = entry_of(node, step) if isinstance(node, yaml.MappingNode) else None
            own = entry is not None and not is_alias(*entry)
            found = None if entry is None else entry[1]
        if found is None:
            raise CannotEdit("does not stand in the file itself")
        if not own:
            raise CannotEdit("is an alias (*) of a value that other places use, too")
        return found

    def parent_of(self, path: KeyPath) -> yaml.Node | None:
        """Return the mapping or list that holds the last step; None if it is missing or empty."""
        node = self.root
        for step in path[:-1]:
            if node is None or is_empty(node):
                return None
            if isinstance(node, yaml.MappingNode) and entry_of(node, step) is None:
                return None
            node = self.child(node, step)
        return None if node is None or is_empty(node) else node

    def end_of(self, node: yaml.Node) -> int:
        """Return the offset behind the last sign of a value. A block's own end mark is that of what follows it."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            return self.value_span(*last)[1] if isinstance(last, tuple) else self.end_of(last)
        begin, end = node.start_mark.index, node.end_mark.index
        return begin + len(self.body[begin:end].rstrip()) if end > begin else end

    def value_span(self, key: yaml.Node, value: yaml.Node) -> tuple[int, int]:
        if is_alias(key, value):
            found = _ALIAS.match(self.body, key.end_mark.index)
            if found is None:
                raise CannotEdit("is an alias (*) of a value that other places use, too")
            return found.span(1)
        if isinstance(value, yaml.CollectionNode) and not value.flow_style:
            return self.body.index(":", key.end_mark.index) + 1, self.end_of(value)
        return value.start_mark.index, self.end_of(value)

    # -- lines --------------------------------------------------------------------------------------------------------

    def lines(self) -> list[str]:
        return re.findall(r"[^\n]*\n|[^\n]+", self.body)

    def line_of(self, offset: int) -> int:
        return self.body.count("\n", 0, offset)

    def line_start(self, offset: int) -> int:
        return self.body.rfind("\n", 0, offset) + 1

    def line_end(self, offset: int, *, past: bool = False) -> int:
        found = self.body.find("\n", offset)
        return len(self.body) if found < 0 else found + past

    def insert_lines(self, at: int, new: Sequence[str]) -> None:
        """Insert lines, given without their ends, before the line of that number."""
        lines = self.lines()
        if at >= len(lines):
            self.append(new)
            return
        self.replace("".join([*lines[:at], *(line + self.newline for line in new), *lines[at:]]))

    def append(self, new: Sequence[str]) -> None:
        """Add lines at the end. The text ends without a line end if it did before."""
        ended = not self.body or self.body.endswith("\n")
        body = self.newline.join(new) + (self.newline if ended else "")
        self.replace(self.body + ("" if ended else self.newline) + body)

    def comment_indent(self, lines: range, column: int) -> str:
        """Return the indentation of the commented settings of an empty section."""
        for text in (self.lines()[n] for n in lines):
            width = len(text) - len(text.lstrip(" "))
            if text.strip() and width > column:
                return " " * width
        return " " * (column + INDENT)

    def block_end(self, line: int, column: int) -> int:
        """Return the first line behind `line` that is neither blank nor indented by `column`."""
        lines = self.lines()
        for number in range(line + 1, len(lines)):
            text = lines[number].rstrip()
            if text and len(text) - len(text.lstrip(" ")) < column:
                return number
        return len(lines)


def entry_of(node: yaml.MappingNode, key: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    return next(((k, v) for k, v in node.value if isinstance(k, yaml.ScalarNode) and k.value == key), None)


def index_of(step: str | int) -> int:
    return step if isinstance(step, int) else -1


def is_alias(key: yaml.Node, value: yaml.Node) -> bool:
    return bool(value.start_mark.index < key.end_mark.index)


def is_own_block(key: yaml.Node, value: yaml.Node) -> bool:
    """Tell whether a value stands in the lines below its key."""
    return isinstance(value, yaml.CollectionNode) and not value.flow_style and not is_alias(key, value)


def is_empty(node: yaml.Node) -> bool:
    if isinstance(node, yaml.ScalarNode):
        return node.tag.endswith(":null")
    return not node.value


def flow_gap(spans: Sequence[tuple[int, int]], index: int) -> tuple[int, int]:
    """Return what to cut out to remove an item of a flow collection with its comma."""
    if index + 1 < len(spans):
        return spans[index][0], spans[index + 1][0]
    return (spans[index - 1][1], spans[index][1]) if index else spans[0]


def comment_column(line: str) -> int:
    """Return the column of a line that is a comment; -1 for any other."""
    text = line.lstrip(" ")
    return len(line) - len(text) if text.startswith("#") else -1
