"""Write `src/qguardarr/api/settings.json`: help, type, unit, default and bounds of all settings, out of the schema.

python -m docs.settings_help
"""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from qguardarr.config.edit import FILE_ONLY, FILE_ONLY_HINT
from qguardarr.config.outline import model_in, takes_mappings
from qguardarr.config.schema import Config
from qguardarr.core.units import limit_or_minus_one, parse_speed
from qguardarr.engine.setting_help import SchemaHelp, SectionHelp, SettingHelp, SettingKind

DEFAULT: Final = re.compile(r"\s*(?:Default:? (?P<value>.*?)\.?|(?P<none>No default)\.)$", re.DOTALL)
"""The end of a setting's docstring."""

_UNITS: Final = {
    "global.update_interval": "s",
    "global.rollout_percentage": "%",
    "global.active_torrent_threshold_kb": "KiB/s",
    "global.cache_ttl_seconds": "s",
    "qbittorrent.timeout": "s",
    "notifications.after": "s",
    "notifications.repeat": "s",
    "cross_seed.timeout": "s",
    "rollback.retention_days": "days",
    "logging.max_size_mb": "MiB",
}
"""Of numbers that have one, besides speeds."""


FILE: Final = Path(__file__).parents[1] / "src" / "qguardarr" / "api" / "settings.json"


def text() -> str:
    """Return the content of the file that the daemon serves."""
    return json.dumps(json.loads(msgspec.json.encode(schema_help())), indent=1, ensure_ascii=False) + "\n"


def schema_help() -> SchemaHelp:
    """Return the description of all settings."""
    return SchemaHelp(sections=list(_sections()), settings=list(_settings()))


def _sections() -> Iterator[SectionHelp]:
    for name, field in Config.model_fields.items():
        section = model_in(field.annotation)
        assert section is not None, f"{name} is no section"
        meaning = (section.__doc__ or "").partition("\n\n")[0]
        yield SectionHelp(name=field.alias or name, help=" ".join(meaning.split()))


def _settings() -> Iterator[SettingHelp]:
    for name, field in Config.model_fields.items():
        section = model_in(field.annotation)
        assert section is not None, f"{name} is no section"
        key = field.alias or name
        for name_inside, setting in section.model_fields.items():
            inner = setting.alias or name_inside
            path = (key, "*", inner) if key == "trackers" else (key, inner)
            yield _described(path, setting, section)


def _described(path: tuple[str, ...], field: FieldInfo, section: type[BaseModel]) -> SettingHelp:
    meaning = " ".join((field.description or "").split())
    found = DEFAULT.search(meaning)
    assert found, f"{section.__name__}.{path[-1]} does not end with its default"
    name = ".".join(path).replace(".*", "[]")
    kinds, kind, also = list(_kinds(field.annotation)), _type(path, field), None
    choices = tuple(str(v) for k in kinds if typing.get_origin(k) is Literal for v in typing.get_args(k))
    if kind in ("choice", "choices", "structure") and int in kinds:
        also = "speed"
    is_file = kind == "path"
    restart = path == ("rollback", "database_path")
    hint = "stop Qguardarr, move its files, and change it in the file" if restart else FILE_ONLY_HINT
    return SettingHelp(
        setting=name,
        path=path,
        section=path[0],
        help=meaning[: found.start()],
        type=kind,
        also=typing.cast("SettingKind | None", also),
        unit="bytes/s" if kind == "speed" else _UNITS.get(name, ""),
        default=_default(field, kind),
        default_text="" if found["none"] else found["value"],
        choices=choices,
        min=_bound(field, "ge", "gt"),
        max=_bound(field, "le", "lt"),
        secret=kind in ("secret", "secrets"),
        required=field.is_required(),
        restart=restart,
        editable=not is_file,
        why_not=f"{FILE_ONLY}; {hint}" if is_file else "",
    )


def _type(path: tuple[str, ...], field: FieldInfo) -> SettingKind:
    kinds = list(_kinds(field.annotation))
    several = tuple in kinds
    if SecretStr in kinds:
        return "secrets" if several else "secret"
    if takes_mappings(tuple(0 if step == "*" else step for step in path)):
        return "structure"
    if any(typing.get_origin(kind) is Literal for kind in kinds):
        return "choices" if several else "choice"
    if Path in kinds:
        return "path"
    if several:
        return "texts"
    if any(getattr(mark, "func", None) is parse_speed for mark in field.metadata):
        return "speed"
    return "boolean" if bool in kinds else "number" if float in kinds else "integer" if int in kinds else "text"


def _default(field: FieldInfo, kind: SettingKind) -> Any:
    value = field.default
    if value is PydanticUndefined or value is None:
        return None
    if kind == "speed":
        return limit_or_minus_one(value)
    if isinstance(value, tuple):
        return [str(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _bound(field: FieldInfo, *names: str) -> float | None:
    values = (getattr(mark, name, None) for mark in _marks(field) for name in names)
    return next((float(value) for value in values if value is not None), None)


def _marks(field: FieldInfo) -> Iterator[Any]:
    for mark in field.metadata:
        yield mark
        yield from getattr(mark, "metadata", ())


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and all that it is made of, without its marks. A `Literal` is one."""
    origin = typing.get_origin(annotation)
    yield annotation if origin in (None, Literal) else origin
    if origin is Literal:
        return
    for argument in typing.get_args(annotation):
        if argument is not Ellipsis:
            yield from _kinds(argument)


if __name__ == "__main__":
    FILE.write_text(text())
