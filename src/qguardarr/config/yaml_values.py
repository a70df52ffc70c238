"""Write values as YAML, so that they mean themselves: in one line, or as a block of lines where one is not enough."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias, TypeGuard

import yaml

from qguardarr.config.starter import quoted

Plain: TypeAlias = str | int | float | bool | None
Written: TypeAlias = "Plain | Sequence[Written] | Mapping[str, Written]"
"""A value to write: a scalar, a list, or a mapping."""

_WIDTH: Final = 100
"""Columns that a line may have before a list or a mapping becomes a block."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_./ -]*[A-Za-z0-9_./-])?(?:://[A-Za-z0-9_./:~-]+)?")


def value_text(value: Written, parent: yaml.Node | None, like: yaml.Node | None = None) -> str:
    """Return a value as YAML. `parent`: what it is put into; in JSON it is JSON. `like`: the one that it replaces."""
    if isinstance(parent, yaml.CollectionNode) and parent.flow_style and _is_json(parent):
        return json.dumps(_escaped(value), ensure_ascii=False)
    return _flow(value, like.style if isinstance(like, yaml.ScalarNode) else None)


def block_lines(value: Written, column: int) -> list[str]:
    """Return the lines of a list or a mapping that stands below its key. The items of a list stand in one line each."""
    indent = " " * column
    if isinstance(value, Mapping):
        return [line for key, inner in value.items() for line in key_lines(key, inner, column)]
    assert is_list(value)
    return [f"{indent}- {_flow(item)}" for item in value]


def key_lines(key: str, value: Written, column: int) -> list[str]:
    """Return a key and its value as lines: one if the value is short, or those of a block."""
    if is_block(value, column + len(key) + 2):
        return [f"{' ' * column}{key}:", *block_lines(value, column + 2)]
    return [f"{' ' * column}{key}: {setting_text(key, value)}"]


def is_block(value: Written, column: int) -> bool:
    """Tell whether a value that would begin at this column is better written as a block: a list of mappings, or a long
    one."""
    if is_list(value) and any(isinstance(item, Mapping) or is_list(item) for item in value):
        return True
    return bool(value) and (isinstance(value, Mapping) or is_list(value)) and column + len(_flow(value)) > _WIDTH


def is_list(value: object) -> TypeGuard[Sequence[Written]]:
    """Tell whether a value is a list; a text is none."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def _flow(value: Written, style: str | None = None) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if is_list(value):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    assert not isinstance(value, Sequence) or isinstance(value, str)
    return written(value, style)


def setting_text(key: str, value: Written, parent: yaml.Node | None = None, like: yaml.Node | None = None) -> str:
    """Return the value of a key as YAML: a pattern always in quotes, as people should write it."""
    text = value_text(value, parent, like)
    return quoted(value) if key == "pattern" and isinstance(value, str) and text[:1] not in "\"'" else text


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


def _escaped(value: Written) -> Written:
    """Return a value whose texts mean themselves where `${` begins a reference."""
    if isinstance(value, str):
        return re.sub(r"\$(?=\{[^}]{0,200}\})", "$$", value)
    if isinstance(value, Mapping):
        return {key: _escaped(inner) for key, inner in value.items()}
    if is_list(value):
        return [_escaped(inner) for inner in value]
    return value


def _is_json(node: yaml.CollectionNode) -> bool:
    scalars = list(_scalars(node))
    return any(s.style == '"' for s in scalars) and all(s.style == '"' for s in scalars if s.tag.endswith(":str"))


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    for inner in node.value if isinstance(node, yaml.CollectionNode) else ():
        for each in inner if isinstance(inner, tuple) else (inner,):
            yield from _scalars(each)
