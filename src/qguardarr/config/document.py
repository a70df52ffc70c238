"""Change single values in the text of a configuration file, and leave every other byte as it is.

A YAML library that writes what it has read (ruamel.yaml) keeps comments, but not line ends, alignment, or indentation
that differs from place to place. Here the parser only tells where a value stands, and its span is replaced. Whoever
uses this reads the result again and compares: see `qguardarr.config.edit`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import yaml

from qguardarr.config.starter import quoted
from qguardarr.errors import KeyPath

Plain: TypeAlias = str | int | float | bool | None
Written: TypeAlias = Plain | Sequence[Plain] | Mapping[str, Plain]
"""A value to write: a scalar, a list of scalars, or a mapping of scalars."""

_BOM: Final = "\ufeff"
_PLAIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_./ -]*[A-Za-z0-9_./-])?(?:://[A-Za-z0-9_./:~-]+)?")
_ALIAS: Final = re.compile(r"\s*:\s*(\*[^\s,\]}]+)")
_ANCHOR: Final = re.compile(r"(?:&\S+\s+)+")
_COMMENT: Final = re.compile(r" {2,}(?=#)")
_INDENT: Final = 2


class CannotEdit(Exception):
    """The text is written in a way that cannot be changed here. `reason` is for a person, and holds nothing of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Item(NamedTuple):
    """An item of a block sequence, as lines: of the comments right above it, of its dash, and the one behind it."""

    lead: int
    dash: int
    end: int


