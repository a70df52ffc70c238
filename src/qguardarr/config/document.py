"""Change single values in the text of a configuration file, and leave every other byte as it is.

A YAML library that writes what it has read (ruamel.yaml) keeps comments, but not line ends, alignment, or indentation
that differs from place to place. Here the parser only tells where a value stands, and its span is replaced. Whoever
uses this reads the result again and compares: see `qguardarr.config.edit`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import yaml

from qguardarr.config.marked_text import (
    INDENT,
    CannotEdit,
    MarkedText,
    comment_column,
    entry_of,
    flow_gap,
    index_of,
    is_alias,
    is_empty,
    is_own_block,
)
from qguardarr.config.yaml_values import Written, block_lines, is_block, key_lines, setting_text, value_text
from qguardarr.errors import KeyPath

_ANCHOR: Final = re.compile(r"(?:&\S+\s+)+")
_COMMENT: Final = re.compile(r" {2,}(?=#)")
_BEHIND: Final = re.compile(r"\s*#[^\n]*|[ \r]*")


class _Item(NamedTuple):
    """An item of a block sequence, as lines: of the comments right above it, of its dash, and the one behind it."""

    lead: int
    dash: int
    end: int


class Document(MarkedText):
    """The text of one file. Each change is made to `text` at once, or not at all (`CannotEdit`)."""

    def set(self, path: KeyPath, value: Written) -> None:
        """Set a value. Its section is made if there is none."""
        parent, step = self.parent_of(path), path[-1]
        if isinstance(parent, yaml.SequenceNode):
            item = self.child(parent, step)
            self.splice(item.start_mark.index, self.end_of(item), value_text(value, parent))
            return
        if not isinstance(parent, yaml.MappingNode):
            self._fill_section(path, value)
            return
        found = entry_of(parent, step)
        if found is None:
            self._add_key(parent, str(step), value)
            return
        key, old = found
        begin, end = self.value_span(key, old)
        if not parent.flow_style and (is_block(value, key.end_mark.column + 2) or is_own_block(key, old)):
            self._set_block(key, begin, end, value)
            return
        anchor = _ANCHOR.match(self.body, begin)
        if anchor is not None and isinstance(old, yaml.ScalarNode):
            begin = anchor.end()
        new = setting_text(str(step), value, parent, old)
        if self.body[begin - 1] == ":":
            new = f" {new}"
        comment = _COMMENT.match(self.body, end)
        if comment is not None and not parent.flow_style:  # keep its column
            width = max(2, comment.end() - comment.start() + (end - begin) - len(new))
            new, end = new + " " * width, comment.end()
        self.splice(begin, end, new)

    def remove(self, path: KeyPath) -> None:
        """Remove a key, or an item of a list."""
        parent, step = self.parent_of(path), path[-1]
        if isinstance(parent, yaml.SequenceNode):
            self._remove_item(parent, index_of(step))
            return
        found = entry_of(parent, step) if isinstance(parent, yaml.MappingNode) else None
        if found is None:
            raise CannotEdit("does not stand in the file itself")
        assert isinstance(parent, yaml.MappingNode)
        spans = [(key.start_mark.index, self.value_span(key, value)[1]) for key, value in parent.value]
        index = parent.value.index(found)
        if parent.flow_style:
            self.splice(*flow_gap(spans, index), "")
            return
        begin, end = spans[index]
        line = self.line_start(begin)
        if self.body[line:begin].strip(" "):  # behind the dash of a list's item
            if len(spans) == 1:
                raise CannotEdit("is all that this item has")
            self.splice(begin, spans[1][0], "")
        else:
            self.splice(line, self.line_end(end, past=True), "")

    def insert(self, path: KeyPath, value: Written, before: int | None) -> None:
        """Insert an item into a list, before the item of that index, or at its end."""
        parent = self.parent_of((*path, 0))
        if not isinstance(parent, yaml.SequenceNode):
            self._fill_section((*path, 0), value)
        elif parent.flow_style:
            self._insert_flow(parent, value_text(value, parent), before)
        else:
            at, column = parent.start_mark.column, self._item_column(parent)
            as_block = len(path) == 1 or any(isinstance(n, yaml.MappingNode) and not n.flow_style for n in parent.value)
            lines = self._item_lines(value, " " * at, column - at, as_block=as_block)
            items = self._items(parent)
            self.insert_lines(items[-1].end if before is None else items[before].lead, lines)

    def move(self, path: KeyPath, before: int | None) -> None:
        """Move an item of a list before the one that has the index `before` now, or to the end."""
        parent, index = self.parent_of(path), index_of(path[-1])
        if not isinstance(parent, yaml.SequenceNode):
            raise CannotEdit("is no item of a list that stands in the file itself")
        if before in (index, index + 1) or (before is None and index == len(parent.value) - 1):
            return
        if parent.flow_style:
            item = parent.value[index]
            text = self.body[item.start_mark.index : self.end_of(item)]
            self._remove_item(parent, index)
            left = self.node(path[:-1])
            assert isinstance(left, yaml.SequenceNode)
            self._insert_flow(left, text, before if before is None or before < index else before - 1)
            return
        items, lines = self._items(parent), self.lines()
        own = lines[items[index].lead : items[index].end]
        target = items[-1].end if before is None else items[before].lead
        if own and not own[-1].endswith("\n"):
            own[-1] += self.newline
        if target == len(lines) and not lines[-1].endswith("\n"):
            lines[-1] += self.newline
        kept = [*lines[: items[index].lead], *lines[items[index].end :]]
        at = target if target <= items[index].lead else target - len(own)
        self.replace("".join([*kept[:at], *own, *kept[at:]]))

    def _set_block(self, key: yaml.Node, begin: int, end: int, value: Written) -> None:
        """Set a value that is, or was, a block. The comment behind its key stays there."""
        colon = self.body.index(":", key.end_mark.index) + 1
        behind, after = "", self.line_end(end)
        comment = _BEHIND.fullmatch(self.body, end, after)
        if begin == colon:  # a block: what stands behind its last line goes, what stands behind its key stays
            behind = self.body[colon : self.line_end(colon)].rstrip()
            if behind and not behind.lstrip().startswith("#"):
                raise CannotEdit("has an anchor or a tag")
        elif comment is not None:
            behind = comment[0].rstrip()
        end = end if comment is None else after - (self.body[after - 1 : after] == "\r")
        if is_block(value, key.end_mark.column + 2):
            new = self.newline.join([behind, *block_lines(value, key.start_mark.column + INDENT)])
        else:
            new = f" {setting_text(str(key.value), value)}{behind and f'  {behind.lstrip()}'}"
        self.splice(colon, end, new)

    # -- mappings -----------------------------------------------------------------------------------------------------

    def _add_key(self, parent: yaml.MappingNode, key: str, value: Written) -> None:
        if parent.flow_style:
            json_like = any(k.style == '"' for k, _ in parent.value)
            entry = f"{json.dumps(key) if json_like else key}: {value_text(value, parent)}"
            spans = [(k.start_mark.index, self.value_span(k, v)[1]) for k, v in parent.value]
            at = spans[-1][1] if spans else self.body.index("{", parent.start_mark.index) + 1
            self.splice(at, at, f", {entry}" if spans else entry)
            return
        keys = [k for k, _ in parent.value]
        column = keys[0].start_mark.column
        last = self.value_span(*parent.value[-1])[1]
        lines, begin = self.lines(), keys[0].start_mark.line
        while begin and comment_column(lines[begin - 1]) >= column:
            begin -= 1
        end = self.block_end(self.line_of(last), column)
        first, *more = key_lines(key, value, column)
        self._put_line(key, first, range(begin, end), self.line_of(last) + 1, more)

    def _fill_section(self, path: KeyPath, value: Written) -> None:
        """Write the first setting of a section, or the first item of a list, that is missing or empty."""
        *way, last = path
        if self.root is not None and not isinstance(self.root, yaml.MappingNode):
            raise CannotEdit("is not in a mapping of sections")
        entry = entry_of(self.root, way[0]) if isinstance(self.root, yaml.MappingNode) else None
        is_item = isinstance(last, int)
        if len(way) == 2 and is_item:  # a list within a section
            section = None if entry is None or is_empty(entry[1]) else entry[1]
            if section is None or (isinstance(section, yaml.MappingNode) and entry_of(section, way[1]) is None):
                self.set(tuple(way), [value])
                return
            found = entry_of(section, way[1]) if isinstance(section, yaml.MappingNode) else None
            if found is None:
                raise CannotEdit("is not in a mapping")
            entry = found
        if self.root is not None and self.root.flow_style:
            if entry is not None:
                inner = value_text(value, self.root)
                text = f"[{inner}]" if is_item else f"{{{json.dumps(str(last))}: {inner}}}"
                begin, end = self.value_span(*entry)
                self.splice(begin, end, f" {text}" if begin == end else text)
                return
            raise CannotEdit("belongs to a section that is missing in a file in flow style")
        lines = self.lines()
        if entry is None:
            indent = " " * INDENT
            body = self._item_lines(value, indent, 2) if is_item else key_lines(str(last), value, INDENT)
            self.append(["", f"{way[0]}:", *body] if lines else [f"{way[0]}:", *body])
            return
        key, old = entry
        column = key.start_mark.column
        line = key.start_mark.line
        if not is_item and len(way) == 1:
            end = self.block_end(line, column + 1)
            indent = self.comment_indent(range(line + 1, end), column)
            new = key_lines(str(last), value, len(indent))
        else:
            indent, end = " " * (column + INDENT), line + 1
            new = self._item_lines(value, indent, 2)
        begin, stop = self.value_span(key, old)
        if begin < stop:  # `~`, `null`, `[]` or `{}`
            if is_alias(key, old):
                raise CannotEdit("is an alias (*) of a value that other places use, too")
            begin = key.end_mark.index + self.body[key.end_mark.index : begin].index(":") + 1
            self.splice(begin, stop, "")
        self._put_line(str(last), new[0], range(line + 1, end), line + 1, more=new[1:])

    def _put_line(self, key: str, line: str, within: range, otherwise: int, more: Sequence[str] = ()) -> None:
        """Insert a line above the comment that shows the default of `key`, or else at `otherwise`."""
        shows = re.compile(rf"\s*#\s?{re.escape(key)}:(?:\s|$)")
        lines = self.lines()
        above = next((n for n in within if n < len(lines) and shows.match(lines[n])), None)
        self.insert_lines(otherwise if above is None else above, [line, *more])

    # -- lists --------------------------------------------------------------------------------------------------------

    def _items(self, parent: yaml.SequenceNode) -> list[_Item]:
        """Return the items of a block sequence that is not empty. A comment that is indented like an item's keys
        belongs to the item above it, any other to the one below it."""
        lines, column = self.lines(), parent.start_mark.column
        dashes = [self._dash_line(lines, node, column) for node in parent.value]
        ends = [self.line_of(self.end_of(node)) + 1 for node in parent.value]
        for i in range(len(ends)):
            limit = dashes[i + 1] if i + 1 < len(ends) else len(lines)
            while ends[i] < limit and comment_column(lines[ends[i]]) > column:
                ends[i] += 1
        leads = [dashes[0]]
        for i, dash in enumerate(dashes[1:], 1):
            lead = dash
            while lead > ends[i - 1] and comment_column(lines[lead - 1]) >= 0:
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
        return max(next(found, 0), parent.start_mark.column + INDENT)

    def _item_lines(self, value: Written, indent: str, width: int, *, as_block: bool = True) -> list[str]:
        dash = "-".ljust(width)
        if not as_block or not isinstance(value, Mapping) or not value:
            return [f"{indent}{dash}{value_text(value, None)}"]
        first, *more = block_lines(value, len(indent) + width)
        return [f"{indent}{dash}{first.lstrip(' ')}", *more]

    def _remove_item(self, parent: yaml.SequenceNode, index: int) -> None:
        if not 0 <= index < len(parent.value):
            raise CannotEdit("does not stand in the file")
        if parent.flow_style:
            self.splice(*flow_gap([(n.start_mark.index, self.end_of(n)) for n in parent.value], index), "")
            return
        if len(parent.value) == 1:
            raise CannotEdit("is the last item of its list")
        item, lines = self._items(parent)[index], self.lines()
        self.replace("".join([*lines[: item.lead], *lines[item.end :]]))

    def _insert_flow(self, parent: yaml.SequenceNode, text: str, before: int | None) -> None:
        if not parent.value:
            at = self.body.index("[", parent.start_mark.index) + 1
            self.splice(at, at, text)
        elif before is None or before >= len(parent.value):
            at = self.end_of(parent.value[-1])
            self.splice(at, at, f", {text}")
        else:
            at = parent.value[before].start_mark.index
            self.splice(at, at, f"{text}, ")
