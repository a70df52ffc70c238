"""Editing the configuration: what is asked for, and what comes of it. A child process does it (`app.edit_settings`)."""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

from qguardarr.core.policy import Policy
from qguardarr.engine.effect import Effect
from qguardarr.errors import QguardarrError

Steps = tuple[str | int, ...]
EditAction = Literal["read", "try", "save", "undo", "user"]


class EditStep(msgspec.Struct, frozen=True):
    """One change; see `qguardarr.config.edit.Edit`."""

    op: Literal["set", "remove", "insert", "move"]
    path: Steps
    value: Any = None
    before: str | int | None = None


class EditOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order to the child."""

    action: EditAction
    salt: str
    """Key of the digests that name versions of the file: it holds secrets, so nobody may try guesses on a bare one."""
    database_path: str
    """The journal, beside which earlier versions are kept."""
    edits: tuple[EditStep, ...] = ()
    etag: str | None = None
    may_create: bool = False
    """A missing file is a first start."""

    def __repr__(self) -> str:
        return f"<EditOrder {self.action}>"


class EditFault(msgspec.Struct, frozen=True, kw_only=True):
    """An error in what a configuration would be."""

    edit: int | None = None
    """Number of the edit that it belongs to, from 0; null if it is none of them."""
    path: Steps
    """The setting, as in edits; empty if it is none."""
    setting: str
    """The same as one name, such as `trackers[0].pattern`."""
    reason: str
    """What is wrong."""
    hint: str = ""
    """What to do; empty if that is plain."""
    line: int | None = None
    """Line in the file as it would be; null if the error does not stand there."""


class SettingState(msgspec.Struct, frozen=True, kw_only=True):
    """A setting as it is now."""

    setting: str
    """Its name, as in `GET /api/v1/config`."""
    path: Steps
    """The same for edits: rules by their id."""
    value: Any
    """Its value. Speeds are bytes/s, -1 is unlimited; secrets are `***`."""
    written: str | None = None
    """As it stands in the file; null if it does not."""
    plain: Any = None
    """The same as JSON, if it is a mapping or holds mappings, and no variable gives a part of it; else null."""
    source: Literal["environment", "file", "default"]
    """Where the value comes from."""
    line: int | None = None
    """Line of the file; null unless `source` is `file`."""
    variables: tuple[str, ...] = ()
    """Variables that gave the value, or that the file refers to."""
    editable: bool = True
    """Whether an edit is accepted."""
    why_not: str = ""
    """Why it is not, and what to do instead; empty if it is."""


class UndoState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the last save can be undone."""

    possible: bool
    """Whether it can."""
    versions: int = 0
    """Number of earlier versions that are kept."""
    saved_at: float | None = None
    """When the last save was, Unix seconds; null if none is known."""
    why_not: str = ""
    """Why it cannot be undone; empty if it can."""


class FileState(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration file as it is now."""

    file: str
    """Its path."""
    exists: bool
    """False: all settings are defaults or come from the environment; a save makes the file."""
    etag: str
    """Names this content; send it with a save."""
    writable: bool
    """Whether a save can succeed."""
    why_not: str = ""
    """Why it cannot; empty if it can."""
    rules: tuple[str, ...] = ()
    """Ids of the rules, in order."""
    settings: tuple[SettingState, ...] = ()
    """All settings; none if the file is faulty."""
    faults: tuple[EditFault, ...] = ()
    """Errors in the file as it is."""
    notes: tuple[str, ...] = ()
    """Remarks about settings that are legal but may surprise."""
    undo: UndoState
    """Whether the last save can be undone."""


Consequence = Literal["login", "address", "live"]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What edits would come to. Nothing was written."""

    ok: bool
    """Whether they could be saved, but for `writable`."""
    etag: str
    """Names the content of the file that they were tried on."""
    writable: bool
    """Whether a save can succeed."""
    why_not: str = ""
    """Why it cannot; empty if it can."""
    faults: tuple[EditFault, ...] = ()
    """What is wrong with the edits, and with the configuration as it would be."""
    diff: str = ""
    """The change of the file as a unified diff; secrets are `***`."""
    yaml: str = ""
    """The changed sections, to copy by hand, if the file is not writable; secrets are `***`."""
    notes: tuple[str, ...] = ()
    """Remarks that the edits bring."""
    consequences: tuple[Consequence, ...] = ()
    """login: everybody has to log in again. address: the API is found elsewhere. live: limits will be written."""
    effect: Effect | None = None
    """What would become of limits; null if that was not asked for, or cannot be told."""
    effect_problem: str = ""
    """Why `effect` is missing although it was asked for."""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A trial, and the policy that it would bring; None if it has faults."""

    trial: Trial
    policy: Policy | None = None


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """The file was written."""

    etag: str
    """Names the new content."""
    diff: str = ""
    """The change as a unified diff; secrets are `***`."""
    in_effect: bool = False
    """Whether the daemon has taken it up."""
    problem: str = ""
    """Why it has not; empty if it has."""
    notes: tuple[str, ...] = ()
    """Remarks that the change brings."""
    consequences: tuple[Consequence, ...] = ()
    """As in a trial."""
    undo: UndoState
    """Whether this can be undone."""


RefusalKind = Literal["changed", "read-only", "faulty", "nothing-to-undo", "user-exists"]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing was written."""

    kind: RefusalKind
    reason: str
    hint: str = ""
    yaml: str = ""
    """The changed sections, to copy by hand."""
    faults: tuple[EditFault, ...] = ()


class EditRefused(QguardarrError):
    """The file was not written. `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason, hint=refusal.hint)
        self.refusal = refusal


class ConfigEditor(Protocol):
    """Edits the configuration file. Each call takes a second or so. Raises `ConfigError`, `EditRefused`, `Busy`."""

    def read(self) -> FileState:
        """Return the file as it is now."""
        ...

    def trial(self, edits: tuple[EditStep, ...], etag: str | None, *, effect: bool, torrents_of: str = "") -> Trial:
        """Return what edits would come to. `effect`: with what would become of limits, and the torrents of a rule."""
        ...

    def save(self, edits: tuple[EditStep, ...], etag: str) -> Saved:
        """Make edits in the file that `etag` names, and have the daemon take them up."""
        ...

    def undo(self, etag: str) -> Saved:
        """Put back the version before the last save."""
        ...

    def make_user(self, username: str, password: str) -> Saved:
        """Write the first user."""
        ...
