"""Write the limits that a dry run decides to a file, for people who want to compare them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from qguardarr.core.reconcile.decide import Decision
from qguardarr.core.units import limit_or_minus_one
from qguardarr.engine.settings import Settings
from qguardarr.engine.status import Status
from qguardarr.features.feature import Feature
from qguardarr.smallfile import replace_file


class DryRunFile(Feature):
    """JSON of limits by hash, bytes/s, -1 for unlimited; written again when they change."""

    name = "file of the dry run"

    def __init__(self, settings: Settings, decided: Callable[[], Decision | None]) -> None:
        """`decided`: returns the last cycle's decision."""
        self._path = Path(settings.dry_run_path)
        self._decided = decided
        self._written: dict[str, int] | None = None
        self._problem = ""

    def adopt(self, settings: Settings) -> None:
        self._path = Path(settings.dry_run_path)

    def on_cycle(self, status: Status) -> None:
        decision = self._decided()
        if not status.dry_run or decision is None:
            self._written, self._problem = None, ""
            return
        limits = {change.hash: limit_or_minus_one(change.new) for change in decision.plan.changes}
        if limits == self._written:
            return
        path = self._path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, msgspec.json.encode(limits))
        except OSError as error:
            reason = error.strerror or "unknown reason"
            self._problem = f"global.dry_run_store_path: {path} cannot be written: {reason}"
        else:
            self._written, self._problem = limits, ""

    def problems(self) -> Iterable[str]:
        return filter(None, [self._problem])
