"""List the settings of the schema: their keys, which are lists, and which are secrets."""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from qguardarr.config.schema import Config
from qguardarr.errors import KeyPath

LISTED: Final = "qbittorrents"
"""The field for the list that the section `qbittorrent` may be; no key of the file."""


class Setting(NamedTuple):
    """A setting that stands by itself: a field of a section, or a whole list."""

    path: tuple[str, ...]
    """Its keys in the file, such as `("global", "uplink")`."""
    structured: bool
    """Whether its value is a list or a mapping."""
    secret: bool
    """Whether its value, or a part of it, is never shown."""


def settings(model: type[BaseModel] = Config, path: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Yield all settings. A section that a word may replace (`auth: none`) is one as well."""
    for name, field in model.model_fields.items():
        if name == LISTED:
            continue
        here = (*path, field.alias or name)
        kinds = list(_kinds(field.annotation))
        section = model_in(field.annotation)
        structured = tuple in kinds
        if section is not None and not structured and path:  # one value, as a list of sections is
            yield Setting(here, structured=True, secret=False)
        elif section is not None and not structured:
            if type(None) in kinds:
                yield Setting(here, structured=False, secret=False)
            yield from settings(section, here)
        else:
            yield Setting(here, structured=structured, secret=SecretStr in kinds)


def known_keys(path: Iterable[str | int]) -> list[str]:
    """Return the keys that are allowed at a path of the file."""
    model: type[BaseModel] = Config
    for step in path:
        if isinstance(step, int):
            continue
        field = next((f for name, f in model.model_fields.items() if step in (name, f.alias)), None)
        inner = model_in(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items() if name != LISTED]


def field_at(path: Sequence[str | int]) -> FieldInfo | None:
    """Return the schema's field at a path; None if there is none."""
    model: type[BaseModel] = Config
    found: FieldInfo | None = None
    for step in path:
        if isinstance(step, int):
            continue
        found = next((f for name, f in model.model_fields.items() if step in (name, f.alias)), None)
        if found is None:
            return None
        model = model_in(found.annotation) or model
    return found


@functools.cache
def takes_mappings(path: KeyPath) -> bool:
    """Tell whether the value of a setting may be a mapping, or hold some."""
    field = field_at(path)
    return field is not None and any(
        kind is dict or (isinstance(kind, type) and issubclass(kind, BaseModel)) for kind in _kinds(field.annotation)
    )


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the pydantic model inside a type annotation (`X`, `X | None`); None if there is none."""
    for candidate in (annotation, *typing.get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _kinds(annotation: Any) -> Iterator[Any]:
    yield typing.get_origin(annotation) or annotation
    for argument in typing.get_args(annotation):
        yield from _kinds(argument)
