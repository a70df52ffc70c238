"""Read a configuration file. All errors are reported at once, each with its place, and none holds a secret."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from qguardarr.config import checks
from qguardarr.config.environment import Overrides, variable_of
from qguardarr.config.outline import LISTED, known_keys
from qguardarr.config.schema import Config
from qguardarr.config.source import ALIAS, ENTRIES, Source, shown_key
from qguardarr.config.starter import starter_file
from qguardarr.config.validators import TextError
from qguardarr.errors import ConfigError, Fault, InvalidValue, KeyPath
from qguardarr.smallfile import is_missing, read_small

CATCH_ALL: Final = ({"id": "default", "pattern": ".*", "max_upload_speed": -1},)
"""The rules of a configuration that has none."""
_MOST_BYTES: Final = 1024 * 1024
"""A thousand rules are a tenth of that."""
_MOST_FAULTS: Final = 50
"""A person corrects no more at a time."""
_MOST_CERTIFICATES: Final = 8 * 1024 * 1024
_TELLING: Final = 4
"""Characters of a key from which on a longer setting that holds it may be meant."""
_FIRST_START: Final = "`qguardarr init` asks a few questions and writes one"
_PLAIN: Final = {
    "missing": ("is missing", "add it"),
    "string_too_short": ("must not be empty", ""),
    "string": ("must be a text", "put it in quotes"),
    "int": ("must be a whole number", ""),
    "float": ("must be a number", ""),
    "finite": ("must be a number", ""),
    "bool": ("must be true or false", ""),
    "model": ("must be a mapping", "write 'key: value' lines, indented below it"),
    "dict": ("must be a mapping", "write 'key: value' lines, indented below it"),
    "tuple": ("must be a list", "start each item with '- '"),
}
"""Reason and hint, by the type of pydantic's error or its first word."""
_CA_HINT: Final = "give the path of a PEM file; a relative one starts at the folder of this file"


class Origin(NamedTuple):
    """Where a value comes from."""

    line: int | None
    """In the file; None: the environment."""
    variables: tuple[str, ...]
    """That gave it, or that the file refers to."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and the origin of each value."""

    config: Config
    source: Source
    """The file, or the text that stands in for a missing one."""
    overrides: Overrides
    """The environment."""
    stands_in: bool = False
    """Whether the text of a first file stood in for a missing one."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return remarks about settings that are legal but may surprise, and about variables without effect."""
        notes = tuple(self._as_written(note) for note in self.config.notes)
        referred_to = {name for names in self.source.from_environment.values() for name in names}
        if not self.overrides.has_unused_url or "QBIT_URL" in referred_to:
            return notes
        reason = "QBIT_URL has no effect, since the file itself says where qBittorrent is"
        return (*notes, f"{reason}; QGUARDARR__QBITTORRENT__URL would take precedence")

    def _as_written(self, note: str) -> str:
        """Return a remark with the name that the file has for the list of groups."""
        head = f"{ENTRIES}: "
        return f"{self.source.key_of_entries}: {note.removeprefix(head)}" if note.startswith(head) else note

    def placed(self, fault: Fault, name: str) -> Fault:
        """Return a fault with its place: a line of the file, which is called `name`, or a variable."""
        return _placed(fault, self.source, self.overrides, name)

    def origin(self, path: KeyPath) -> Origin | None:
        """Return where the value of a setting comes from; None if it has its default."""
        inside = self.overrides.origin(path)
        if inside is not None:
            return Origin(None, (self.overrides.variables[inside],))
        if self.stands_in or path not in self.source.lines or self.overrides.covers(path):
            return None
        return Origin(self.source.lines[path], tuple(self.source.from_environment.get(path, ())))


def read(
    path: Path | str,
    environment: Mapping[str, str] | None = None,
    *,
    stand_in: bool = False,
    sections: Collection[str] = (),
) -> Loaded:
    """Return the configuration of a file and the environment. Raises `ConfigError` with every fault.

    Args:
        path: Of the file.
        environment: Variables; None: those of this process.
        stand_in: A missing file reads as a first file would.
        sections: Read these alone, and take defaults and one unlimited rule for all others, which may be missing or
            have errors: a newcomer has no trackers yet, and a rollback must work while the file is being edited.
    """
    stands_in = stand_in and is_missing(path)
    text = starter_file() if stands_in else read_text(path)
    loaded = reads(text, str(path), environment, folder=Path(path).absolute().parent, sections=sections)
    return replace(loaded, stands_in=stands_in)


