"""Read the configuration again when somebody asks, and take it up as a whole or not at all.

Two phases: first everything that may fail (reading the file in a child, another client, another address, the log file),
then the swap, which cannot fail.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
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


class Reloader:
    """Reloads in a thread of its own, as rounds: whoever asks gets the outcome of the first that begins afterwards."""

    def __init__(
        self,
        settings: Settings,
        config_path: Path,
        watch: FileWatch,
        features: FeatureSet,
        board: StatusBoard,
        rounds: Rounds[QguardarrError | None],
        writing: threading.Lock,
        *,
        around: Callable[[], contextlib.AbstractContextManager[None]],
        announce: Callable[[Settings], None],
        after: Callable[[], None],
    ) -> None:
        """Prepare it.

        Args:
            writing: held while this program writes the file.
            around: entered for each reload.
            announce: logs settings taken up.
            after: called after each try.
        """
        self.settings = settings
        """In force."""
        self._config_path = config_path
        self._watch = watch
        self._features = features
        self._board = board
        self._rounds = rounds
        self._writing = writing
        self._around = around
        self._announce = announce
        self._after = after

    def ask(self) -> Future[QguardarrError | None]:
        """Ask for a reload. The outcome: why nothing was changed, or None. From any thread."""
        return self._rounds.ask()

    def start(self) -> None:
        """Begin to reload when somebody asks, or the file changes."""
        self._watch.also(map(Path, self.settings.secret_files))
        threading.Thread(target=self._run, name="reload", daemon=True).start()
        self._watch.start(self.ask)

    def close(self) -> None:
        """Do not watch the file any longer."""
        self._watch.close()

    def announce(self) -> None:
        """Log the settings in force."""
        self._announce(self.settings)

    def reload(self) -> None:
        """Take up the configuration as it is now. Raises `QguardarrError`, and has then changed nothing."""
        new = load_settings(self._config_path, first_start=self.settings.file == "absent")
        self._refuse_another_journal(new)
        new = with_kept_key(new)
        with contextlib.ExitStack() as undo:
            take_up = self._features.prepare(new)
            undo.callback(self._features.abandon)
            take_up_logging = prepare_logging(new)
            undo.pop_all()
        # From here on nothing can fail.
        self._board.reload_error = ""  # before a cycle can publish the new settings
        take_up_logging()
        self._watch.also(map(Path, new.secret_files))
        self.settings = new
        take_up()
        log.info("reloaded", file=str(self._config_path))
        self.announce()

    def _run(self) -> None:
        while True:
            self._rounds.wait()
            with self._writing:  # whoever writes asks, too, before this round begins: the watch may be quicker
                end_round = self._rounds.begin()
            with self._around():
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
            self._board.reload_error = str(failure)
        self._after()
        return failure

    def _refuse_another_journal(self, new: Settings) -> None:
        path, here = Path(new.database_path), Path(self.settings.database_path)
        if resolved(path) != resolved(here):
            raise ConfigError(
                f"takes effect at a restart only. The journal in use is {here}",
                place=f"{self._config_path}: rollback.database_path",
                hint=f"stop Qguardarr, move that file, all whose names begin so, and {keys.FILE_NAME}, "
                f"to {path.parent}, and start it again; or put the old path back",
            )
