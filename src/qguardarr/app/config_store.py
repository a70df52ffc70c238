"""The configuration file as a thing that is replaced: whole or not at all, with its mode and owner; and its versions.

Where the file cannot be replaced it is written in place: mounted by itself (a rename fails), in a folder that is not
ours, or owned by somebody else. A kill at that very moment may leave it damaged; its former content is kept before.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import time
from pathlib import Path
from typing import Final, NamedTuple

from qguardarr.engine.editing import UndoState
from qguardarr.smallfile import read_small, write_new

KEPT: Final = 20
"""Earlier versions."""
ABSENT: Final = "absent"
"""Stands for the content of a missing file."""

_MOST_BYTES: Final = 1024 * 1024
_NAME: Final = re.compile(r"(\d{6})-([0-9a-f]{32})\.yaml")
_IN_PLACE: Final = frozenset({errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EACCES, errno.EROFS})
"""What a rename, or making a file beside it, may fail with where writing the file itself succeeds. A full disk is not
among them: it would fail in the middle."""
_CANNOT_RESERVE: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENODEV})


class ChangedMeanwhile(Exception):
    """The file has another content than the one that was to be replaced."""


def etag_of(content: bytes | None, salt: str) -> str:
    """Return the name of a content."""
    if content is None:
        return ABSENT
    return hashlib.blake2b(content, key=salt.encode()[:64], digest_size=16).hexdigest()


class ConfigFile:
    """The file at `path`. Links are followed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.target = Path(os.path.realpath(path))

    def read(self) -> bytes | None:
        """Return the content; None if there is no such file. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            return read_small(self.target, _MOST_BYTES)
        return None

    def why_read_only(self) -> str:
        """Return why it cannot be written, as far as can be told without trying; empty if it can."""
        folder = self.target.parent
        if os.access(folder, os.W_OK | os.X_OK) or os.access(self.target, os.W_OK):
            return ""
        name = self.target if self.target.exists() else folder
        try:
            flags = os.statvfs(name).f_flag
        except OSError:
            flags = 0
        if flags & os.ST_RDONLY:
            return f"{name} is mounted read-only"
        return f"{name} may not be written by user {os.geteuid()}"

    def replace(self, content: bytes, before: bytes | None) -> None:
        """Put `content` in the place of `before`, which the file has now; None: make the file.

        Raises `ChangedMeanwhile`, OSError. The file is then as it was; only a disk that fails while it is written in
        place, and then refuses the former content as well, leaves it damaged.
        """
        if before is None:
            write_new(self.target, content)
            return
        try:
            found = self.target.stat()
        except FileNotFoundError:
            raise ChangedMeanwhile from None
        if (found.st_uid == os.geteuid() or os.geteuid() == 0) and found.st_nlink == 1:
            try:
                self._swap(content, before, found)
                return
            except OSError as error:
                if error.errno not in _IN_PLACE:
                    raise
        self._overwrite(content, before)

    def remove_parts(self) -> None:
        """Remove what a process that was killed while it replaced the file has left."""
        now = time.time()
        for part in self.target.parent.glob(f".{self.target.name}.*.part"):
            with contextlib.suppress(OSError):
                if now - part.stat().st_mtime > 60:
                    part.unlink()

    def _swap(self, content: bytes, before: bytes, like: os.stat_result) -> None:
        part = self.target.with_name(f".{self.target.name}.{os.urandom(4).hex()}.part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if (like.st_uid, like.st_gid) != (os.geteuid(), os.fstat(descriptor).st_gid):
                    os.fchown(descriptor, like.st_uid, like.st_gid)
                self._copy_attributes(descriptor)
                os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
                os.fsync(descriptor)
            self._check(before)  # as late as can be: syncing may take seconds
            part.replace(self.target)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        _sync(self.target.parent)

    def _copy_attributes(self, descriptor: int) -> None:
        """Copy access lists and labels."""
        with contextlib.suppress(OSError):
            for name in os.listxattr(self.target):
                os.setxattr(descriptor, name, os.getxattr(self.target, name))

    def _check(self, before: bytes) -> None:
        if self.read() != before:
            raise ChangedMeanwhile

    def _overwrite(self, content: bytes, before: bytes) -> None:
        descriptor = os.open(self.target, os.O_WRONLY | os.O_CLOEXEC)
        try:
            self._check(before)
            try:
                _reserve(descriptor, max(len(content), len(before)))
                _write_whole(descriptor, content)
            except BaseException:
                with contextlib.suppress(OSError):
                    _write_whole(descriptor, before)
                raise
        finally:
            os.close(descriptor)


class _Version(NamedTuple):
    path: Path
    number: int
    after: str
    """Digest of the content that took this version's place."""


class Versions:
    """Earlier contents, beside the journal, for its user alone: they hold secrets."""

    def __init__(self, database: Path) -> None:
        self._folder = database.with_name(f"{database.name}.config")

    def state(self, content: bytes | None) -> UndoState:
        """Return whether the last save can be undone, if `content` is what the file has now."""
        try:
            found = self._since(content)
            saved_at = found[-1].path.stat().st_mtime if found else None
        except OSError as error:
            return UndoState(possible=False, why_not=f"{self._folder} cannot be read: {error.strerror}")
        if not found:
            return UndoState(possible=False, why_not="nothing was saved here yet")
        last = found[-1]
        if content is None or _digest(content) != last.after:
            why = "the file was changed since the last save"
            return UndoState(possible=False, versions=len(found), saved_at=saved_at, why_not=why)
        return UndoState(possible=True, versions=len(found), saved_at=saved_at)

    def keep(self, before: bytes, after: bytes) -> Path:
        """Keep a content that is about to be replaced by `after`. Raises OSError."""
        if not self._folder.exists():
            self._folder.mkdir(mode=0o700, parents=True)
            if os.geteuid() == 0:
                owner = self._folder.parent.stat()
                os.chown(self._folder, owner.st_uid, owner.st_gid)
        found = self._since(before)
        number = found[-1].number + 1 if found else 1
        path = self._folder / f"{number:06d}-{_digest(after)}.yaml"
        write_new(path, before)
        for old in found[: max(0, len(found) + 1 - KEPT)]:
            with contextlib.suppress(OSError):
                old.path.unlink()
        return path

    def last(self, content: bytes) -> tuple[Path, bytes]:
        """Return the version before `content`, which the file has now. Raises OSError, LookupError."""
        path = self._since(content)[-1].path
        return path, read_small(path, _MOST_BYTES)

    def _since(self, content: bytes | None) -> list[_Version]:
        """Return all versions without those whose save never came about: the file still has their content."""
        found = self._all()
        while found and content is not None and found[-1].after != _digest(content):
            if read_small(found[-1].path, _MOST_BYTES) != content:
                break
            found.pop()
        return found

    def _all(self) -> list[_Version]:
        """Return all versions, oldest first."""
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        found = ((name, _NAME.fullmatch(name)) for name in names)
        return sorted(
            (_Version(self._folder / name, int(match[1]), match[2]) for name, match in found if match),
            key=lambda version: version.number,
        )


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _reserve(descriptor: int, size: int) -> None:
    """Get the room for a file before anything is written. Raises OSError if there is none."""
    try:
        os.posix_fallocate(descriptor, 0, max(1, size))
    except OSError as error:
        if error.errno not in _CANNOT_RESERVE:
            raise


def _write_whole(descriptor: int, content: bytes) -> None:
    """Write a file from its beginning."""
    at = 0
    while at < len(content):
        at += os.pwrite(descriptor, content[at:], at)
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)


def _sync(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every file system can, and a folder may be closed to readers
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
