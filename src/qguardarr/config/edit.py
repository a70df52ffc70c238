"""Edit a configuration's text by orders that name settings, and prove each change by reading the result.

Whoever gives orders sees no secrets, so the whole file never passes through their hands. A path names rules by their
id, which others may have moved meanwhile, and items of other lists by their index.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import yaml

from qguardarr.config.document import Document
from qguardarr.config.edit_values import (
    RefusedEdit,
    drop_value,
    put_value,
    takes_all,
    tidy,
    typed,
    typed_scalar,
    value_at,
)
from qguardarr.config.environment import FILE_SUFFIX, Overrides
from qguardarr.config.load import unknown_key
from qguardarr.config.marked_text import CannotEdit
from qguardarr.config.outline import field_at, known_keys, settings, takes_mappings
from qguardarr.config.source import Source
from qguardarr.config.structured import update
from qguardarr.config.yaml_values import Written
from qguardarr.errors import Fault, KeyPath

FILE_ONLY: Final = "names a file of the machine that Qguardarr runs on"
FILE_ONLY_HINT: Final = "change it in the configuration file itself"


class Edit(NamedTuple):
    """One change."""

    op: Literal["set", "remove", "insert", "move"]
    path: KeyPath
    """Keys; behind `trackers` the id of a rule, in lists of texts an index."""
    value: Any = None
    before: str | int | None = None
    """For `insert` and `move`: id or index of the item to stand before; None: the end. Among rules the end is before a
    last rule that takes all torrents."""


class Edited(NamedTuple):
    """The outcome."""

    text: str
    """With all edits that could be made."""
    places: tuple[KeyPath | None, ...]
    """Where each edit left its value, with indexes; None if it was refused, or is gone."""
    refusals: tuple[tuple[int, Fault], ...]
    """Edits that were refused, by their number. Paths are those of the edits."""


def edited(text: str, edits: Sequence[Edit], environment: Mapping[str, str], folder: Path) -> Edited:
    """Return the text with these edits made one after the other. `folder`: that of the file."""
    editor = _Editor(text, environment, folder)
    refusals: list[tuple[int, Fault]] = []
    places: list[KeyPath | None] = []
    for number, edit in enumerate(edits):
        try:
            before, place = len(editor.values.get("trackers") or ()), editor.apply(edit)
        except (RefusedEdit, CannotEdit, RecursionError) as error:
            reason = "stands in values that contain themselves" if isinstance(error, RecursionError) else error.reason
            hint = error.hint if isinstance(error, RefusedEdit) else "change it in the file itself"
            refusals.append((number, Fault(edit.path, reason, hint)))
            places.append(None)
            continue
        if edit.path[:1] == ("trackers",) and edit.op != "set":
            places = [editor.moved(other, edit, place, before) for other in places]
        places.append(place)
    return Edited(editor.document.text, tuple(places), tuple(refusals))


def why_locked(path: KeyPath, overrides: Overrides, source: Source) -> tuple[str, str] | None:
    """Return why the value of a setting cannot be edited, with a hint; None if it can. `path` has indexes."""
    names = sorted({name for key, found in source.from_environment.items() if key == path for name in found})
    if names and not overrides.covers(path):
        given = ", ".join("${" + name + "}" for name in names)
        return f"is taken from {given} in the file", "change the variable, or write a value into the file yourself"
    origin = overrides.origin(path)
    if origin is not None:
        variable = overrides.variables[origin]
        kind = "the file that the variable {} names" if variable.endswith(FILE_SUFFIX) else "the variable {}"
        return f"comes from {kind.format(variable)}", "change it there, and start Qguardarr again"
    if overrides.covers(path):
        used = sorted(name for key, name in overrides.variables.items() if key[:1] == path[:1])
        return f"has no effect beside {', '.join(used)}", "change it there, and start Qguardarr again"
    variables = source.from_environment.items()
    inner = sorted({name for key, found in variables if key[: len(path)] == path for name in found})
    if inner and takes_mappings(path):
        given = ", ".join("${" + name + "}" for name in inner)
        return f"holds {given} in the file", "change it in the file itself"
    if is_file(path):
        return FILE_ONLY, FILE_ONLY_HINT
    return None


def is_file(path: KeyPath) -> bool:
    """Tell whether a setting is the path of a file: the daemon would write or read whatever is named there."""
    field = field_at(path)
    return field is not None and "Path" in str(field.annotation)


class _Editor:
    def __init__(self, text: str, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._overrides = Overrides(environment, folder)
        self._read(text)

    def _read(self, text: str) -> None:
        self.source = Source(text, self._environment)
        if not isinstance(self.source.value, dict | None) or (self.source.value is None and self.source.faults):
            raise CannotEdit("the file cannot be understood")
        self.values: dict[str, Any] = self.source.value or {}
        self.document = Document(text)

    def apply(self, edit: Edit) -> KeyPath | None:
        """Make a change, and return where its value stands now. Raises `RefusedEdit`, `CannotEdit`."""
        before = self.document.text
        path = self._resolved(edit.path)
        wanted = copy.deepcopy(self.values)
        try:
            place = self._change(edit, path, wanted)
        except (RefusedEdit, CannotEdit, RecursionError):
            self._read(before)
            raise
        after = self.document.text
        try:
            self._read(after)
        except (CannotEdit, yaml.YAMLError, RecursionError):
            self.values = {}
        if tidy(self.values) != tidy(wanted):
            self._read(before)
            raise CannotEdit("cannot be changed here without changing other values (anchors, aliases, merged mappings)")
        return place

    def moved(self, place: KeyPath | None, edit: Edit, to: KeyPath | None, count: int) -> KeyPath | None:
        """Return where an earlier place of a rule is after a later edit of the list."""
        if place is None or place[:1] != ("trackers",) or len(place) < 2:
            return place
        old, kind = int(place[1]), edit.op
        if kind == "insert" and to is not None:
            return ("trackers", old + (old >= int(to[1])), *place[2:])
        order = list(range(count))
        if self._gone is not None:
            order.pop(self._gone)
            if to is not None:
                order.insert(int(to[1]), self._gone)
        return ("trackers", order.index(old), *place[2:]) if old in order else None

    _gone: int | None = None
    """Index of the rule that was moved or removed last."""

    # -- paths --------------------------------------------------------------------------------------------------------

    def _resolved(self, path: KeyPath) -> KeyPath:
        """Return a path with the index of a rule in place of its id."""
        if not path or not all(isinstance(step, str | int) and not isinstance(step, bool) for step in path):
            raise RefusedEdit("is no path", "name a section and a setting")
        if path[0] != "trackers" or len(path) == 1:
            return path
        return ("trackers", self._rule(path[1]), *path[2:])

    def _rule(self, name: str | int) -> int:
        rules = self.values.get("trackers")
        for index, rule in enumerate(rules if isinstance(rules, list) else ()):
            if isinstance(rule, dict) and str(rule.get("id")) == name:
                return index
        raise RefusedEdit("there is no rule with this id")

    def _before(self, path: KeyPath, before: str | int | None) -> int | None:
        items = value_at(self.values, path)
        items = items if isinstance(items, list) else []
        if before is None and path == ("trackers",):
            last = items[-1].get("pattern") if items and isinstance(items[-1], dict) else None
            return len(items) - 1 if isinstance(last, str) and takes_all(last) else None
        if before is None:
            return None
        index = self._rule(before) if path == ("trackers",) else before
        if not isinstance(index, int) or not 0 <= index < len(items):
            raise RefusedEdit("there is no such item to stand before")
        return index

    # -- changes ------------------------------------------------------------------------------------------------------

    def _change(self, edit: Edit, path: KeyPath, wanted: dict[str, Any]) -> KeyPath | None:
        self._gone = None
        if path[0] == "qbittorrent" and isinstance(self.values.get("qbittorrent"), list):
            raise RefusedEdit("is a list of several qBittorrents", "change it in the file itself")
        if edit.op == "insert":
            return self._insert(edit, path, wanted)
        kind = _kind_of(path)
        if edit.op == "move" and kind == "item":
            return self._move(edit, path, wanted)
        known_length = 3 if path[0] == "trackers" else 2
        if kind is None and path not in _known() and len(path) == known_length and not isinstance(path[-1], int):
            fault = unknown_key(path)
            raise RefusedEdit(fault.reason, fault.hint)
        if kind is None or edit.op == "move" or (kind == "item" and edit.op == "set" and path[0] == "trackers"):
            raise RefusedEdit("is nothing that can be changed so", "name a setting, or an item of a list")
        self._check(path)
        if edit.op == "remove":
            self.document.remove(path)
            drop_value(wanted, path)
            self._gone = int(path[1]) if kind == "item" and path[0] == "trackers" else None
            return None
        if kind == "item" and value_at(wanted, path) is None:
            raise RefusedEdit("there is no such item", "insert one")
        value = _typed(edit.value, path)
        update(self.document, path, value_at(wanted, path), value)
        put_value(wanted, path, value)
        return path

    def _insert(self, edit: Edit, path: KeyPath, wanted: dict[str, Any]) -> KeyPath:
        if _kind_of((*path, 0)) != "item":
            raise RefusedEdit("is no list")
        self._check(path)
        value: Written
        if path == ("trackers",):
            if not isinstance(edit.value, Mapping):
                raise RefusedEdit("must be a mapping", "give id, pattern and max_upload_speed")
            known = known_keys(("trackers",))
            if not set(edit.value) <= set(known):
                raise RefusedEdit("has keys that a rule does not have", f"a rule has {', '.join(known)}")
            value = {key: _typed(edit.value[key], ("trackers", 0, key)) for key in known if key in edit.value}
        else:
            value = typed_scalar(edit.value, None)
        before = self._before(path, edit.before)
        items = value_at(wanted, path)
        if not isinstance(items, list):
            items = []
            put_value(wanted, path, items)
        index = len(items) if before is None else before
        if items or path == ("trackers",):
            self.document.insert(path, value, before)
        else:
            self.document.set(path, [value])
        items.insert(index, copy.deepcopy(value))
        return (*path, index)

    def _move(self, edit: Edit, path: KeyPath, wanted: dict[str, Any]) -> KeyPath:
        self._check(path[:-1])
        index, before = int(path[-1]), self._before(path[:-1], edit.before)
        if path[0] == "trackers" and edit.before is None and before == index:
            before = None
        self.document.move(path, before)
        items = value_at(wanted, path[:-1])
        target = len(items) if before is None else before
        target -= target > index
        items.insert(target, items.pop(index))
        self._gone = index
        return (*path[:-1], target)

    def _check(self, path: KeyPath) -> None:
        """Refuse what does not come from the file, or belongs to the machine."""
        locked = why_locked(path, self._overrides, self.source)
        if locked is not None:
            raise RefusedEdit(*locked)


def _typed(value: Any, path: KeyPath) -> Written:
    """Return the value of a setting as it is written. Raises `RefusedEdit`."""
    return typed(value, field_at(path), may_nest=takes_mappings(path))


def _kind_of(path: KeyPath) -> Literal["setting", "item"] | None:
    """Return what a path with indexes leads to: a setting, or an item of a list; None if nothing that can be edited."""
    if len(path) == 2 and path[0] == "trackers":
        return "item" if isinstance(path[1], int) else None
    if len(path) == 3 and path[0] == "trackers":
        return "setting" if path[2] in known_keys(path[:2]) else None
    known = _known()
    if path in known:
        return "setting" if len(path) == 2 else None
    if len(path) == 3 and isinstance(path[2], int) and known.get(path[:2]):
        return "item"
    return None


@functools.cache
def _known() -> dict[KeyPath, bool]:
    """All settings, and whether each is a list."""
    return {setting.path: setting.structured for setting in settings()}
