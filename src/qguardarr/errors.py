"""Every error that Qguardarr raises on purpose, named by what the caller does next.

QguardarrError
├── ConfigError            correct the configuration or the command line; nothing was started, nothing was changed
├── ClientError            qBittorrent did not do what was asked
│   ├── NoAddress          nobody has said where it is: wait until the configuration does
│   ├── Unreachable        no answer, or a garbled one: try again at the next cycle (a read learned nothing)
│   ├── LoginRefused       no session: the client itself knows when to try again, and `next_try_at` says it
│   │   ├── AuthRejected   wrong credentials: a person must correct them
│   │   └── Banned         qBittorrent blocks this address for a while
│   └── Refused            an answer that says no (4xx): a defect or an unsupported version; do not repeat
├── JournalError           the journal cannot be read or written: write nothing to qBittorrent
├── StoreError             the store (rates, overrides, outbox) cannot be read or written: go on without it
├── SearchFailed           no answer whether a pattern with look-around matches: leave the torrent as it is, ask again
├── UnsafePlan             the plan is implausible: it is reported and not applied
└── Busy                   another process, a cycle, a restore or a reload is at work: try again

An error is data: `reason` says what happened, `place` where, `hint` what to do. `sentence` is the only function that
makes a message of them. All three are fit for a person and free of secrets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias


def sentence(reason: str, place: str = "", hint: str = "") -> str:
    """Return `place: reason. hint: hint`, without the parts that are empty."""
    located = f"{place}: {reason}" if place else reason
    return f"{located.removesuffix('.')}. hint: {hint}" if hint else located


KeyPath: TypeAlias = tuple[str | int, ...]


class Fault(NamedTuple):
    """One error in a configuration or on a command line."""

    path: KeyPath
    """Keys that lead to the setting, or the name of a variable, an option or a file."""
    reason: str
    hint: str = ""
    file: str = ""
    line: int | None = None
    """Line in `file`, from 1."""

    @property
    def text(self) -> str:
        """The message without file and line."""
        return sentence(self.reason, dotted(self.path), self.hint)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line is not None else sentence(self.text, self.file)


def dotted(path: KeyPath) -> str:
    """Return a path as people write it: `trackers[2].pattern`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


class InvalidValue(ValueError):
    """A text or a number cannot be used as a setting. `reason` and `hint` may hold the value; see `TextError`."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint

    def __str__(self) -> str:
        return f"{self.reason}; {self.hint}" if self.hint else self.reason


class QguardarrError(Exception):
    """Root of all errors raised on purpose."""

    def __init__(self, reason: str = "", *, place: str = "", hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        """What happened."""
        self.place = place
        """Where: a file, a setting, an address."""
        self.hint = hint
        """What a person can do about it."""

    def __str__(self) -> str:
        return sentence(self.reason, self.place, self.hint)


class ConfigError(QguardarrError):
    """The configuration or the command line has errors. `faults` has all of them."""

    def __init__(self, reason: str = "", *, place: str = "", hint: str = "", faults: Iterable[Fault] = ()) -> None:
        super().__init__(reason, place=place, hint=hint)
        self.faults = tuple(faults) or (Fault((place,) if place else (), reason, hint),)

    def __str__(self) -> str:
        return "\n".join(map(str, self.faults))


class ClientError(QguardarrError):
    """qBittorrent did not do what was asked."""


class NoAddress(ClientError):
    """The configuration does not say where qBittorrent is."""


class Unreachable(ClientError):
    """No answer, or a garbled one. A read learned nothing; a write may or may not have happened."""


class LoginRefused(ClientError):
    """qBittorrent lets nobody in with these credentials now. Times are Unix seconds."""

    def __init__(
        self, reason: str = "", *, hint: str = "", next_try_at: float | None = None, ask_from: float = 0.0
    ) -> None:
        super().__init__(reason, hint=hint)
        self.next_try_at = next_try_at
        """When the client tries the login again by itself; None: only when asked, or when qBittorrent has restarted."""
        self.ask_from = ask_from
        """From when on it tries again if a person asks."""


class AuthRejected(LoginRefused):
    """The credentials are wrong. Trying again and again would lead to a ban."""


class Banned(LoginRefused):
    """qBittorrent blocks this address after failed logins."""


class Refused(ClientError):
    """qBittorrent answered, and said no."""


class JournalError(QguardarrError):
    """The journal cannot be read or written."""


class StoreError(QguardarrError):
    """The store cannot be read or written. Nothing that holds caps depends on it."""


class SearchFailed(QguardarrError):
    """The process that searches patterns which RE2 cannot express gave no answer: neither "found" nor "not found"."""


class UnsafePlan(QguardarrError):
    """The plan would lift limits from an implausible share of torrents."""


class UnknownInstance(QguardarrError):
    """There is no qBittorrent with this name."""


def unknown_instance(name: str, known: Iterable[str]) -> UnknownInstance:
    """Return the error about a name that none of the known ones is. The only qBittorrent may have none ("")."""
    names = ", ".join(filter(None, known))
    hint = f"known: {names}" if names else "there is only one, which has none"
    return UnknownInstance(f"there is no qBittorrent with the name {name!r}", hint=hint)


class SeveralHaveIt(QguardarrError):
    """Several qBittorrents have a torrent with this hash."""


class Busy(QguardarrError):
    """Something else is at work: another process, a cycle, a restore, a reload. Try again."""
