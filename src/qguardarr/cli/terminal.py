"""Print lines and progress, and ask questions. All of it fits the terminal, and no text in it can steer one."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TextIO

from qguardarr.cli.text import clean
from qguardarr.errors import ConfigError, InvalidValue, QguardarrError
from qguardarr.exits import Exit
from qguardarr.printable import printable, printable_json

_TALK_AFTER_S: Final = 2.0
_BAR_COLUMNS: Final = 20
_USUAL_COLUMNS: Final = 80
_WIPE: Final = "\r\x1b[K"


def columns_of(stream: TextIO) -> int | None:
    """Return the width of the terminal behind `stream`; None if it is no terminal, so that nothing need be cut."""
    if not stream.isatty():
        return None
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS
    return _USUAL_COLUMNS


# -- lines ------------------------------------------------------------------------------------------------------------


def out(text: str = "") -> None:
    """Print one line of the result on stdout."""
    _put(printable(text))


def say(text: str) -> None:
    """Print one line on stderr: a remark that is no part of the result."""
    _wipe()
    _tell(printable(text) + "\n")


@contextlib.contextmanager
def all_written() -> Iterator[None]:
    """Flush stdout at the end. Raises `QguardarrError` if the output could not be written."""
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except OSError as error:
            with contextlib.suppress(OSError, ValueError):  # what is left must not be tried again at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if not isinstance(error, BrokenPipeError):  # `| head` has read enough
                raise _unwritable(error) from None


def _put(line: str) -> None:
    try:
        print(line)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritable(error) from None


def _unwritable(error: OSError) -> QguardarrError:
    return QguardarrError(f"done, but the output cannot be written: {error.strerror or 'unknown reason'}")


def _tell(text: str) -> None:
    """Write to stderr, and ignore failures: a rollback goes on with a full disk."""
    with contextlib.suppress(OSError):
        print(text, end="", file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print structs, mappings and lists as indented JSON."""
    import msgspec

    _put(printable_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode()))


# -- questions --------------------------------------------------------------------------------------------------------


def confirm(question: str) -> None:
    """Ask yes or no, and end the command unless the answer is yes. Raises `ConfigError` if nobody is there."""
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to be asked", hint="add --yes")
    if not confirmed(question):
        say("Nothing was done.")
        sys.exit(Exit.INCOMPLETE)


def confirmed(question: str) -> bool:
    """Ask yes or no on stderr. The end of the input is a no."""
    return (_line(f"{question} [y/N]") or "").lower() in ("y", "yes")


def asked(question: str, usual: str = "", check: Callable[[str], str] = str) -> str:
    """Ask for a line on stderr until `check` accepts it. Return the result of `check`.

    An empty line means `usual`. Raises `QguardarrError` at the end of the input.
    """
    while (answer := _line(f"{question} [{usual}]" if usual else question)) is not None:
        try:
            return check(answer or usual)
        except (QguardarrError, InvalidValue) as error:
            say(f"{error}.")
    raise QguardarrError("the input has ended; nothing was done")


def secret(prompt: str) -> str:
    """Ask for a secret, which is not shown while it is typed. Empty at the end of the input."""
    try:
        return _answer(lambda: getpass.getpass(f"{prompt}: ", sys.stderr))
    except EOFError:
        return ""


def _line(question: str) -> str | None:
    """Ask for a line; return None at the end of the input."""

    def ask() -> str:
        _tell(f"{printable(question)}: ")
        return sys.stdin.readline()

    answer = _answer(ask)
    if answer.endswith("\n"):
        return answer.strip()
    _tell("\n")
    return None


def _answer(ask: Callable[[], str]) -> str:
    """Ask until the answer is valid text: other bytes can be neither sent to qBittorrent nor written to a file."""
    while True:
        try:
            answer = ask()
            answer.encode()
        except UnicodeError:
            say("that has characters which are not in the terminal's encoding; please type it again")
        else:
            return answer


# -- progress ---------------------------------------------------------------------------------------------------------

Advance = Callable[[float, float], None]
"""Called with (done, total)."""

_drawn = False
"""Whether a line of progress stands on stderr."""


@contextlib.contextmanager
def progress(title: str, *, unit: str = "") -> Iterator[Advance]:
    """Show progress on stderr: one line that is redrawn in a terminal, else a line every two seconds."""
    said_at = -_TALK_AFTER_S

    def advance(done: float, total: float) -> None:
        nonlocal said_at
        if _can_draw():
            _draw(f"{title}  {_bar(done, total)}{done:.0f} of {total:.0f} {unit}")
        elif time.monotonic() - said_at >= _TALK_AFTER_S:
            said_at = time.monotonic()
            say(f"{title}: {done:.0f} of {total:.0f} {unit}".rstrip())

    try:
        if _can_draw():
            _draw(f"{title} …")
        yield advance
    finally:
        _wipe()


@contextlib.contextmanager
def working(title: str) -> Iterator[None]:
    """Show on stderr that something of unknown length goes on."""
    try:
        (_draw if _can_draw() else say)(f"{title} …")
        yield
    finally:
        _wipe()


def _can_draw() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")


def _draw(text: str) -> None:
    """Draw a line over the last one. The cursor stays visible, so that a kill leaves the terminal as it was."""
    global _drawn  # noqa: PLW0603 # there is one stderr
    room = (columns_of(sys.stderr) or _USUAL_COLUMNS) - 1  # a full line would begin the next one
    _drawn = True  # before it is: Ctrl-C may come at any moment
    _tell(_WIPE + clean(text.rstrip(), room))


def _wipe() -> None:
    global _drawn  # noqa: PLW0603
    if _drawn:
        _drawn = False
        _tell(_WIPE)


def _bar(done: float, total: float) -> str:
    if total <= 0:
        return ""
    filled = round(_BAR_COLUMNS * min(1.0, max(0.0, done / total)))
    return f"[{'#' * filled}{'.' * (_BAR_COLUMNS - filled)}]  "
