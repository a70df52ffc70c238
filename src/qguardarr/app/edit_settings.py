"""Edit the configuration file: `python -m qguardarr.app.edit_settings FILE`, with an `EditOrder` on standard input.

A short-lived child of the daemon, as `read_settings` is. It prints a `FileState`, `Tried` or `Saved`, or ends with
`REFUSED` and a `Refusal`. Texts that it prints hold no secrets.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, NoReturn
from urllib.parse import urlsplit

import msgspec

from qguardarr.adapters.keys import hash_password
from qguardarr.app.config_store import ConfigFile, Versions, etag_of
from qguardarr.app.read_settings import places_of_secret_variables, secret_variables, secrets_of
from qguardarr.app.settings import FAULTY, REFUSED
from qguardarr.config.document import Document
from qguardarr.config.edit import Edit, edited, why_locked
from qguardarr.config.load import Loaded, decoded, reads
from qguardarr.config.marked_text import CannotEdit
from qguardarr.config.masked import difference, sections
from qguardarr.config.outline import settings
from qguardarr.config.redacted import MASK, redacted
from qguardarr.config.schema import Config
from qguardarr.config.starter import starter_file
from qguardarr.config.validators import is_password_hash
from qguardarr.engine.editing import (
    Consequence,
    EditFault,
    EditOrder,
    FileState,
    Refusal,
    RefusalKind,
    Saved,
    SettingState,
    Trial,
    Tried,
)
from qguardarr.engine.origins import dotted, leaves
from qguardarr.errors import ConfigError, Fault, KeyPath, sentence

_PASSWORD: Final = ("auth", "password")
_UNDO_NEEDS: Final = "GET /api/v1/config/file says what it is now"
_SECRETS: Final = frozenset(setting.path for setting in settings() if setting.secret)


class _Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class _Plan(NamedTuple):
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


class _Editor:
    def __init__(self, path: Path, order: EditOrder) -> None:
        self._path = path.absolute()
        self._order = order
        self._file = ConfigFile(self._path)
        self._versions = Versions(Path(order.database_path))

    # -- actions ------------------------------------------------------------------------------------------------------

    def read(self) -> FileState:
        content = self._content()
        text, why = self._text(content), self._file.why_read_only()
        state = FileState(
            file=str(self._path),
            exists=content is not None,
            etag=self._etag(content),
            writable=not why,
            why_not=why,
            undo=self._versions.state(content),
        )
        try:
            loaded = self._loaded(text)
        except ConfigError as error:
            return msgspec.structs.replace(state, faults=tuple(self._fault(fault, None) for fault in error.faults))
        return msgspec.structs.replace(
            state,
            rules=tuple(rule.id for rule in loaded.config.trackers),
            settings=tuple(_states(loaded, text, exists=content is not None)),
            notes=loaded.notes,
        )

    def trial(self) -> Tried:
        plan, why = self._plan(), self._file.why_read_only()
        trial = Trial(
            ok=not plan.faults,
            etag=self._etag(plan.before),
            writable=not why,
            why_not=why,
            faults=plan.faults,
            diff=self._difference(plan),
            yaml=self._yaml(plan) if why else "",
            notes=_new_notes(plan),
            consequences=tuple(_consequences(plan)),
        )
        return Tried(trial=trial, policy=None if plan.faults or plan.new is None else plan.new.config.policy())

    def save(self) -> Saved:
        plan = self._plan()
        if self._order.action == "user":
            self._check_no_user(plan)
        if plan.faults:
            reason = f"{plan.faults[0].setting}: {plan.faults[0].reason}"
            _refuse("faulty", reason, plan.faults[0].hint, faults=plan.faults)
        content = plan.after.encode()
        if content != plan.before:
            self._write(plan.before, content, self._yaml(plan))
        return Saved(
            etag=self._etag(content),
            diff=self._difference(plan),
            notes=_new_notes(plan),
            consequences=tuple(_consequences(plan)),
            undo=self._versions.state(content),
        )

    def undo(self) -> Saved:
        content = self._content()
        self._check_etag(content)
        state = self._versions.state(content)
        if content is None or not state.possible:
            _refuse("changed" if state.versions else "nothing-to-undo", state.why_not)
        try:
            path, before = self._versions.last(content)
        except (OSError, LookupError) as error:
            _refuse("nothing-to-undo", f"the earlier version cannot be read: {error}")
        text, after = content.decode("utf-8", "replace"), before.decode("utf-8", "replace")
        self._replace(before, "")
        with suppress(OSError):
            path.unlink()
        old, new = self._loaded_or_none(text), self._loaded_or_none(after)
        plan = _Plan(content, text, after, (), None if old is None else old.config, new, (), self._secrets(old, new))
        return Saved(
            etag=self._etag(before),
            diff=self._difference(plan),
            consequences=tuple(_consequences(plan)),
            undo=self._versions.state(before),
        )

    # -- reading ------------------------------------------------------------------------------------------------------

    def _content(self) -> bytes | None:
        try:
            content = self._file.read()
        except OSError as error:
            reason = f"cannot be read: {error.strerror or 'unknown reason'}"
            raise ConfigError(reason, place=str(self._path)) from None
        if content is None and not self._order.may_create:
            hint = "put it back; it was there when Qguardarr started"
            raise ConfigError("there is no such file", place=str(self._path), hint=hint)
        return content

    def _text(self, content: bytes | None) -> str:
        """Return the text with its byte order mark, if it has one."""
        if content is None:
            return starter_file()
        text = decoded(content, self._path)
        return f"\ufeff{text}" if content.startswith(b"\xef\xbb\xbf") else text

    def _etag(self, content: bytes | None) -> str:
        return etag_of(content, self._order.salt)

    def _check_etag(self, content: bytes | None) -> None:
        if self._order.etag is not None and self._order.etag != self._etag(content):
            _refuse("changed", "the configuration file was changed meanwhile", _UNDO_NEEDS)

    def _loaded(self, text: str) -> Loaded:
        return reads(text.removeprefix("\ufeff"), str(self._path), folder=self._path.parent)

    def _loaded_or_none(self, text: str) -> Loaded | None:
        try:
            return self._loaded(text)
        except ConfigError:
            return None

    def _secrets(self, *found: Loaded | None) -> tuple[str, ...]:
        return tuple(s for loaded in found if loaded for s in secrets_of(loaded.config, loaded.source))

    # -- editing ------------------------------------------------------------------------------------------------------

    def _plan(self) -> _Plan:
        content = self._content()
        self._check_etag(content)
        text = self._text(content)
        old = self._loaded_or_none(text)
        edits = [_hashed(Edit(step.op, step.path, step.value, step.before)) for step in self._order.edits]
        try:
            done = edited(text, edits, os.environ, self._path.parent)
        except CannotEdit:
            with_faults = self._faults(text, ())
            return _Plan(content, text, text, with_faults, None, None, (), ())
        faults = [_edit_fault(number, fault) for number, fault in done.refusals]
        new: Loaded | None = None
        try:
            new = self._loaded(done.text)
        except ConfigError as error:
            faults += [self._fault(fault, done.text, done.places) for fault in error.faults]
        if new is not None and old is not None:
            faults += _leaks(old.config, new.config)
        places = tuple(place for place in done.places if place is not None)
        paths = (*places, *(edit.path for edit in edits))
        own = None if old is None else old.config
        return _Plan(content, text, done.text, tuple(faults), own, new, paths, self._secrets(old, new))

    def _faults(self, text: str, places: Collection[KeyPath | None]) -> tuple[EditFault, ...]:
        try:
            self._loaded(text)
        except ConfigError as error:
            return tuple(self._fault(fault, text, tuple(places)) for fault in error.faults)
        return (EditFault(path=(), setting="", reason="the file cannot be edited here"),)

    def _fault(self, fault: Fault, text: str | None, places: tuple[KeyPath | None, ...] = ()) -> EditFault:
        path = fault.path
        edit = next((n for n in reversed(range(len(places))) if _covers(places[n], path)), None)
        return EditFault(
            edit=edit,
            path=_with_id(path, text) if text is not None else path,
            setting=dotted(path),
            reason=fault.reason,
            hint=fault.hint,
            line=fault.line,
        )

    def _check_no_user(self, plan: _Plan) -> None:
        auth = None if plan.old is None else plan.old.auth
        if plan.old is not None and (auth is None or auth.username is not None or auth.password is not None):
            _refuse("user-exists", "there is a user already, or nobody is asked to log in", "log in")

    def _difference(self, plan: _Plan) -> str:
        before = "" if plan.before is None else plan.text
        return difference(before, plan.after, self._path.name, plan.secrets)

    def _yaml(self, plan: _Plan) -> str:
        return sections(plan.after, plan.places, plan.secrets)

    # -- writing ------------------------------------------------------------------------------------------------------

    def _write(self, before: bytes | None, after: bytes, yaml: str) -> None:
        kept = None
        if before is not None:
            try:
                kept = self._versions.keep(before, after)
            except OSError as error:
                reason = f"the present version cannot be kept beside the journal: {error.strerror}"
                _refuse("read-only", reason, "make that folder writable, or edit the file by hand", yaml=yaml)
        if self._content() != before:
            _refuse("changed", "the configuration file was changed meanwhile", _UNDO_NEEDS)
        try:
            self._replace(after, yaml)
        except _Refused:
            if kept is not None:
                kept.unlink(missing_ok=True)
            raise

    def _replace(self, content: bytes, yaml: str) -> None:
        self._file.remove_parts()
        try:
            self._file.replace(content)
        except FileExistsError:
            _refuse("changed", "the configuration file was made meanwhile", _UNDO_NEEDS)
        except OSError as error:
            why = self._file.why_read_only() or f"{self._file.target} cannot be written: {error.strerror}"
            _refuse("read-only", why, "put the changed sections into the file by hand, where it comes from", yaml=yaml)


def _refuse(
    kind: RefusalKind, reason: str, hint: str = "", *, yaml: str = "", faults: tuple[EditFault, ...] = ()
) -> NoReturn:
    raise _Refused(Refusal(kind=kind, reason=reason, hint=hint, yaml=yaml, faults=faults))


def _hashed(edit: Edit) -> Edit:
    """Return the edit with the hash of a password in its place."""
    value = edit.value
    if edit.path != _PASSWORD or not isinstance(value, str) or not value or is_password_hash(value):
        return edit
    return edit._replace(value=hash_password(value))


def _states(loaded: Loaded, text: str, *, exists: bool) -> Iterator[SettingState]:
    source = loaded.source
    tree = redacted(loaded.config, secret_variables(source), places_of_secret_variables(source))
    document = Document(text)
    for path, value in leaves(msgspec.json.decode(tree)):
        origin = loaded.origin(path) if exists or loaded.overrides.origin(path) else None
        locked = why_locked(path, loaded.overrides, source)
        raw = None
        if exists and document.has(path):
            begin, end = document.span(path)
            raw = MASK if path[:2] in _SECRETS and not text[begin:end].startswith("${") else text[begin:end]
            raw = raw[:500] + "…" if len(raw) > 500 else raw
        yield SettingState(
            setting=dotted(path),
            path=_id_path(path, loaded.config),
            value=value,
            written=raw,
            source="default" if origin is None else "environment" if origin.line is None else "file",
            line=None if origin is None else origin.line,
            variables=() if origin is None else origin.variables,
            editable=locked is None,
            why_not="" if locked is None else sentence(locked[0], hint=locked[1]),
        )


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


def _edit_fault(number: int, fault: Fault) -> EditFault:
    return EditFault(edit=number, path=fault.path, setting=dotted(fault.path), reason=fault.reason, hint=fault.hint)


def _leaks(old: Config, new: Config) -> Iterator[EditFault]:
    """Yield a fault for each kept credential that would be sent to another address than the one it was given for."""
    was, now = old.qbittorrent, new.qbittorrent
    for key in ("password", "api_key"):
        kept = getattr(was, key) is not None and getattr(was, key) == getattr(now, key)
        if kept and was.base_url and _is_elsewhere(was.base_url, now.base_url):
            name = "url" if now.url else "host"
            yield _leak(("qbittorrent", name), key)
            break
    seeds = [section.cross_seed for section in (old, new)]
    urls = [section.url.get_secret_value() if section.url else "" for section in seeds]
    if seeds[0].api_key is not None and seeds[0].api_key == seeds[1].api_key and all(urls) and _is_elsewhere(*urls):
        yield _leak(("cross_seed", "url"), "api_key")


def _leak(path: KeyPath, key: str) -> EditFault:
    reason = f"is another machine, to which the stored {key} would be sent"
    hint = f"give {path[0]}.{key} anew in the same change, or change both in the file"
    return EditFault(path=path, setting=dotted(path), reason=reason, hint=hint)


def _is_elsewhere(old: str, new: str) -> bool:
    was, now = urlsplit(old), urlsplit(new)
    return was.hostname != now.hostname or (was.scheme == "https" and now.scheme != "https")


def _new_notes(plan: _Plan) -> tuple[str, ...]:
    if plan.new is None:
        return ()
    before = () if plan.old is None else plan.old.notes
    return tuple(note for note in plan.new.notes if note not in before)


def _consequences(plan: _Plan) -> Iterator[Consequence]:
    if plan.new is None or plan.old is None:
        return
    old, new = plan.old, plan.new.config
    if old.auth != new.auth:
        yield "login"
    if (old.global_.host, old.global_.port, old.http) != (new.global_.host, new.global_.port, new.http):
        yield "address"
    if old.global_.dry_run and not new.global_.dry_run:
        yield "live"


def main(path: Path) -> int:
    """Carry out the order on standard input for the file at `path`, and return the exit code."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=EditOrder)
    editor = _Editor(path, order)
    act = {"read": editor.read, "try": editor.trial, "save": editor.save, "undo": editor.undo, "user": editor.save}
    try:
        answer: object = act[order.action]()
    except _Refused as error:
        sys.stdout.buffer.write(msgspec.json.encode(error.refusal))
        return REFUSED
    except ConfigError as error:
        sys.stdout.buffer.write(msgspec.json.encode(error.faults))
        return FAULTY
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
