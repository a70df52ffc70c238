"""End the engine in bounded time, and restore original limits at the end if the configuration asks for it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection
from typing import Final

import structlog

from qguardarr.app.parts import new_client
from qguardarr.engine import rollback
from qguardarr.engine.ports import Journal
from qguardarr.engine.restoring import Progress, RollbackReport
from qguardarr.engine.settings import Settings
from qguardarr.errors import QguardarrError

ENGINE_GRACE_S: Final = 2.0
"""How long a cycle may go on after the call to end."""
WAKE_GRACE_S: Final = 1.5
"""How long it may go on after that, with its connection closed under it."""
RESTORE_STALL_S: Final = 4.0
"""Restoring goes on while originals come back, and gives up when none came back for this long."""

log = structlog.get_logger("qguardarr.daemon")


def end_engine(engine: threading.Thread, tell: Callable[[], None], close_connection: Callable[[], None]) -> bool:
    """End the engine's thread. False if it is stuck in a call that nothing wakes: leave the process at once.

    `tell` asks it to end after its cycle; `close_connection` makes a call that waits for qBittorrent fail.
    """
    tell()
    engine.join(ENGINE_GRACE_S)
    if engine.is_alive():
        log.info("cycle_abandoned", advice="whatever it has written is in the journal")
    close_connection()
    engine.join(WAKE_GRACE_S)
    if engine.is_alive():
        log.error("engine_stuck")
    return not engine.is_alive()


def restore_originals(
    settings: Settings, journal: Journal, pulse: Callable[[], None], stop_on: Collection[signal.Signals]
) -> None:
    """Put originals back in a thread of its own, while it gets on and none of the signals comes (which are blocked)."""
    targets = [
        rollback.Target(new_client(each, pulse), journal.of(each.name) if each.name else journal, each.name)
        for each in settings.connections
    ]
    task = _Restoring(lambda progress: rollback.reset_all(targets, progress=progress, lock_timeout_s=2.0))
    while not task.done.is_set() and time.monotonic() - task.moved_at < RESTORE_STALL_S:
        if signal.sigtimedwait(stop_on, 0.1) is not None:
            break
    for target in targets:
        target.client.close()
    task.done.wait(1.0)
    if task.report is not None and not task.report.pending:
        log.info("restored", torrents=len(task.report.restored))
    else:
        problem = task.problem or "it took too long"
        log.error("not_all_restored", problem=problem, advice="run `qguardarr rollback` when qBittorrent is back")


class _Restoring:
    """A restoring that runs in a thread of its own."""

    def __init__(self, restore: Callable[[Progress], RollbackReport]) -> None:
        self.done = threading.Event()
        self.moved_at = time.monotonic()
        self.report: RollbackReport | None = None
        self.problem = ""
        self._restore = restore
        threading.Thread(target=self._run, name="restore", daemon=True).start()

    def _run(self) -> None:
        try:
            self.report = self._restore(self._moved)
            self.problem = next(iter(self.report.failed.values()), "")
        except QguardarrError as error:
            self.problem = str(error)
        finally:
            self.done.set()

    def _moved(self, _done: int, _total: int) -> None:
        self.moved_at = time.monotonic()
