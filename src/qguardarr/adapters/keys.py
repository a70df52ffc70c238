"""Make the API key at the first start and keep it beside the journal; hash passwords."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from qguardarr.errors import ConfigError
from qguardarr.smallfile import write_new

FILE_NAME: Final = "api.key"

_KEY: Final = re.compile(r"[!-~]{16,512}")
"""The form that `auth.api_key` has to have, too."""
_KEY_BYTES: Final = 32
_MOST_BYTES: Final = 4096

_TIME_COST: Final = 5
_MEMORY_KIB: Final = 7168
"""OWASP's argon2id profile with the least memory: 7 MiB for a moment, in a daemon of 60 MB."""


def api_key(folder: Path, configured: str | None) -> str:
    """Return the key in force: `configured`, else the one in `folder`, which is made if there is none.

    Several processes that make it at the same time get the same key. Raises `ConfigError` if the file holds no key, or
    cannot be read or made.
    """
    if configured is not None:
        return configured
    path = folder / FILE_NAME
    with _explaining(path):
        with contextlib.suppress(FileNotFoundError):
            return _read(path)
        _make(path)
        return _read(path)


def renew(folder: Path) -> str:
    """Put a new key in the place of the kept one, if any, and return it. Raises `ConfigError`."""
    path = folder / FILE_NAME
    with _explaining(path):
        _make(path, replace=True)
        return _read(path)


def hash_password(password: str, salt: bytes | None = None) -> str:
    """Return the argon2id hash in its text form. `salt`: 16 bytes; random if it is None."""
    from argon2 import PasswordHasher  # noqa: PLC0415 # the daemon is handed hashes, and makes none

    return PasswordHasher(time_cost=_TIME_COST, memory_cost=_MEMORY_KIB, parallelism=1).hash(password, salt=salt)


def _read(path: Path) -> str:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hold us up
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError("not a file", place=f"API key {path}", hint="remove it, and a key is made")
        if status.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
        key = os.read(descriptor, _MOST_BYTES).decode("utf-8", "replace").strip()
    finally:
        os.close(descriptor)
    if not _KEY.fullmatch(key):
        hint = "remove the file, and a key is made"
        raise ConfigError("holds no key of 16 to 512 ASCII characters", place=f"API key {path}", hint=hint)
    return key


def _make(path: Path, *, replace: bool = False) -> None:
    """Write a new key, unless another process has made one meanwhile and it is not to be replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        write_new(path, f"{secrets.token_urlsafe(_KEY_BYTES)}\n".encode(), replace=replace)


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot be read or made: {getattr(error, 'strerror', None) or error}",
            place=f"API key {path}",
            hint="make file and folder writable for the user who runs Qguardarr, or set auth.api_key or "
            "QGUARDARR_API_KEY",
        ) from None
