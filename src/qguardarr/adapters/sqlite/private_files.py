"""Files beside the journal: for this user alone, and durable."""

from __future__ import annotations

import os
from pathlib import Path


def make_private(path: Path) -> None:
    """Make a file of mode 0600 unless there is one. SQLite gives its side files the same mode. Raises OSError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def open_private(path: Path, like: Path, flags: int) -> int:
    """Open (or make) a file of mode 0600. One that root makes beside another's journal belongs to that other.

    `like`: the journal. Raises OSError.
    """
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        try:
            owner = (like if like.exists() else path.parent).stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        except OSError:
            os.close(descriptor)
            raise
    return descriptor


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the file system knows how. Raises OSError if it cannot be opened."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file whose name is that of `path` and a suffix."""
    return path.with_name(path.name + suffix)
