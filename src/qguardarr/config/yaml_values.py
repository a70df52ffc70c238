"""Write values as YAML, in one line, so that they mean themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

import yaml

from qguardarr.config.starter import quoted

Plain: TypeAlias = str | int | float | bool | None
Written: TypeAlias = Plain | Sequence["Written"] | Mapping[str, "Written"]
"""A value to write: a scalar, a list, or a mapping."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_./ -]*[A-Za-z0-9_./-])?(?:://[A-Za-z0-9_./:~-]+)?")


def value_text(value: Written, parent: yaml.Node | None, like: yaml.Node | None = None) -> str:
    """Return a value as YAML. `parent`: what it is put into; in JSON it is JSON. `like`: the one that it replaces."""
    if isinstance(parent, yaml.CollectionNode) and parent.flow_style and _is_json(parent):
        return json.dumps(_escaped(value), ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {value_text(inner, None)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(value_text(inner, None) for inner in value) + "]"
    return written(value, like.style if isinstance(like, yaml.ScalarNode) else None)


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
    if isinstance(value, Sequence):
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
