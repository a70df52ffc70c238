"""Values of edits, and plain trees with them: what the file is to mean after an edit."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import yaml
from pydantic.fields import FieldInfo

from qguardarr.config.yaml_values import Plain, Written
from qguardarr.core.select.matcher import is_catch_all
from qguardarr.errors import KeyPath

_DEEPEST: Final = 4
"""Lists and mappings within each other in one value."""
_KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")


class RefusedEdit(Exception):
    """An edit that is not made. `reason` and `hint` are for a person."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint


def typed(value: Any, field: FieldInfo | None, *, may_nest: bool = False) -> Written:
    """Return the value of a setting as it is written. `may_nest`: it may hold mappings. Raises `RefusedEdit`."""
    return _typed(value, field, _DEEPEST if may_nest else 0)


def _typed(value: Any, field: FieldInfo | None, depth: int) -> Written:
    if isinstance(value, list) and field is not None:
        return [_typed(item, None, depth) for item in value]
    if depth and isinstance(value, list):
        return [_typed(item, None, depth - 1) for item in value]
    if depth and isinstance(value, dict):
        if not all(isinstance(key, str) and _KEY.fullmatch(key) for key in value):
            raise RefusedEdit("has keys that are no names of settings")
        return {key: _typed(inner, None, depth - 1) for key, inner in value.items()}
    return typed_scalar(value, field)


def typed_scalar(value: Any, field: FieldInfo | None) -> Plain:
    """Return a scalar as it is written: a number that came as text becomes one where the setting is no text."""
    if value is None or not isinstance(value, str | int | float | bool):
        raise RefusedEdit("must be a text, a number, true or false", "to have the default, remove the setting")
    if isinstance(value, float) and not math.isfinite(value):
        raise RefusedEdit("must be a number")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and field is not None and not _is_text(field):
        try:
            found = yaml.safe_load(value) if value.isascii() and len(value) < 40 else value
        except yaml.YAMLError:
            return value
        kinds = str(field.annotation)
        if isinstance(found, bool):
            return found if "bool" in kinds else value
        return found if isinstance(found, int | float) and ("int" in kinds or "float" in kinds) else value
    return value


def _is_text(field: FieldInfo) -> bool:
    kinds = str(field.annotation)
    return "str" in kinds.lower() and "Literal" not in kinds


def takes_all(pattern: str) -> bool:
    """Tell whether a rule with this pattern takes every torrent."""
    try:
        return is_catch_all(pattern) is not False
    except ValueError:
        return False


def value_at(tree: Any, path: KeyPath) -> Any:
    """Return what stands at a path; None if nothing does."""
    for step in path:
        if isinstance(tree, dict):
            tree = tree.get(step)
        elif isinstance(tree, list) and isinstance(step, int) and 0 <= step < len(tree):
            tree = tree[step]
        else:
            return None
    return tree


def put_value(tree: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Set a value; missing sections are made."""
    *way, last = path
    here: Any = tree
    for step in way:
        if isinstance(here, dict) and here.get(step) is None:
            here[step] = {}
        here = here[step]
    here[last] = list(value) if isinstance(value, tuple) else value


def drop_value(tree: dict[str, Any], path: KeyPath) -> None:
    """Remove a value. Raises `RefusedEdit` if there is none."""
    here = value_at(tree, path[:-1])
    try:
        del here[path[-1]]
    except (LookupError, TypeError):
        raise RefusedEdit("does not stand in the file", "it has its default already") from None


def tidy(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the sections without those that are empty, which mean the same as none. Numbers keep their kind."""
    return {key: value for key, value in tree.items() if value not in (None, {}, [])}