def _full(path: Path | str) -> Path:
    try:
        return Path(path).absolute()
    except OSError:  # the working directory was deleted
        return Path(path)


def read_text(path: Path | str) -> str:
    """Return the text of a configuration file. Raises `ConfigError`."""
    try:
        data = read_small(path, _MOST_BYTES)
    except FileNotFoundError:
        hint = f"give its path, with --config or as QGUARDARR_CONFIG; {_FIRST_START}"
        raise ConfigError("there is no such file", place=str(_full(path)), hint=hint) from None
    except PermissionError:
        hint = "make the file readable, and its folders accessible, for the user who runs Qguardarr"
        raise ConfigError("may not be read by this user", place=str(path), hint=hint) from None
    except OSError as error:
        reason = f"cannot be read: {error.strerror or 'unknown reason'}"
        hint = "give the path of the file, with --config or as QGUARDARR_CONFIG"
        raise ConfigError(reason, place=str(path), hint=hint) from None
    return decoded(data, path)


def decoded(data: bytes, path: Path | str) -> str:
    """Return the content of the file at `path` as text. Raises `ConfigError`."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(faults=[Fault((), "not UTF-8 text", "save the file as UTF-8", str(path), line)]) from None


def reads(
    text: str,
    name: str,
    environment: Mapping[str, str] | None = None,
    *,
    folder: Path | None = None,
    sections: Collection[str] = (),
) -> Loaded:
    """Return the configuration in a text, as `read` does.

    `name` stands for the file in messages; relative paths start at `folder`.
    """
    environment = os.environ if environment is None else environment
    source, overrides = Source(text, environment), Overrides(environment, folder)
    found = [fault._replace(file=name) for fault in source.faults if not overrides.covers(fault.path)]
    if sections:
        found = [fault for fault in found if not fault.path or fault.path[0] in sections]
    config, broken = None, {fault.path for fault in found}
    if source.value is not None or not found:
        config, faults = _check(source, overrides, folder, sections)
        found += [
            _placed(fault, source, overrides, name, tells_value=tells_value)
            for fault, tells_value in faults
            if fault.path not in broken or overrides.origin(fault.path)
        ]
    ours = tuple(map(variable_of, zip(sections))) or ("",)
    told = [fault for fault in overrides.faults if str(fault.path[0]).startswith(ours)]
    told += sorted(found, key=lambda fault: fault.line or 0)
    if told or config is None:
        if len(told) > _MOST_FAULTS:
            told[_MOST_FAULTS:] = [Fault((), "… and more errors than these", file=name)]
        raise ConfigError(faults=told)
    return Loaded(config, source, overrides)


def _check(
    source: Source, overrides: Overrides, folder: Path | None, sections: Collection[str]
) -> tuple[Config | None, list[tuple[Fault, bool]]]:
    """Return the configuration if it has no faults, and the faults, each with whether its message may hold the
    value."""
    values = source.value
    if values is None:
        return None, [(Fault((), "the file is empty", f"remove it, and {_FIRST_START}"), False)]
    if not isinstance(values, dict):
        return None, [(Fault((), "not a mapping of sections", f"start again: {_FIRST_START}"), False)]
    # A section whose lines are all commented out is null to YAML.
    values = {key: {} if value is None and key != ENTRIES else value for key, value in values.items()}
    faults: list[tuple[Fault, bool]] = []
    values = overrides.over(values)
    if LISTED in values:
        faults.append((unknown_key((LISTED,)), False))
    listed = isinstance(values.get("qbittorrent"), list)
    if listed:
        values[LISTED] = values.pop("qbittorrent")
    if sections:
        wanted = (*sections, LISTED) if "qbittorrent" in sections else sections
        values = {"trackers": CATCH_ALL, **{key: values[key] for key in wanted if key in values}}
    config = None
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        faults += [_fault(item) for item in details[: _MOST_FAULTS + 1]]
    faults += [(fault, False) for fault in checks.cross_faults(values)]
    if config is not None and folder is not None:
        config = config.anchored(folder)
    for number, server in enumerate(() if config is None else config.servers.values()):
        if server.ca_file is not None:
            place: KeyPath = (LISTED, number) if listed else ("qbittorrent",)
            faults += [(fault, False) for fault in _certificate_faults((*place, "ca_file"), server.ca_file)]
    if not listed:
        return config, faults
    return config, [(_as_written(fault), tells_value) for fault, tells_value in faults]


def _as_written(fault: Fault) -> Fault:
    """Return a fault with the key of the file in place of the schema's."""
    return fault._replace(path=("qbittorrent", *fault.path[1:])) if fault.path[:1] == (LISTED,) else fault


