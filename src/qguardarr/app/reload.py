"""Read the configuration again when somebody asks, and take it up as a whole or not at all.

Two phases: first everything that may fail (reading the file in a child, another client, another address, the log file),
then the swap, which cannot fail.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import structlog

from qguardarr.adapters import keys
from qguardarr.adapters.sqlite.journal_place import resolved
from qguardarr.adapters.watch import FileWatch
from qguardarr.app.parts import prepare_logging
from qguardarr.app.settings import load_settings, with_kept_key
from qguardarr.app.status_board import StatusBoard
from qguardarr.engine.rounds import Rounds
from qguardarr.engine.settings import Settings
from qguardarr.errors import ConfigError, QguardarrError
from qguardarr.features.feature_set import FeatureSet

log = structlog.get_logger("qguardarr.daemon")


@dataclass(eq=False)
class Reloader:
    """Reload in a thread of its own, as rounds: whoever asks gets the outcome of the first that begins afterwards."""

    settings: Settings
    """In force."""
    config_path: Path
    watch: FileWatch
    features: FeatureSet
    board: StatusBoard
    rounds: Rounds[QguardarrError | None]
    writing: threading.Lock
    """Held while this program writes the file."""
    around: Callable[[], contextlib.AbstractContextManager[None]]
    """Entered for each reload."""
    log_settings: Callable[[Settings], None]
    """Log settings that were taken up."""
    after: Callable[[], None]
    """Called after each try."""

    def ask(self) -> Future[QguardarrError | None]:
        """Ask for a reload. The outcome: why nothing was changed, or None. From any thread."""
        return self.rounds.ask()

    def start(self) -> None:
        """Begin to reload when somebody asks, or the file changes."""
        self.watch.also(map(Path, self.settings.secret_files))
        threading.Thread(target=self._run, name="reload", daemon=True).start()
        self.watch.start(self.ask)

    def close(self) -> None:
        """Do not watch the file any longer."""
        self.watch.close()

    def reload(self) -> None:
        """Take up the configuration as it is now. Raises `QguardarrError`, and has then changed nothing."""
        new = load_settings(self.config_path, first_start=self.settings.file == "absent")
        self._refuse_another_journal(new)
        new = with_kept_key(new)
        with contextlib.ExitStack() as undo:
            take_up = self.features.prepare(new)
            undo.callback(self.features.abandon)
            take_up_logging = prepare_logging(new)
            undo.pop_all()
        # From here on nothing can fail.
        self.board.reload_error = ""  # before a cycle can publish the new settings
        take_up_logging()
        self.watch.also(map(Path, new.secret_files))
        self.settings = new
        take_up()
        log.info("reloaded", file=str(self.config_path))
        self.log_settings(new)

    def _run(self) -> None:
        while True:
            self.rounds.wait()
            with self.writing:  # whoever writes asks, too, before this round begins: the watch may be quicker
                end_round = self.rounds.begin()
            with self.around():
                failure = self._failure()
            end_round(failure)

    def _failure(self) -> QguardarrError | None:
        """Reload, and return why nothing was changed; None if it was taken up."""
        failure: QguardarrError | None = None
        try:
            self.reload()
        except QguardarrError as error:
            failure = error
            log.error("reload_failed", advice="nothing was changed", faults=str(error))
        except Exception as error:
            log.exception("defect", part="reload")
            failure = ConfigError(f"internal error: {type(error).__name__}; see the log")
        if failure is not None:
            self.board.reload_error = str(failure)
        self.after()
        return failure

    def _refuse_another_journal(self, new: Settings) -> None:
        path, here = Path(new.database_path), Path(self.settings.database_path)
        if resolved(path) != resolved(here):
            raise ConfigError(
                f"takes effect at a restart only. The journal in use is {here}",
                place=f"{self.config_path}: rollback.database_path",
                hint=f"stop Qguardarr, move that file, all whose names begin so, and {keys.FILE_NAME}, "
                f"to {path.parent}, and start it again; or put the old path back",
            )
