"""Edit the configuration file: `python -m qguardarr.app.edit_settings FILE`, with an `EditOrder` on standard input.

A short-lived child of the daemon, as `read_settings` is. It prints a `FileState`, `Tried` or `Saved`, or ends with
`REFUSED` and a `Refusal`. Texts that it prints hold no secrets.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from qguardarr.app.config_store import ChangedMeanwhile, ConfigFile, Versions, etag_of
from qguardarr.app.edit_report import Plan, consequences, edit_fault, fault_row, new_notes, setting_states
from qguardarr.app.read_settings import secrets_of
from qguardarr.app.settings import FAULTY, REFUSED
from qguardarr.app.stored_secrets import hashed, leaks, stranded
from qguardarr.config.edit import Edit, edited
from qguardarr.config.load import Loaded, decoded, reads
from qguardarr.config.marked_text import CannotEdit
from qguardarr.config.masked import CONTEXT, difference, sections
from qguardarr.config.starter import starter_file
from qguardarr.engine.editing import EditFault, EditOrder, FileState, Refusal, RefusalKind, Saved, Trial, Tried
from qguardarr.errors import ConfigError, Fault, KeyPath

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNDO_NEEDS: Final = "GET /api/v1/config/file says what it is now"


class _Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


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
            return msgspec.structs.replace(state, faults=tuple(fault_row(fault, None) for fault in error.faults))
        return msgspec.structs.replace(
            state,
            rules=tuple(rule.id for rule in loaded.config.trackers),
            settings=tuple(setting_states(loaded, text, self._secrets(loaded), exists=content is not None)),
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
            notes=new_notes(plan),
            consequences=tuple(consequences(plan)),
        )
        return Tried(trial=trial, policy=None if plan.faults or plan.new is None else plan.new.config.policy())

    def save(self) -> Saved:
        plan = self._plan()
        if self._order.action == "user":
            self._check_no_user(plan)
        if plan.faults:
            reason = f"{plan.faults[0].setting}: {plan.faults[0].reason}"
            _refuse("faulty", reason, plan.faults[0].hint, faults=plan.faults)
        content, diff = plan.after.encode(), self._difference(plan)
        if content != plan.before:
            self._write(plan.before, content, lambda: self._yaml(plan))
        return Saved(
            etag=self._etag(content),
            diff=diff,
            notes=new_notes(plan),
            consequences=tuple(consequences(plan)),
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
        old, new = self._loaded_or_none(text), self._loaded_or_none(after)
        if old is not None and new is not None and (place := stranded(old.config, new.config)):
            reason = f"{place} would be taken away from the stored secret that goes there; the next one would get it"
            _refuse("faulty", reason, "change it in the file itself")
        self._replace(before, content)
        with suppress(OSError):
            path.unlink()
        plan = Plan(content, text, after, (), None if old is None else old.config, new, (), self._secrets(old, new))
        return Saved(
            etag=self._etag(before),
            diff=self._difference(plan),
            consequences=tuple(consequences(plan)),
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

    def _plan(self) -> Plan:
        content = self._content()
        self._check_etag(content)
        text = self._text(content)
        old = self._loaded_or_none(text)
        edits = [hashed(Edit(step.op, step.path, step.value, step.before)) for step in self._order.edits]
        try:
            done = edited(text, edits, os.environ, self._path.parent)
        except CannotEdit:
            with_faults = self._faults(text, ())
            return Plan(content, text, text, with_faults, None, None, (), ())
        faults = [edit_fault(number, fault) for number, fault in done.refusals]
        new: Loaded | None = None
        try:
            new = self._loaded(done.text)
        except ConfigError as error:
            faults += [fault_row(fault, done.text, done.places) for fault in error.faults]
        paths = [edit.path for edit in edits]
        if new is not None:
            given = [edit.path for edit in edits if edit.op == "set" and edit.value]
            faults += leaks(None if old is None else old.config, new.config, paths, given)
        places = tuple(place for place in done.places if place is not None)
        own = None if old is None else old.config
        return Plan(content, text, done.text, tuple(faults), own, new, (*places, *paths), self._secrets(old, new))

    def _faults(self, text: str, places: Collection[KeyPath | None]) -> tuple[EditFault, ...]:
        try:
            self._loaded(text)
        except ConfigError as error:
            return tuple(fault_row(fault, text, tuple(places)) for fault in error.faults)
        return (EditFault(path=(), setting="", reason="the file cannot be edited here"),)

    def _check_no_user(self, plan: Plan) -> None:
        auth = None if plan.old is None else plan.old.auth
        if plan.old is not None and (auth is None or auth.username is not None or auth.password is not None):
            _refuse("user-exists", "there is a user already, or nobody is asked to log in", "log in")

    def _difference(self, plan: Plan) -> str:
        before = "" if plan.before is None else plan.text
        context = CONTEXT if plan.before is None or plan.old is not None else 0  # who knows what a faulty file holds
        return difference(before, plan.after, self._path.name, plan.secrets, context=context)

    def _yaml(self, plan: Plan) -> str:
        if plan.old is None and plan.new is None:
            return ""
        return sections(plan.after, plan.places, plan.secrets)

    # -- writing ------------------------------------------------------------------------------------------------------

    def _write(self, before: bytes | None, after: bytes, yaml: Callable[[], str]) -> None:
        kept = None
        if before is not None:
            try:
                kept = self._versions.keep(before, after)
            except OSError as error:
                reason = f"the present version cannot be kept beside the journal: {error.strerror}"
                hint = "make room there" if error.errno in _FULL else "make that folder writable"
                _refuse("read-only", reason, f"{hint}, or edit the file by hand", yaml=yaml())
        try:
            self._replace(after, before, kept, yaml)
        except _Refused:
            if kept is not None and not self._is_damaged(before):
                kept.unlink(missing_ok=True)
            raise

    def _is_damaged(self, before: bytes | None) -> bool:
        """Tell whether a write that failed has left something else than it found; also if that cannot be told."""
        try:
            return self._file.read() != before
        except OSError:
            return True

    def _replace(
        self, content: bytes, before: bytes | None, kept: Path | None = None, yaml: Callable[[], str] = str
    ) -> None:
        """Put `content` in the place of `before`. `kept`: where that is kept. Raises `_Refused`."""
        self._file.remove_parts()
        try:
            self._file.replace(content, before)
        except (ChangedMeanwhile, FileExistsError):
            _refuse("changed", "the configuration file was changed meanwhile", _UNDO_NEEDS)
        except OSError as error:
            why = self._file.why_read_only() or f"{self._file.target} cannot be written: {error.strerror}"
            hint = "put the changed sections into the file by hand, where it comes from"
            if kept is not None and self._is_damaged(before):
                hint = f"the file is damaged; copy {kept} over it, once the disk can be written"
            elif error.errno in _FULL:
                hint = "make room on that disk, and save again; nothing was changed"
            _refuse("read-only", why, hint, yaml=yaml())


def _refuse(
    kind: RefusalKind, reason: str, hint: str = "", *, yaml: str = "", faults: tuple[EditFault, ...] = ()
) -> NoReturn:
    raise _Refused(Refusal(kind=kind, reason=reason, hint=hint, yaml=yaml, faults=faults))


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
    except Exception as error:  # a trace might quote the file, and its reader would learn nothing
        reason = f"cannot be edited here: it is written in an unusual way ({type(error).__name__})"
        fault = Fault((), reason, "edit the file by hand", file=str(path))
        sys.stdout.buffer.write(msgspec.json.encode([fault]))
        return FAULTY
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
