"""Reads a configuration file. All that is wrong with it is reported at once, with its place, without secrets."""

from __future__ import annotations

import difflib
import os
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from qguardarr.config import checks
from qguardarr.config.checks import Fault
from qguardarr.config.schema import Config
from qguardarr.config.source import Source, shown_key
from qguardarr.config.texts import TextError
from qguardarr.errors import ConfigError
from qguardarr.smallfile import read_small

_MOST_BYTES: Final = 1024 * 1024
"""A thousand rules are a tenth of that."""
_MOST_FAULTS: Final = 50
"""More help nobody."""
_MOST_CERTIFICATES: Final = 8 * 1024 * 1024
_EXAMPLE: Final = "config/qguardarr.example.yaml"
_CA_MEND: Final = "give the path of a PEM file; a relative one starts at the folder of this file"


def load(path: Path | str, environment: Mapping[str, str] | None = None) -> Config:
    """The configuration in a file; ConfigError lists every fault."""
    return loads(read_text(path), str(path), environment, folder=Path(path).absolute().parent)


def _full(path: Path | str) -> Path:
    try:
        return Path(path).absolute()
    except OSError:  # the working directory was deleted
        return Path(path)


def read_text(path: Path | str) -> str:
    """The text of a configuration file. ConfigError."""
    try:
        data = read_small(path, _MOST_BYTES)
    except FileNotFoundError:
        raise ConfigError(
            f"{_full(path)}: there is no such file. hint: give its path, with --config or as "
            f"QGUARDARR_CONFIG; at the first start, copy {_EXAMPLE} there and adapt it"
        ) from None
    except PermissionError:
        raise ConfigError(
            f"{path}: may not be read by this user. hint: make the file readable, and its folders accessible, for the "
            "user who runs Qguardarr"
        ) from None
    except OSError as error:
        mend = "give the path of the file, with --config or as QGUARDARR_CONFIG"
        raise ConfigError(f"{path}: cannot be read: {error.strerror or 'unknown reason'}. hint: {mend}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text. hint: save the file as UTF-8") from None


def loads(
    text: str,
    name: str = "configuration",
    environment: Mapping[str, str] | None = None,
    *,
    folder: Path | None = None,
) -> Config:
    """The configuration in a text; `name` stands for the file in messages. `folder`: where relative paths start."""
    source = Source(text, os.environ if environment is None else environment)
    found = list(zip(source.fault_lines, source.faults, strict=True))
    config = None
    if not (found and source.value is None):
        config, faults = _check(source, folder)
        broken = {fault.path for _, fault in found}
        found += [(source.line(fault.path), fault) for fault in faults if fault.path not in broken]
    if found or config is None:
        found.sort(key=lambda item: item[0])
        lines = [f"{name}:{line}: {fault}" for line, fault in found[:_MOST_FAULTS]]
        if len(found) > _MOST_FAULTS:
            lines.append(f"{name}: … and more faults than these")
        raise ConfigError("\n".join(lines))
    return config


def _check(source: Source, folder: Path | None) -> tuple[Config | None, list[Fault]]:
    values = source.value
    if values is None:
        return None, [Fault((), "the file is empty", f"start from {_EXAMPLE}")]
    if not isinstance(values, dict):
        return None, [Fault((), "not a mapping of sections", f"start from {_EXAMPLE}")]
    # A section whose lines are all commented out is null to YAML.
    values = {key: {} if value is None and key != "trackers" else value for key, value in values.items()}
    config, faults = None, []
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        faults = [_fault(item, source) for item in details[: _MOST_FAULTS + 1] if item["type"] != "inconsistent"]
    faults += checks.cross_faults(values)
    if config is not None and folder is not None:
        config = config.anchored(folder)
    if config is not None and config.qbittorrent.ca_file is not None:
        faults += _certificate_faults(config.qbittorrent.ca_file)
    return config, faults


def _certificate_faults(path: Path) -> Iterator[Fault]:
    try:
        read_small(path, _MOST_CERTIFICATES)
    except FileNotFoundError:
        yield Fault(("qbittorrent", "ca_file"), "there is no such file", _CA_MEND)
    except OSError as error:
        words = f"cannot be read: {error.strerror or 'unknown reason'}"
        yield Fault(("qbittorrent", "ca_file"), words, "give the path of a PEM file that this user may read")


def _discreet(fault: Fault, source: Source) -> Fault:
    """The fault without words that may hold a value from the environment."""
    names = source.from_environment.get(fault.path)
    if not names:
        return fault
    variables = ", ".join("${" + name + "}" for name in names)
    return Fault(
        fault.path, f"what {variables} holds does not fit here (it is not shown)", "set it to a value that does"
    )


def _fault(error: ErrorDetails, source: Source) -> Fault:
    path = error["loc"]
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(path)
        case "missing":
            return Fault(path, "is missing", "add it")
        case "value_error":
            fault = Fault(path, *_split(str(context["error"])))
            return fault if isinstance(context["error"], TextError) else _discreet(fault, source)
        case "literal_error":
            return Fault(path, "is not one of the values known here", f"write {context['expected']}")
        case "string_type" | "string_sub_type":
            return Fault(path, "must be a text", "put it in quotes")
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return Fault(path, "must be a whole number")
        case "float_parsing" | "float_type" | "finite_number":
            return Fault(path, "must be a number")
        case "bool_parsing" | "bool_type":
            return Fault(path, "must be true or false")
        case "model_type" | "model_attributes_type" | "dict_type":
            return Fault(path, "must be a mapping", "write 'key: value' lines, indented below it")
        case "tuple_type" | "list_type":
            return Fault(path, "must be a list", "start each item with '- '")
        case "string_too_short":
            return Fault(path, "must not be empty")
        case "greater_than_equal" | "greater_than" | "less_than_equal" | "less_than":
            return Fault(path, f"must be {error['msg'].removeprefix('Input should be ')}")
        case _:
            return Fault(path, "has the wrong type")


def _split(message: str) -> tuple[str, str]:
    """Our own messages put the mend behind the last '; write '."""
    what, found, mend = message.rpartition("; write ")
    return (what, f"write {mend}") if found else (message, "")


def _unknown_key(path: tuple[str | int, ...]) -> Fault:
    key = str(path[-1])
    shown = (*path[:-1], shown_key(key))
    if ":" in key:
        return Fault(shown, "is not a setting", "put a space behind the colon")
    here = known_keys(path[:-1])
    close = difflib.get_close_matches(key.lower(), here, 1)
    if close:
        return Fault(shown, "is not a setting", f"did you mean '{close[0]}'?")
    homes = [section for section in known_keys(()) if len(path) != 2 or section != path[0]]
    homes = [section for section in homes if key in known_keys((section,))]
    if homes:
        return Fault(shown, "is not a setting here", f"it belongs under '{homes[0]}'")
    return Fault(shown, "is not a setting", f"known here: {', '.join(here)}")


def known_keys(path: Iterable[str | int]) -> list[str]:
    """Keys that may stand at a path of the file."""
    model: type[BaseModel] = Config
    for step in path:
        if isinstance(step, int):
            continue
        field = next((f for name, f in model.model_fields.items() if step in (name, f.alias)), None)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *typing.get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
