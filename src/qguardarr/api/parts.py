"""What the API needs of the running daemon: the published status, torrents, commands, and where events go."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from qguardarr.api.events import Events
from qguardarr.api.security.access import Access
from qguardarr.engine.commands import Commands
from qguardarr.engine.editing import ConfigEditor
from qguardarr.engine.hosts import Hosts
from qguardarr.engine.ports import Completions, LimitHistory, MetricsPage, RateHistory
from qguardarr.engine.probes import Probes
from qguardarr.engine.settings import ApiSettings
from qguardarr.engine.status import Status
from qguardarr.engine.torrent_list import TorrentQuery
from qguardarr.engine.triggers import Triggers
from qguardarr.errors import QguardarrError


@dataclass(frozen=True, kw_only=True)
class ApiContext:
    """Everything that handlers use. For any thread: what they are handed cannot change."""

    settings: ApiSettings
    access: Access
    events: Events
    status: Callable[[], Status]
    """The status as it is now."""
    torrents: TorrentQuery
    commands: Commands
    reload: Callable[[], Future[QguardarrError | None]]
    """Ask for the configuration to be read again. The outcome: why nothing was changed, or None."""
    configuration: Callable[[], str]
    """The configuration in force as JSON, without secrets."""
    origins: Callable[[], str]
    """Where its values come from as JSON; see `qguardarr.engine.origins`."""
    journal: LimitHistory
    triggers: Triggers
    completions: Completions
    rates: RateHistory
    metrics: MetricsPage
    editor: ConfigEditor
    probes: Probes
    hosts: Hosts
