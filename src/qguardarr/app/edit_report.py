"""Reports on edits of the configuration: settings as they are, faults, what a change brings. No text holds a secret."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from qguardarr.app.read_settings import places_of_secret_variables, secret_variables
from qguardarr.config.document import Document
from qguardarr.config.edit import why_locked
from qguardarr.config.edit_values import value_at
from qguardarr.config.load import Loaded
from qguardarr.config.marked_text import CannotEdit
from qguardarr.config.masked import hidden_parts, is_reference
from qguardarr.config.outline import settings, takes_mappings
from qguardarr.config.redacted import MASK, redacted
from qguardarr.config.schema import Config
from qguardarr.config.source import ALIAS, ENTRIES, Source
from qguardarr.engine.editing import Consequence, EditFault, SettingState
from qguardarr.engine.origins import dotted, leaves
from qguardarr.errors import Fault, KeyPath, sentence

_SECRETS: Final = frozenset(setting.path for setting in settings() if setting.secret)
_LONGEST: Final = 500
"""Characters of a value as it stands in the file."""


class Plan(NamedTuple):
    """What edits make of the file."""

    before: bytes | None
    text: str
    """Of the file before."""
    after: str
    faults: tuple[EditFault, ...]
    old: Config | None
    new: Loaded | None
    places: tuple[KeyPath, ...]
    """Settings that were edited."""
    secrets: Collection[str]


def setting_states(loaded: Loaded, text: str, secrets: Collection[str], *, exists: bool) -> Iterator[SettingState]:
    source = loaded.source
    tree = redacted(loaded.config, secret_variables(source), places_of_secret_variables(source))
    document = Document(text)
    hidden = hidden_parts(document) if exists else []
    for path, value in _settings(msgspec.json.decode(tree)):
        origin = loaded.origin(path) if exists or loaded.overrides.origin(path) else None
        locked = why_locked(path, loaded.overrides, source)
        raw, is_secret = None, False
        if exists and document.has(path):
            begin, end = document.span(path)
            raw, is_hidden = text[begin:end], any(begin < part.end and part.begin < end for part in hidden)
            if is_hidden or (path[:2] in _SECRETS and not is_reference(raw)):
                raw = MASK
            raw = raw[:_LONGEST] + "…" if len(raw) > _LONGEST else raw
            is_secret = is_hidden and value in secrets
        else:  # an alias, or merged
            is_secret = origin is not None and origin.line is not None and value in secrets
        yield SettingState(
            setting=dotted(path),
            path=_id_path(path, loaded.config),
            value=MASK if is_secret else value,
            written=raw,
            plain=_plain(path, source) if exists and raw != MASK and not is_secret else None,
            source="default" if origin is None else "environment" if origin.line is None else "file",
            line=None if origin is None else origin.line,
            variables=() if origin is None else origin.variables,
            editable=locked is None,
            why_not="" if locked is None else sentence(locked[0], hint=locked[1]),
        )


def _settings(tree: Any) -> Iterator[tuple[KeyPath, Any]]:
    """Yield path and value of each setting, as edits set them: mappings and lists of mappings as a whole."""
    before: KeyPath = ()
    for path, value in leaves(tree):
        whole = path[: 3 if path[0] == "trackers" else 2]
        if len(path) == len(whole) or not takes_mappings(whole):
            yield path, value
        elif whole != before:
            before = whole
            yield whole, value_at(tree, whole)


def _plain(path: KeyPath, source: Source) -> Any:
    if not takes_mappings(path) or any(key[: len(path)] == path for key in source.from_environment):
        return None
    value = value_at(source.value, path)
    return value if isinstance(value, dict | list) else None


def _id_path(path: KeyPath, config: Config) -> KeyPath:
    if path[:1] == ("trackers",) and len(path) > 1:
        return ("trackers", config.trackers[int(path[1])].id, *path[2:])
    return path


def _with_id(path: KeyPath, text: str) -> KeyPath:
    """Return a path with the id of the rule in place of its index, if the rule has one."""
    if path[:1] != ("trackers",) or len(path) < 2 or not isinstance(path[1], int):
        return path
    with suppress(CannotEdit):
        document = Document(text)
        begin, end = document.span(("trackers", path[1], "id"))
        return ("trackers", text[begin:end].strip("\"'"), *path[2:])
    return path


def _covers(place: KeyPath | None, path: KeyPath) -> bool:
    return place is not None and path[: len(place)] == place


def edit_fault(number: int, fault: Fault) -> EditFault:
    return EditFault(edit=number, path=fault.path, setting=dotted(fault.path), reason=fault.reason, hint=fault.hint)


def new_notes(plan: Plan) -> tuple[str, ...]:
    if plan.new is None:
        return ()
    before = () if plan.old is None else plan.old.notes
    return tuple(note for note in plan.new.notes if note not in before)


def consequences(plan: Plan) -> Iterator[Consequence]:
    if plan.new is None or plan.old is None:
        return
    old, new = plan.old, plan.new.config
    if old.auth != new.auth:
        yield "login"
    if (old.global_.host, old.global_.port, old.http) != (new.global_.host, new.global_.port, new.http):
        yield "address"
    if old.global_.dry_run and not new.global_.dry_run:
        yield "live"


def fault_row(fault: Fault, text: str | None, places: tuple[KeyPath | None, ...] = ()) -> EditFault:
    """Return a fault of a configuration. `places`: where each edit left its value, the later ones last."""
    path = (ENTRIES, *fault.path[1:]) if fault.path[:1] == (ALIAS,) else fault.path
    return EditFault(
        edit=next((n for n in reversed(range(len(places))) if _covers(places[n], path)), None),
        path=path if text is None else _with_id(path, text),
        setting=dotted(fault.path),
        reason=fault.reason,
        hint=fault.hint,
        line=fault.line,
    )
