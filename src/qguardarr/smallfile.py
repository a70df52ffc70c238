"""Read small files that a person named, and write new ones whole.

A FIFO, a device or a huge file at that path neither hangs nor floods the reader.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import Final

_KINDS: Final = {stat.S_IFDIR: "folder", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}


def read_small(path: Path | str, most_bytes: int) -> bytes:
    """Return the content of a regular file of at most `most_bytes`.

    Raises OSError; its `strerror` is fit for a person, and names anything else that is there.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket cannot be opened
            raise OSError(error.errno, "it is a socket or a device, not a file", str(path)) from None
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"it is a {_KINDS.get(stat.S_IFMT(mode), 'device')}, not a file", str(path))
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes / 2**20:g} MiB", str(path))
    return content


def is_missing(path: Path | str) -> bool:
    """Tell whether nothing has that name, not even a broken link. False if that is unknown."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def write_new(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a new file of mode 0600, whole or not at all; its folder has to exist.

    A file that root makes in another user's folder belongs to that user. Raises FileExistsError if anything has the
    name and `replace` is not set, OSError.
    """
    part = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        _write(part, content)
        if replace:
            part.replace(path)
        else:
            _link(part, path, content)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # not every file system can
        os.fsync(folder)
    os.close(folder)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a private file as a whole. Raises OSError. Not synced: it means nothing after a power cut."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:  # unlike `os.write`, it fails where only a part finds room
            file.write(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _link(part: Path, path: Path, content: bytes) -> None:
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        _write(path, content)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if os.geteuid() == 0:
                owner = path.parent.stat()
                with contextlib.suppress(OSError):  # a file system without owners
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink()
        raise
