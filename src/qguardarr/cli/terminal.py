"""What the commands print: lines, tables and progress. They fit the terminal, and nothing in them can steer it."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TextIO

from qguardarr.errors import QguardarrError
from qguardarr.printable import printable, printable_json

_TALK_AFTER_S: Final = 2.0
_BAR_COLUMNS: Final = 20
_USUAL_COLUMNS: Final = 80
_GAP: Final = "  "
_INDENT: Final = "    "
_WIPE: Final = "\r\x1b[K"
_SIGNS_PER_COLUMN: Final = 4
"""A name of a thousand accents on one letter takes one column, and a screen to read."""


LONGEST: Final = 300
"""Columns that one text of somebody else's gets in a sentence of ours."""


def columns_of(stream: TextIO) -> int | None:
    """Columns of the terminal that `stream` is; None if it is none: then nothing need be cut."""
    if not stream.isatty():
        return None
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS
    return _USUAL_COLUMNS


# -- lines ------------------------------------------------------------------------------------------------------------


def out(text: str = "") -> None:
    """Print one line that was asked for, on stdout."""
    _put(printable(text))


def say(text: str) -> None:
    """Tell the person something, in one line on stderr: stdout is for what was asked for."""
    _wipe()
    _tell(printable(text) + "\n")


@contextlib.contextmanager
def all_written() -> Iterator[None]:
    """See to it that stdout has everything at the end. `QguardarrError` if it could not be written."""
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
    """To stderr. What nobody can be told must not end what is being done: a rollback goes on with a full disk."""
    with contextlib.suppress(OSError):
        print(text, end="", file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Structs, mappings and lists, as indented JSON."""
    import msgspec

    _put(printable_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode()))


def clean(text: str, width: int | None = None) -> str:
    """Fit for a terminal; cut to `width` columns."""
    shown = printable(text)
    if width is None or (columns(shown) <= width and len(shown) <= _SIGNS_PER_COLUMN * width):
        return shown
    used, kept = 0, 0
    for sign in shown[: _SIGNS_PER_COLUMN * width - 1]:
        used += _columns_of_sign(sign)
        if used > width - 1:
            break
        kept += 1
    return shown[:kept] + "…"


def columns(text: str) -> int:
    """Columns that a text takes in a terminal."""
    return len(text) if text.isascii() else sum(map(_columns_of_sign, text))


def _columns_of_sign(sign: str) -> int:
    if unicodedata.category(sign) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


# -- questions --------------------------------------------------------------------------------------------------------


def confirmed(question: str) -> bool:
    """Ask yes or no on stderr. The end of the input is a no."""
    answer = _answer(lambda: _line(f"{printable(question)} [y/N]: "))
    if not answer.endswith("\n"):
        _tell("\n")
    return answer.strip().lower() in ("y", "yes")


def asked(question: str, usual: str = "") -> str:
    """Ask for a line on stderr; `usual` is what an empty one means. `QguardarrError` at the end of the input."""
    answer = _answer(lambda: _line(f"{printable(question)}{f' [{printable(usual)}]' if usual else ''}: "))
    if not answer.endswith("\n"):
        _tell("\n")
        raise QguardarrError("the input has ended; nothing was done")
    return answer.strip() or usual


def secret(prompt: str) -> str:
    """Ask for a secret, which is not shown while it is typed. Empty at the end of the input."""
    try:
        return _answer(lambda: getpass.getpass(f"{prompt}: ", sys.stderr))
    except EOFError:
        return ""


def _line(prompt: str) -> str:
    _tell(prompt)
    return sys.stdin.readline()


def _answer(ask: Callable[[], str]) -> str:
    """Ask until the answer is text: bytes that are none cannot be sent to qBittorrent or written to a file."""
    while True:
        try:
            answer = ask()
            answer.encode()
        except UnicodeError:
            say("that has characters which are not in the terminal's encoding; please type it again")
        else:
            return answer


# -- tables -----------------------------------------------------------------------------------------------------------


class Column(NamedTuple):
    """A column, and what becomes of it in a terminal that is too narrow for the table."""

    head: str
    right: bool = False
    """Numbers stand at the right."""
    least: int | None = None
    """It may be cut, down to this many columns. None: never."""
    beneath: bool = False
    """If cutting is not enough: it moves to a line of its own beneath the row."""
    drop: int = 0
    """If that is not enough either: it is left out, the highest first. 0: never."""


def print_table(heads: Sequence[str | Column], rows: Iterable[Sequence[str]]) -> None:
    """Print columns; as heads, texts stand for columns that keep their width, right of them those that begin with `>`.

    Where stdout is no terminal, nothing is cut or left out.
    """
    table = [_column(head) for head in heads]
    lines = [[column.head for column in table], *([clean(cell) for cell in row] for row in rows)]
    widths = [max(columns(line[i]) for line in lines) for i in range(len(table))]
    room = columns_of(sys.stdout)
    shown, beneath = list(range(len(table))), list[int]()
    if room is not None:
        shown, beneath = _fitted(table, widths, room)
    left_out = [column.head for i, column in enumerate(table) if i not in (*shown, *beneath)]
    for number, line in enumerate(lines):
        cells = (_padded(clean(line[i], widths[i]), widths[i], table[i].right) for i in shown)
        _put(_GAP.join(cells).rstrip())
        if beneath and number > 0:
            _put(_INDENT + _GAP.join(clean(line[i], widths[i]) for i in beneath if line[i]))
    if left_out:
        _put(clean(f"(no room for: {', '.join(left_out)})", room))


def _column(head: str | Column) -> Column:
    return head if isinstance(head, Column) else Column(head.removeprefix(">"), right=head.startswith(">"))


def _fitted(table: Sequence[Column], widths: list[int], room: int) -> tuple[list[int], list[int]]:
    """Indices of the columns that stand in the row, and of those beneath it. Narrows `widths`."""
    least = [
        width if (to := column.least) is None else min(width, to) for column, width in zip(table, widths, strict=True)
    ]
    shown, beneath = list(range(len(table))), list[int]()

    def excess(of: Sequence[int], among: Sequence[int]) -> int:
        return sum(of[i] for i in among) + len(_GAP) * (len(among) - 1) - room

    def cut(among: Sequence[int], indent: int = 0) -> None:
        while excess(widths, among) + indent > 0 and (cuttable := [i for i in among if widths[i] > least[i]]):
            widths[max(cuttable, key=lambda i: widths[i])] -= 1

    if excess(least, shown) > 0:
        beneath = [i for i in shown if table[i].beneath]
        shown = [i for i in shown if not table[i].beneath]
    for index in sorted((i for i in shown if table[i].drop), key=lambda i: -table[i].drop):
        if excess(least, shown) <= 0:
            break
        shown.remove(index)
    cut(shown)
    cut(beneath, len(_INDENT))
    return shown, beneath


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - columns(cell))
    return space + cell if right else cell + space


# -- progress ---------------------------------------------------------------------------------------------------------

Advance = Callable[[float, float], None]
"""Called with (done, total)."""

_drawn = False
"""Whether a line that is to be drawn over stands on stderr."""


@contextlib.contextmanager
def progress(title: str, *, unit: str = "") -> Iterator[Advance]:
    """Shows how far something is, on stderr: one line that is drawn over in a terminal, else a line now and then."""
    if _can_draw():
        with _drawing(f"{title} …"):
            yield lambda done, total: _draw(f"{title}  {_bar(done, total)}{_of(done, total)} {unit}")
        return
    said_at = time.monotonic() - _TALK_AFTER_S

    def talk(done: float, total: float) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _TALK_AFTER_S:
            said_at = time.monotonic()
            say(f"{title}: {_of(done, total)} {unit}".rstrip())

    yield talk


@contextlib.contextmanager
def working(title: str) -> Iterator[None]:
    """Shows that something of unknown length goes on."""
    if _can_draw():
        with _drawing(f"{title} …"):
            yield
    else:
        say(f"{title} …")
        yield


def _can_draw() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")


@contextlib.contextmanager
def _drawing(text: str) -> Iterator[None]:
    """The cursor stays visible, and nothing else of the terminal is changed: a kill leaves it as it was."""
    try:
        _draw(text)
        yield
    finally:
        _wipe()


def _draw(text: str) -> None:
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


def _of(done: float, total: float) -> str:
    return f"{done:.0f} of {total:.0f}"
