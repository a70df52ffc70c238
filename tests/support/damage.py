"""Damage to the files of a journal."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from qguardarr.adapters.sqlite.originals import SUFFIX

GARBAGE = random.Random(7).randbytes(9_000)
Damage = Callable[[Path], None]
"""Done to the journal at a path, while no process has it open."""


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


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


OF_THE_JOURNAL = [
    delete_all, delete_main, empty, overwrite, garble_pages, loop, dangling, delete_log, garble_log
]  # fmt: skip