class Document:
    """The text of one file. Each change is made to `text` at once, or not at all (`CannotEdit`)."""

    def __init__(self, text: str) -> None:
        """Raises `yaml.YAMLError`, RecursionError."""
        self._bom = _BOM if text.startswith(_BOM) else ""
        self._body = text.removeprefix(_BOM)
        end = self._body.find("\n")
        self._newline = "\r\n" if end > 0 and self._body[end - 1] == "\r" else "\n"
        self._parse()

    @property
    def text(self) -> str:
        """The whole text as it is now."""
        return self._bom + self._body

    def has(self, path: KeyPath) -> bool:
        """Tell whether the file itself has this path, not by way of an alias or a merged mapping."""
        try:
            self._node(path)
        except CannotEdit:
            return False
        return True

    def span(self, path: KeyPath) -> tuple[int, int]:
        """Return where a value stands in `text`, as offsets; CannotEdit if it does not."""
        node = self._node(path)
        shift = len(self._bom)
        return node.start_mark.index + shift, self._end(node) + shift

    def set(self, path: KeyPath, value: Written) -> None:
        """Set a value. Its section is made if there is none."""
        parent, step = self._parent(path), path[-1]
        if isinstance(parent, yaml.SequenceNode):
            item = self._child(parent, step)
            self._splice(item.start_mark.index, self._end(item), self._value(value, parent))
            return
        if not isinstance(parent, yaml.MappingNode):
            self._fill_section(path, value)
            return
        found = _entry(parent, step)
        if found is None:
            self._add_key(parent, str(step), value)
            return
        key, old = found
        begin, end = self._value_span(key, old)
        anchor = _ANCHOR.match(self._body, begin)
        if anchor is not None and isinstance(old, yaml.ScalarNode):
            begin = anchor.end()
        new = quoted(value) if step == "pattern" and isinstance(value, str) else self._value(value, parent, like=old)
        if self._body[begin - 1] == ":":
            new = f" {new}"
        comment = _COMMENT.match(self._body, end)
        if comment is not None and not parent.flow_style:  # keep its column
            width = max(2, comment.end() - comment.start() + (end - begin) - len(new))
            new, end = new + " " * width, comment.end()
        self._splice(begin, end, new)

    def remove(self, path: KeyPath) -> None:
        """Remove a key, or an item of a list."""
        parent, step = self._parent(path), path[-1]
        if isinstance(parent, yaml.SequenceNode):
            self._remove_item(parent, _index(step))
            return
        found = _entry(parent, step) if isinstance(parent, yaml.MappingNode) else None
        if found is None:
            raise CannotEdit("does not stand in the file itself")
        assert isinstance(parent, yaml.MappingNode)
        spans = [(key.start_mark.index, self._value_span(key, value)[1]) for key, value in parent.value]
        index = parent.value.index(found)
        if parent.flow_style:
            self._splice(*_flow_gap(spans, index), "")
            return
        begin, end = spans[index]
        line = self._line_start(begin)
        if self._body[line:begin].strip(" "):  # behind the dash of a list's item
            if len(spans) == 1:
                raise CannotEdit("is all that this item has")
            self._splice(begin, spans[1][0], "")
        else:
            self._splice(line, self._line_end(end, past=True), "")

    def insert(self, path: KeyPath, value: Written, before: int | None) -> None:
        """Insert an item into a list, before the item of that index, or at its end."""
        parent = self._parent((*path, 0))
        if not isinstance(parent, yaml.SequenceNode):
            self._fill_section((*path, 0), value)
        elif parent.flow_style:
            self._insert_flow(parent, self._value(value, parent), before)
        else:
            at, column = parent.start_mark.column, self._item_column(parent)
            lines = self._item_lines(value, " " * at, column - at)
            items = self._items(parent)
            self._insert_lines(items[-1].end if before is None else items[before].lead, lines)

    def move(self, path: KeyPath, before: int | None) -> None:
        """Move an item of a list before the one that has the index `before` now, or to the end."""
        parent, index = self._parent(path), _index(path[-1])
        if not isinstance(parent, yaml.SequenceNode):
            raise CannotEdit("is no item of a list that stands in the file itself")
        if before in (index, index + 1) or (before is None and index == len(parent.value) - 1):
            return
        if parent.flow_style:
            item = parent.value[index]
            text = self._body[item.start_mark.index : self._end(item)]
            self._remove_item(parent, index)
            left = self._node(path[:-1])
            assert isinstance(left, yaml.SequenceNode)
            self._insert_flow(left, text, before if before is None or before < index else before - 1)
            return
        items, lines = self._items(parent), self._lines()
        own = lines[items[index].lead : items[index].end]
        target = items[-1].end if before is None else items[before].lead
        if own and not own[-1].endswith("\n"):
            own[-1] += self._newline
        if target == len(lines) and not lines[-1].endswith("\n"):
            lines[-1] += self._newline
        kept = [*lines[: items[index].lead], *lines[items[index].end :]]
        at = target if target <= items[index].lead else target - len(own)
        self._replace("".join([*kept[:at], *own, *kept[at:]]))

    # -- the tree -----------------------------------------------------------------------------------------------------

    def _parse(self) -> None:
        self._root = yaml.compose(self._body, Loader=yaml.SafeLoader)

    def _replace(self, body: str) -> None:
        before, self._body = self._body, body
        try:
            self._parse()
        except (yaml.YAMLError, RecursionError):
            self._body = before
            self._parse()
            raise CannotEdit("cannot be changed here without changing other values (anchors, aliases)") from None

    def _splice(self, begin: int, end: int, new: str) -> None:
        self._replace(self._body[:begin] + new + self._body[end:])

    def _node(self, path: KeyPath) -> yaml.Node:
        node = self._root
        for step in path:
            if node is None:
                break
            node = self._child(node, step)
        if node is None:
            raise CannotEdit("does not stand in the file itself")
        return node

    def _child(self, node: yaml.Node, step: str | int) -> yaml.Node:
        """Return a value or an item that stands within `node` itself."""
        found: yaml.Node | None = None
        if isinstance(node, yaml.SequenceNode):
            index = _index(step)
            found = node.value[index] if 0 <= index < len(node.value) else None
            own = found is not None and found.start_mark.index >= node.start_mark.index
        else:
            entry = _entry(node, step) if isinstance(node, yaml.MappingNode) else None
            own = entry is not None and not _is_alias(*entry)
            found = None if entry is None else entry[1]
        if found is None:
            raise CannotEdit("does not stand in the file itself")
        if not own:
            raise CannotEdit("is an alias (*) of a value that other places use, too")
        return found

    def _parent(self, path: KeyPath) -> yaml.Node | None:
        """Return the mapping or list that holds the last step; None if it is missing or empty."""
        node = self._root
        for step in path[:-1]:
            if node is None or _is_empty(node):
                return None
            if isinstance(node, yaml.MappingNode) and _entry(node, step) is None:
                return None
            node = self._child(node, step)
        return None if node is None or _is_empty(node) else node

    def _end(self, node: yaml.Node) -> int:
        """Return the offset behind the last sign of a value. A block's own end mark is that of what follows it."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            return self._value_span(*last)[1] if isinstance(last, tuple) else self._end(last)
        begin, end = node.start_mark.index, node.end_mark.index
        return begin + len(self._body[begin:end].rstrip()) if end > begin else end

    def _value_span(self, key: yaml.Node, value: yaml.Node) -> tuple[int, int]:
        if _is_alias(key, value):
            found = _ALIAS.match(self._body, key.end_mark.index)
            if found is None:
                raise CannotEdit("is an alias (*) of a value that other places use, too")
            return found.span(1)
        if isinstance(value, yaml.CollectionNode) and not value.flow_style:
            return self._body.index(":", key.end_mark.index) + 1, self._end(value)
        return value.start_mark.index, self._end(value)

    # -- mappings -----------------------------------------------------------------------------------------------------

    def _add_key(self, parent: yaml.MappingNode, key: str, value: Written) -> None:
        new = self._value(value, parent)
        if parent.flow_style:
            json_like = any(k.style == '"' for k, _ in parent.value)
            entry = f"{json.dumps(key) if json_like else key}: {new}"
            spans = [(k.start_mark.index, self._value_span(k, v)[1]) for k, v in parent.value]
            at = spans[-1][1] if spans else self._body.index("{", parent.start_mark.index) + 1
            self._splice(at, at, f", {entry}" if spans else entry)
            return
        keys = [k for k, _ in parent.value]
        column = keys[0].start_mark.column
        last = self._value_span(*parent.value[-1])[1]
        lines, begin = self._lines(), keys[0].start_mark.line
        while begin and _comment_column(lines[begin - 1]) >= column:
            begin -= 1
        end = self._block_end(self._line_of(last), column)
        self._put_line(key, f"{' ' * column}{key}: {new}", range(begin, end), self._line_of(last) + 1)

    def _fill_section(self, path: KeyPath, value: Written) -> None:
        """Write the first setting of a section, or the first item of a list, that is missing or empty."""
        *way, last = path
        if self._root is not None and not isinstance(self._root, yaml.MappingNode):
            raise CannotEdit("is not in a mapping of sections")
        entry = _entry(self._root, way[0]) if isinstance(self._root, yaml.MappingNode) else None
        is_item = isinstance(last, int)
        if len(way) == 2 and is_item:  # a list within a section
            section = None if entry is None or _is_empty(entry[1]) else entry[1]
            if section is None or (isinstance(section, yaml.MappingNode) and _entry(section, way[1]) is None):
                self.set(tuple(way), [value])  # type: ignore[list-item]
                return
            found = _entry(section, way[1]) if isinstance(section, yaml.MappingNode) else None
            if found is None:
                raise CannotEdit("is not in a mapping")
            entry = found
        if self._root is not None and self._root.flow_style:
            if entry is not None:
                inner = self._value(value, self._root)
                text = f"[{inner}]" if is_item else f"{{{json.dumps(str(last))}: {inner}}}"
                begin, end = self._value_span(*entry)
                self._splice(begin, end, f" {text}" if begin == end else text)
                return
            raise CannotEdit("belongs to a section that is missing in a file in flow style")
        lines = self._lines()
        if entry is None:
            indent = " " * _INDENT
            body = self._item_lines(value, indent, 2) if is_item else [f"{indent}{last}: {self._value(value, None)}"]
            self._append(["", f"{way[0]}:", *body] if lines else [f"{way[0]}:", *body])
            return
        key, old = entry
        column = key.start_mark.column
        line = key.start_mark.line
        if not is_item and len(way) == 1:
            end = self._block_end(line, column + 1)
            indent = self._comment_indent(range(line + 1, end), column)
            new = [f"{indent}{last}: {self._value(value, None)}"]
        else:
            indent, end = " " * (column + _INDENT), line + 1
            new = self._item_lines(value, indent, 2)
        begin, stop = self._value_span(key, old)
        if begin < stop:  # `~`, `null`, `[]` or `{}`
            if _is_alias(key, old):
                raise CannotEdit("is an alias (*) of a value that other places use, too")
            begin = key.end_mark.index + self._body[key.end_mark.index : begin].index(":") + 1
            self._splice(begin, stop, "")
        self._put_line(str(last), new[0], range(line + 1, end), line + 1, more=new[1:])

    def _put_line(self, key: str, line: str, within: range, otherwise: int, more: Sequence[str] = ()) -> None:
        """Insert a line above the comment that shows the default of `key`, or else at `otherwise`."""
        shows = re.compile(rf"\s*#\s?{re.escape(key)}:(?:\s|$)")
        lines = self._lines()
        above = next((n for n in within if n < len(lines) and shows.match(lines[n])), None)
        self._insert_lines(otherwise if above is None else above, [line, *more])

    def _comment_indent(self, lines: range, column: int) -> str:
        """Return the indentation of the commented settings of an empty section."""
        for text in (self._lines()[n] for n in lines):
            width = len(text) - len(text.lstrip(" "))
            if text.strip() and width > column:
                return " " * width
        return " " * (column + _INDENT)

    def _block_end(self, line: int, column: int) -> int:
        """Return the first line behind `line` that is neither blank nor indented by `column`."""
        lines = self._lines()
        for number in range(line + 1, len(lines)):
            text = lines[number].rstrip()
            if text and len(text) - len(text.lstrip(" ")) < column:
                return number
        return len(lines)

    # -- lists --------------------------------------------------------------------------------------------------------

    def _items(self, parent: yaml.SequenceNode) -> list[_Item]:
        """Return the items of a block sequence that is not empty. A comment that is indented like an item's keys
        belongs to the item above it, any other to the one below it."""
        lines, column = self._lines(), parent.start_mark.column
        dashes = [self._dash_line(lines, node, column) for node in parent.value]
        ends = [self._line_of(self._end(node)) + 1 for node in parent.value]
        for i in range(len(ends)):
            limit = dashes[i + 1] if i + 1 < len(ends) else len(lines)
            while ends[i] < limit and _comment_column(lines[ends[i]]) > column:
                ends[i] += 1
        leads = [dashes[0]]
        for i, dash in enumerate(dashes[1:], 1):
            lead = dash
            while lead > ends[i - 1] and _comment_column(lines[lead - 1]) >= 0:
                lead -= 1
            leads.append(lead)
        return [_Item(*each) for each in zip(leads, dashes, ends, strict=True)]

    def _dash_line(self, lines: Sequence[str], node: yaml.Node, column: int) -> int:
        line = node.start_mark.line
        while line >= 0:
            text = lines[line]
            if text[:column].strip(" ") == "" and re.match(r"-(?:\s|$)", text[column:]):
                return line
            line -= 1
        raise CannotEdit("is an item whose beginning cannot be found (aliases)")

    def _item_column(self, parent: yaml.SequenceNode) -> int:
        """Return the column of the items' content."""
        found = (n.start_mark.column for n in parent.value if isinstance(n, yaml.MappingNode) and not n.flow_style)
        return max(next(found, 0), parent.start_mark.column + _INDENT)

    def _item_lines(self, value: Written, indent: str, width: int) -> list[str]:
        dash = "-".ljust(width)
        if not isinstance(value, Mapping):
            return [f"{indent}{dash}{self._value(value, None)}"]
        pairs = [f"{key}: {_as_pattern(key, inner) or self._value(inner, None)}" for key, inner in value.items()]
        return [f"{indent}{dash if i == 0 else ' ' * width}{pair}" for i, pair in enumerate(pairs)]

    def _remove_item(self, parent: yaml.SequenceNode, index: int) -> None:
        if not 0 <= index < len(parent.value):
            raise CannotEdit("does not stand in the file")
        if parent.flow_style:
            self._splice(*_flow_gap([(n.start_mark.index, self._end(n)) for n in parent.value], index), "")
            return
        if len(parent.value) == 1:
            raise CannotEdit("is the last item of its list")
        item, lines = self._items(parent)[index], self._lines()
        self._replace("".join([*lines[: item.lead], *lines[item.end :]]))

    def _insert_flow(self, parent: yaml.SequenceNode, text: str, before: int | None) -> None:
        if not parent.value:
            at = self._body.index("[", parent.start_mark.index) + 1
            self._splice(at, at, text)
        elif before is None or before >= len(parent.value):
            at = self._end(parent.value[-1])
            self._splice(at, at, f", {text}")
        else:
            at = parent.value[before].start_mark.index
            self._splice(at, at, f"{text}, ")

    # -- text ---------------------------------------------------------------------------------------------------------

    def _value(self, value: Written, parent: yaml.Node | None, like: yaml.Node | None = None) -> str:
        """Return a value as YAML, in one line. `parent`: what it is put into; in JSON it is JSON."""
        if isinstance(parent, yaml.CollectionNode) and parent.flow_style and self._is_json(parent):
            return json.dumps(_escaped(value), ensure_ascii=False)
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{key}: {self._value(inner, None)}" for key, inner in value.items()) + "}"
        if isinstance(value, Sequence) and not isinstance(value, str):
            return "[" + ", ".join(self._value(inner, None) for inner in value) + "]"
        return written(value, like.style if isinstance(like, yaml.ScalarNode) else None)

    def _is_json(self, node: yaml.CollectionNode) -> bool:
        scalars = list(_scalars(node))
        return any(s.style == '"' for s in scalars) and all(s.style == '"' for s in scalars if s.tag.endswith(":str"))

    def _lines(self) -> list[str]:
        return re.findall(r"[^\n]*\n|[^\n]+", self._body)

    def _line_of(self, offset: int) -> int:
        return self._body.count("\n", 0, offset)

    def _line_start(self, offset: int) -> int:
        return self._body.rfind("\n", 0, offset) + 1

    def _line_end(self, offset: int, *, past: bool = False) -> int:
        found = self._body.find("\n", offset)
        return len(self._body) if found < 0 else found + past

    def _insert_lines(self, at: int, new: Sequence[str]) -> None:
        lines = self._lines()
        if at >= len(lines):
            self._append(new)
            return
        self._replace("".join([*lines[:at], *(line + self._newline for line in new), *lines[at:]]))

    def _append(self, new: Sequence[str]) -> None:
        ended = not self._body or self._body.endswith("\n")
        body = self._newline.join(new) + (self._newline if ended else "")
        self._replace(self._body + ("" if ended else self._newline) + body)


