"""Ways in which the journal, or the second copy of its originals, gets lost or damaged while no process has it open."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from qguardarr.adapters.sqlite.originals import SUFFIX
from qguardarr.adapters.sqlite.side_files import beside

GARBAGE = random.Random(7).randbytes(9_000)

Damage = Callable[[Path], None]
"""Takes the path of the journal."""


def delete_all(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        beside(path, suffix).unlink(missing_ok=True)


def delete_main(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(GARBAGE)


def garble_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = GARBAGE * (len(content) // len(GARBAGE) + 1)
    path.write_bytes(content[: path.stat().st_size])


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("not mounted")


def delete_log(path: Path) -> None:
    beside(path, "-wal").unlink(missing_ok=True)
    beside(path, "-shm").unlink(missing_ok=True)


def garble_log(path: Path) -> None:
    log = beside(path, "-wal")
    if log.exists():
        log.write_bytes(GARBAGE[: log.stat().st_size])
    beside(path, "-shm").unlink(missing_ok=True)


def delete_copy(path: Path) -> None:
    beside(path, SUFFIX).unlink()


def empty_copy(path: Path) -> None:
    beside(path, SUFFIX).write_bytes(b"")


def overwrite_copy(path: Path) -> None:
    beside(path, SUFFIX).write_bytes(GARBAGE)


def cut_copy(path: Path) -> None:
    copy = beside(path, SUFFIX)
    copy.write_bytes(copy.read_bytes()[:-30])


def garble_copy(path: Path) -> None:
    copy = beside(path, SUFFIX)
    content = bytearray(copy.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 9] = b"\0\xffgarbage"[: len(content[middle : middle + 9])]
    copy.write_bytes(content)


OF_THE_JOURNAL = [
    delete_all, delete_main, empty, overwrite, garble_pages, loop, dangling, delete_log, garble_log
]  # fmt: skip
OF_THE_COPY = [delete_copy, empty_copy, overwrite_copy, cut_copy, garble_copy]