def _placed(fault: Fault, source: Source, overrides: Overrides, name: str, *, tells_value: bool = False) -> Fault:
    """Return a fault with its place. `tells_value`: its message may hold the value, which a variable may have given."""
    named = overrides.named(fault, tells_value=tells_value)
    if named is not None:
        return named
    if tells_value and (names := source.from_environment.get(fault.path)):
        variables = ", ".join("${" + variable + "}" for variable in names)
        reason = f"the value of {variables} does not fit here (it is not shown)"
        fault = Fault(fault.path, reason, "set it to a value that does")
    line = source.line(fault.path)
    if source.key_of_entries != ENTRIES and fault.path[:1] == (ENTRIES,):
        reason = fault.reason.replace(f"{ENTRIES}[", f"{source.key_of_entries}[")
        fault = fault._replace(path=(source.key_of_entries, *fault.path[1:]), reason=reason)
    return fault._replace(file=name, line=line)


def _certificate_faults(place: KeyPath, path: Path) -> Iterator[Fault]:
    try:
        read_small(path, _MOST_CERTIFICATES)
    except FileNotFoundError:
        yield Fault(place, "there is no such file", _CA_HINT)
    except OSError as error:
        words = f"cannot be read: {error.strerror or 'unknown reason'}"
        yield Fault(place, words, "give the path of a PEM file that this user may read")


def _fault(error: ErrorDetails) -> tuple[Fault, bool]:
    """Return a fault, and whether its message may hold the value."""
    if error["type"] == "value_error":
        cause = error.get("ctx", {})["error"]
        reason, hint = (cause.reason, cause.hint) if isinstance(cause, InvalidValue) else (str(cause), "")
        return Fault(error["loc"], reason, hint), not isinstance(cause, TextError)
    path, kind = error["loc"], error["type"]
    if kind == "extra_forbidden":
        return unknown_key(path), False
    if kind == "literal_error":
        return Fault(path, "is not one of the values known here", f"write {error['ctx']['expected']}"), False
    if kind.startswith(("greater_than", "less_than")):
        return Fault(path, f"must be {error['msg'].removeprefix('Input should be ')}"), False
    reason, hint = _PLAIN.get(kind) or _PLAIN.get(kind.partition("_")[0]) or ("has the wrong type", "")
    return Fault(path, reason, hint), False


def unknown_key(path: KeyPath) -> Fault:
    """Return the fault of a path that no setting has."""
    key = str(path[-1])
    shown = (*path[:-1], shown_key(key))
    if ":" in key:
        return Fault(shown, "is not a setting", "put a space behind the colon")
    here = known_keys(path[:-1])
    also = [ALIAS] if len(path) == 1 else []
    longer = [known for known in here if len(key) >= _TELLING and key.lower() in known]
    if close := dict.fromkeys([*longer, *difflib.get_close_matches(key.lower(), [*here, *also], 1)]):
        return Fault(shown, "is not a setting", f"did you mean {' or '.join(map(repr, close))}?")
    homes = [section for section in known_keys(()) if key in known_keys((section,)) and path[:-1] != (section,)]
    hint = f"it belongs under '{homes[0]}'" if homes else f"known here: {', '.join(here)}"
    return Fault(shown, "is not a setting here", hint)
