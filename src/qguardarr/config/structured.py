"""Change a list or a mapping of a configuration's text part by part, so that comments on what stays are kept."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence

import yaml

from qguardarr.config.document import Document
from qguardarr.config.marked_text import CannotEdit
from qguardarr.config.yaml_values import Written, is_list
from qguardarr.errors import KeyPath


def update(document: Document, path: KeyPath, old: Written, new: Written) -> None:
    """Set a list or a mapping. `old`: its value, None if there is none. Raises `CannotEdit`.

    One that stands in several lines is changed part by part, any other is set as a whole. Whoever uses this reads the
    result again and compares.
    """
    if not is_list(new) and not isinstance(new, Mapping):
        document.set(path, new)
        return
    text = document.text
    try:
        _update(document, path, old, new)
    except CannotEdit:
        document.replace(text.removeprefix("\ufeff"))
        document.set(path, new)


def _update(document: Document, path: KeyPath, old: Written, new: Written) -> None:
    if _name(old) == _name(new):
        return
    parts = _parts(document, path)
    if isinstance(old, Mapping) and isinstance(new, Mapping) and parts == len(old) and set(old) & set(new):
        for key, value in new.items():
            if key in old:
                _update(document, (*path, key), old[key], value)
            else:
                document.set((*path, key), value)
        for key in old:
            if key not in new:
                document.remove((*path, key))
    elif is_list(old) and is_list(new) and parts == len(old) and old and new:
        _update_list(document, path, old, new)
    else:
        document.set(path, new)


def _update_list(document: Document, path: KeyPath, old: Sequence[Written], new: Sequence[Written]) -> None:
    """Change a list from its end, so that indexes hold; there is always an item left."""
    matcher = difflib.SequenceMatcher(None, [_name(item) for item in old], [_name(item) for item in new], False)
    for tag, a, b, c, d in reversed(matcher.get_opcodes()):
        if tag == "equal":
            continue
        both = min(b - a, d - c)
        for number in range(a + both, b)[::-1]:
            document.remove((*path, number))
        for number, item in enumerate(new[c + both : d], a + both):
            document.insert(path, item, number if number < _parts(document, path) else None)
        for number in range(both):
            _update(document, (*path, a + number), old[a + number], new[c + number])


def _parts(document: Document, path: KeyPath) -> int:
    """Return of how many parts a value consists if it stands in several lines; else 0."""
    try:
        node = document.node(path)
    except CannotEdit:
        return 0
    if not isinstance(node, yaml.CollectionNode):
        return 0
    is_one_line = node.flow_style and document.line_of(document.end_of(node)) == node.start_mark.line
    return 0 if is_one_line else len(node.value)


def _name(value: Written) -> str:
    return json.dumps(value)