def written(value: Plain, style: str | None = None) -> str:
    """Return a scalar as YAML that means itself, in quotes where it needs them or the old one (`style`) had them."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    if style not in ("'", '"') and _PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value
    if style == '"' and value.isprintable():
        return json.dumps(_escaped(value), ensure_ascii=False)
    return quoted(value)


def _as_pattern(key: str, value: Plain) -> str:
    """Return a rule's pattern in quotes, whatever signs it has; empty for any other key."""
    return quoted(value) if key == "pattern" and isinstance(value, str) else ""


def _escaped(value: Written) -> Written:
    """Return a value whose texts mean themselves where `${` begins a reference."""
    if isinstance(value, str):
        return re.sub(r"\$(?=\{[^}]{0,200}\})", "$$$$", value)
    if isinstance(value, Mapping):
        return {key: _escaped(inner) for key, inner in value.items()}  # type: ignore[misc]
    if isinstance(value, Sequence):
        return [_escaped(inner) for inner in value]  # type: ignore[misc]
    return value


def _entry(node: yaml.MappingNode, key: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    return next(((k, v) for k, v in node.value if isinstance(k, yaml.ScalarNode) and k.value == key), None)


def _index(step: str | int) -> int:
    return step if isinstance(step, int) else -1


def _is_alias(key: yaml.Node, value: yaml.Node) -> bool:
    return bool(value.start_mark.index < key.end_mark.index)


def _is_empty(node: yaml.Node) -> bool:
    if isinstance(node, yaml.ScalarNode):
        return node.tag.endswith(":null")
    return not node.value


def _flow_gap(spans: Sequence[tuple[int, int]], index: int) -> tuple[int, int]:
    """Return what to cut out to remove an item of a flow collection with its comma."""
    if index + 1 < len(spans):
        return spans[index][0], spans[index + 1][0]
    return (spans[index - 1][1], spans[index][1]) if index else spans[0]


def _comment_column(line: str) -> int:
    """Return the column of a line that is a comment; -1 for any other."""
    text = line.lstrip(" ")
    return len(line) - len(text) if text.startswith("#") else -1


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    for inner in node.value if isinstance(node, yaml.CollectionNode) else ():
        for each in inner if isinstance(inner, tuple) else (inner,):
            yield from _scalars(each)
