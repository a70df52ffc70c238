"""Log to the terminal and to a file, for people or as JSON, without secrets."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, MutableMapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

import structlog

from qguardarr.adapters.redaction import Redactor
from qguardarr.engine.settings import LogSettings
from qguardarr.errors import ConfigError
from qguardarr.printable import printable, printable_json, printable_lines

WARN_S: Final = 60.0
"""How long a lost line is reported, unless a later one arrives."""
_SEVERAL_LINES: Final = ("exception", "stack")
"""Fields whose line breaks are our own."""
QUIET: Final = {
    "urllib3": logging.WARNING,  # its DEBUG lines hold paths and say nothing of ours
    "uvicorn": logging.WARNING,
    "uvicorn.access": logging.CRITICAL + 1,  # its lines hold what strangers ask for, keys and all
    "watchfiles": logging.WARNING,  # a line for each change of any file beside ours
}


def prepare(redactor: Redactor, settings: LogSettings) -> Callable[[], None]:
    """Prepare logging to stderr and to the file, if any. Return the function that puts it in force and cannot fail.

    `redactor` takes secrets out of every line. Raises `ConfigError` for a file that cannot be opened.
    """
    style = settings.style
    handlers: list[logging.Handler] = []
    if settings.file is not None:
        handlers.append(_file_handler(Path(settings.file), settings.max_bytes, settings.backup_count))
        handlers[-1].setFormatter(_Formatter(style, redactor, colors=False))
    handlers.append(logging.StreamHandler(sys.stderr))
    handlers[-1].setFormatter(_Formatter(style, redactor, colors=_in_colors()))

    def install() -> None:
        root = logging.getLogger()
        before, root.handlers = root.handlers, handlers
        root.setLevel(settings.level)
        for name, least in QUIET.items():
            logging.getLogger(name).setLevel(least)
        logging.raiseExceptions = False  # else a full disk prints whole records, with their secrets
        for handler in before:
            with contextlib.suppress(OSError):  # a full disk
                handler.close()
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            cache_logger_on_first_use=False,
        )

    return install


def warning() -> str:
    """Return why lines do not reach the log file; empty if they do, as far as is known."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _BoundedFileHandler) and time.monotonic() - handler.failed_at < WARN_S:
            return handler.warning
    return ""


def catch_uncaught() -> None:
    """Log warnings, and exceptions that nobody caught in any thread, which Python would print with their secrets.

    For a process of our own: it replaces the hooks of the interpreter.
    """
    log = logging.getLogger("qguardarr.uncaught")

    def caught(error: BaseException | None, where: str) -> None:
        log.critical("uncaught %s", where, exc_info=error)

    def main_thread(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return sys.__excepthook__(kind, error, trace)
        return caught(error, "in the main thread")

    def any_thread(args: threading.ExceptHookArgs) -> None:
        if not issubclass(args.exc_type, SystemExit):
            caught(args.exc_value, f"in the thread {args.thread.name if args.thread else 'of unknown name'}")

    sys.excepthook = main_thread
    threading.excepthook = any_thread
    sys.unraisablehook = lambda args: caught(args.exc_value, "where none can be raised")
    logging.captureWarnings(True)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Format records and redact them twice: each value before it is rendered, and the line as a whole."""

    def __init__(self, style: str, redactor: Redactor, *, colors: bool) -> None:
        self._redactor = redactor
        self._json = style == "json"
        renderer: structlog.typing.Processor = (
            structlog.processors.JSONRenderer(ensure_ascii=False)
            if style == "json"
            else structlog.dev.ConsoleRenderer(
                colors=colors, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
            )
        )
        super().__init__(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=style == "json"),
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                self._redact,
                *([] if style == "json" else [_printable]),
                renderer,
            ],
        )

    def format(self, record: logging.LogRecord) -> str:
        line = self._redactor.line(super().format(record))
        return printable_json(line) if self._json else line

    def _redact(self, _logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        clean: MutableMapping[str, Any] = self._redactor.value(dict(event))
        return clean


def _printable(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make texts printable that the console's renderer writes as they are. It adds its colours afterwards."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = printable_lines(value) if key in _SEVERAL_LINES else printable(value)
    return event


class _BoundedFileHandler(RotatingFileHandler):
    """A rotating file that is private to this user, and bounded even if no file put aside is kept."""

    warning = ""
    """Why lines are lost; empty if the last one was not."""
    failed_at = 0.0
    """Monotonic time of the last failure, seconds."""
    _failed = False

    def emit(self, record: logging.LogRecord) -> None:
        self._failed = False
        super().emit(record)
        if not self._failed:
            self.warning = ""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 # the parent's names
        error = sys.exc_info()[1]
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        self.warning = f"logging.file: {self.baseFilename} cannot be written, lines are lost: {reason}"
        self.failed_at = time.monotonic()
        self._failed = True

    def doRollover(self) -> None:  # noqa: N802 # the parent's name
        if self.backupCount == 0:
            if self.stream is not None:
                self.stream.close()
            Path(self.baseFilename).unlink(missing_ok=True)
            self.stream = self._open()
        else:
            super().doRollover()

    def _open(self) -> Any:
        return open(self.baseFilename, "a", encoding="utf-8", errors="backslashreplace", opener=_private)


def _in_colors() -> bool:
    """Tell whether stderr is a terminal that shows colours, and its user wants them (no-color.org)."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") not in ("", "dumb")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _file_handler(path: Path, max_bytes: int, backup_count: int) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _BoundedFileHandler(path, maxBytes=max_bytes, backupCount=backup_count)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"logging.file: {path} cannot be written: {reason}") from None
