"""Logging: where lines go, how they look, and what must never be in one."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, MutableMapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, quote_plus

import structlog

from qguardarr.errors import ConfigError

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Style = Literal["console", "json"]

HIDDEN: Final = "[hidden]"
TROUBLE_S: Final = 60.0
"""How long it is said that a line was lost, unless the next one is not."""
_SHORT: Final = 6
"""Secrets shorter than this are hidden where they stand alone, or half of every line would be."""
_SECRET_KEYS: Final = re.compile(
    r"pass(word|wd|key)?|secret|token|cookie|authorization|api_?key|credentials", re.IGNORECASE
)

_PATTERNS: Final = (
    # Beyond the host an announce URL holds a passkey; before it, credentials.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#'\"<>@]*@"), r"\1"),
    (re.compile(r"(?i)\b((?:https?|udp|wss?)://[^\s/?#'\"<>\\]+)[/?#][^\s'\"<>]*"), r"\1/…"),
    (re.compile(r"(?i)\bmagnet:[^\s'\"<>]*"), "magnet:…"),
    (re.compile(r"(?i)\b(tr=)(?:https?|udp|wss?)%3a[^\s&'\"<>]*"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(authorization['\"]?\s*[:=]\s*['\"]?)\w+\s+[^\s'\",]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]{8,}"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b((?:set-)?cookie['\"]?\s*[:=]\s*['\"]?)[^\s'\"]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)((?:\b|_)sid(?:_\d+)?\s*=\s*)[^\s;,'\"]+"), rf"\1{HIDDEN}"),
    (re.compile(r"\bqbt_\w{8,}"), HIDDEN),
    (
        re.compile(
            r"(?i)\b((?:pass(?:key|word|wd)?|torrent_pass|auth_?key|api_?key|secret|token)['\"]?\s*=\s*['\"]?)[^\s&;,'\"]+"
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(
            r"(?i)(['\"](?:pass(?:key|word|wd)?|torrent_pass|auth_?key|api_?key|secret|token)['\"]\s*:\s*['\"])[^'\"]+"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)(?<![0-9a-z])[0-9a-f]{32}(?![0-9a-z])"), HIDDEN),
)
"""What looks like a secret of qBittorrent or of a tracker, whoever's it is. Torrent hashes (40 digits) stay."""


class Redactor:
    """Takes secrets out of texts: those it was told, in every usual spelling, and whatever looks like one."""

    def __init__(self, secrets: Iterable[str] = (), *, username: str | None = None) -> None:
        spellings: dict[str, None] = {}
        for secret in secrets:
            spellings |= dict.fromkeys(_spellings(secret, username))
        longest_first = sorted(filter(None, spellings), key=len, reverse=True)
        parts = [re.escape(s) if len(s) >= _SHORT else rf"(?<!\w){re.escape(s)}(?!\w)" for s in longest_first]
        self._known = re.compile("|".join(parts)) if parts else None

    def text(self, text: str) -> str:
        """`text` without secrets."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def value(self, value: Any) -> Any:
        """The same for what a line is made of: texts, numbers, and lists and mappings of them."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {
                self.text(str(key)): HIDDEN if _SECRET_KEYS.fullmatch(str(key)) else self.value(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(inner) for inner in value]
        return self.text(str(value))


def prepare(
    redactor: Redactor,
    *,
    level: Level = "INFO",
    style: Style = "console",
    file: Path | None = None,
    max_bytes: int = 50 * 1024 * 1024,
    backup_count: int = 5,
) -> Callable[[], None]:
    """What sends all log lines of this process to the terminal (stderr) and to `file`, if there is one.

    A file that cannot be opened is a `ConfigError`; what is returned cannot fail.
    """
    handlers: list[logging.Handler] = []
    if file is not None:
        handlers.append(_file_handler(file, max_bytes, backup_count))
        handlers[-1].setFormatter(_Formatter(style, redactor, colors=False))
    handlers.append(logging.StreamHandler(sys.stderr))
    handlers[-1].setFormatter(_Formatter(style, redactor, colors=sys.stderr.isatty()))

    def install() -> None:
        root = logging.getLogger()
        before, root.handlers = root.handlers, handlers
        root.setLevel(level)
        logging.getLogger("urllib3").setLevel(logging.WARNING)  # its DEBUG lines hold paths and say nothing of ours
        logging.raiseExceptions = False  # a full disk must not print whole records, secrets and all
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


def configure(redactor: Redactor, **settings: Any) -> None:
    """The same at once. May be called again."""
    prepare(redactor, **settings)()


def trouble() -> str:
    """Why lines do not reach the log file; empty if they do, as far as is known."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _BoundedFileHandler) and time.monotonic() - handler.failed_at < TROUBLE_S:
            return handler.trouble
    return ""


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """One line for each record, redacted twice: each value before it is rendered, and the line as a whole."""

    def __init__(self, style: Style, redactor: Redactor, *, colors: bool) -> None:
        self._redactor = redactor
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
                renderer,
            ],
        )

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(super().format(record))

    def _redact(self, _logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        clean: MutableMapping[str, Any] = self._redactor.value(dict(event))
        return clean


class _BoundedFileHandler(RotatingFileHandler):
    """As its parent, private to this user, and bounded also when no file put aside is kept."""

    trouble = ""
    failed_at = 0.0
    """Monotonic time of the last failure, seconds."""
    _failed = False

    def emit(self, record: logging.LogRecord) -> None:
        self._failed = False
        super().emit(record)
        if not self._failed:
            self.trouble = ""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 # the parent's names
        error = sys.exc_info()[1]
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        self.trouble = f"logging.file: {self.baseFilename} cannot be written, lines are lost: {reason}"
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


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _file_handler(path: Path, max_bytes: int, backup_count: int) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _BoundedFileHandler(path, maxBytes=max_bytes, backupCount=backup_count)
    except OSError as error:
        raise ConfigError(f"logging.file: {path} cannot be written: {error.strerror or 'unknown reason'}") from None


def _spellings(secret: str, username: str | None) -> Iterable[str]:
    """As it may turn up in URLs, forms, JSON, reprs and the header of HTTP Basic."""
    yield secret
    yield quote(secret)
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    with contextlib.suppress(UnicodeEncodeError):
        yield repr(secret.encode())[2:-1]
        yield base64.b64encode(secret.encode()).decode()
        if username is not None:
            yield base64.b64encode(f"{username}:{secret}".encode()).decode()
