"""End temporary caps when their time is over, and put them on top of each policy that is read from the file."""

from __future__ import annotations

from qguardarr.engine.commands import Commands
from qguardarr.engine.settings import Settings
from qguardarr.engine.status import Status
from qguardarr.features.feature import Commit, Feature


class TemporaryCaps(Feature):
    """The policy in force: the file's, with temporary caps."""

    name = "temporary caps"

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def prepare(self, settings: Settings) -> Commit:
        return lambda: self._commands.adopt_file(settings.policy)

    def on_cycle(self, _status: Status) -> None:
        self._commands.expire_overrides()  # a timer does it, too, but a clock may be set
