"""What the API needs of the running daemon: looks, commands, and where events go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from qguardarr.api.events import Events
from qguardarr.api.security import Access
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.engine.commands import Commands
from qguardarr.engine.ports import Journal
from qguardarr.engine.settings import ApiSettings
from qguardarr.engine.status import Status
from qguardarr.engine.triggers import Triggers
from qguardarr.errors import QguardarrError
from qguardarr.features.history import RatePoint


class Completions(Protocol):
    """Who wants to know of completed torrents."""

    def complete(self, info_hash: str) -> None:
        """Take note; returns at once."""
        ...


class Rates(Protocol):
    """The history of rates."""

    def rates(self, tracker: str | None, start: float, end: float, step_s: float | None) -> list[RatePoint]:
        """Points between two Unix times; `StoreError` if they cannot be read."""
        ...


class Measures(Protocol):
    """The metrics."""

    def observe_webhook(self, seconds: float) -> None: ...

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """Body and content type."""
        ...


class Names(Protocol):
    """Torrents' names, for people."""

    def of(self, hashes: Sequence[str]) -> dict[str, str]:
        """Names as far as they can be had within a few seconds."""
        ...


@dataclass(frozen=True, kw_only=True)
class ApiContext:
    """Everything that handlers use. Any thread."""

    settings: ApiSettings
    access: Access
    events: Events
    look: Callable[[], Status]
    """The picture that was published last."""
    registry: Callable[[], TorrentRegistry]
    """Read only, and with care: the engine is at work on it."""
    commands: Commands
    reload: Callable[[], Future[QguardarrError | None]]
    """Ask for the configuration to be read again. The outcome: why nothing was changed, or None."""
    describe: Callable[[], bytes]
    """The OpenAPI document as JSON. `Busy` if it cannot be made now."""
    configuration: Callable[[], str]
    """The configuration in force as JSON, without secrets."""
    origins: Callable[[], str]
    """Where its values come from as JSON; see `qguardarr.engine.origins`."""
    journal: Journal
    triggers: Triggers
    completions: Completions
    rates: Rates
    measures: Measures
    names: Names
