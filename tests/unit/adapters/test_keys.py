from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from qguardarr.adapters import keys
from qguardarr.config import validators as texts
from qguardarr.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Does not exist yet; nothing but the key may be left in it."""
    path = tmp_path / "data"
    yield path
    if path.is_dir():
        assert [file.name for file in path.iterdir() if file.name != "api.key"] == []


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_made_once_and_kept_private(folder: Path) -> None:
    made = keys.api_key(folder, None)
    assert texts.api_key(made) == made
    assert len(made) == 43
    assert keys.api_key(folder, None) == made
    assert mode(folder / "api.key") == 0o600
    assert mode(folder) == 0o700
    assert keys.api_key(folder / "other", None) != made
    (folder / "other/api.key").unlink()
    (folder / "other").rmdir()


def test_a_configured_key_needs_no_file(folder: Path) -> None:
    assert keys.api_key(folder, "configured") == "configured"
    assert not folder.exists()


def test_a_file_that_others_may_read_is_tightened(folder: Path) -> None:
    made = keys.api_key(folder, None)
    (folder / "api.key").chmod(0o644)
    assert keys.api_key(folder, None) == made
    assert mode(folder / "api.key") == 0o600


def test_a_key_written_by_hand_is_taken(folder: Path) -> None:
    folder.mkdir()
    (folder / "api.key").write_text("  my-own-key-of-20-signs \n")
    assert keys.api_key(folder, None) == "my-own-key-of-20-signs"


@pytest.mark.parametrize(
    "text", ["", "\n", "short", "two words of some length", "schlüsselschlüssel", "x" * 513, "a" * 20 + "\nb"]
)
def test_a_file_without_a_key_is_an_error_and_stays(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "api.key").write_text(text)
    with pytest.raises(ConfigError, match=r"api\.key: holds no key .* hint: remove the file") as caught:
        keys.api_key(folder, None)
    assert (folder / "api.key").read_text() == text
    assert not text.strip() or text.strip() not in str(caught.value)
    with pytest.raises(texts.TextError):  # the rule for both is one
        texts.api_key(text)


@pytest.mark.parametrize("key", ["x" * 16, "y" * 512, "!\"#$%&'()*+,-./~"])
def test_the_file_takes_what_the_configuration_takes(folder: Path, key: str) -> None:
    folder.mkdir()
    (folder / "api.key").write_text(key)
    assert keys.api_key(folder, None) == texts.api_key(key) == key


def test_bytes_that_are_no_text_are_an_error(folder: Path) -> None:
    folder.mkdir()
    (folder / "api.key").write_bytes(b"\xff" * 20)
    with pytest.raises(ConfigError, match="holds no key"):
        keys.api_key(folder, None)


def test_a_path_that_is_no_file_is_an_error(folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "api.key")
    with pytest.raises(ConfigError, match=r"not a file\. hint: remove it"):
        keys.api_key(folder, None)


def test_a_folder_that_cannot_be_written_is_an_error(folder: Path) -> None:
    folder.write_text("in the way")
    for call in (lambda: keys.api_key(folder, None), lambda: keys.renew(folder)):
        with pytest.raises(ConfigError, match=r"cannot be read or made: .*\. hint: make file and folder writable"):
            call()
    folder.unlink()


def test_a_file_whose_mode_cannot_be_changed_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _mode: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    keys.api_key(folder, None)
    (folder / "api.key").chmod(0o640)
    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(ConfigError, match="Operation not permitted"):
        keys.api_key(folder, None)


def test_processes_that_make_a_key_at_once_get_the_same_one(folder: Path) -> None:
    start = threading.Barrier(8)

    def make(_: int) -> str:
        start.wait()
        return keys.api_key(folder, None)

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(make, range(8)))
    assert found == {keys.api_key(folder, None)}


def test_a_key_that_another_process_made_first_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def too_late(source: Path, target: Path) -> None:
        target.write_text("the-key-of-another-process")
        link(source, target)

    monkeypatch.setattr(os, "link", too_late)
    assert keys.api_key(folder, None) == "the-key-of-another-process"


def test_a_file_system_without_links_will_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_source: Path, _target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    made = keys.api_key(folder, None)
    assert keys.api_key(folder, None) == made
    assert mode(folder / "api.key") == 0o600


def test_a_full_disk_leaves_no_half_a_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    kept = keys.api_key(folder, None)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        keys.renew(folder)
    assert keys.api_key(folder, None) == kept
    (folder / "api.key").unlink()
    with pytest.raises(ConfigError, match="No space left"):
        keys.api_key(folder, None)
    assert not (folder / "api.key").exists()


def test_renewing_replaces_the_key_whatever_it_was(folder: Path) -> None:
    first = keys.renew(folder)
    second = keys.renew(folder)
    assert first != second == keys.api_key(folder, None)
    (folder / "api.key").write_text("broken")
    assert keys.renew(folder) == keys.api_key(folder, None)
    assert mode(folder / "api.key") == 0o600


def test_hashes_are_argon2id_in_little_memory() -> None:
    hashed = keys.hash_password("hunter2")
    assert hashed.startswith("$argon2id$v=19$m=7168,t=5,p=1$")
    assert texts.is_password_hash(hashed)
    assert PasswordHasher().verify(hashed, "hunter2")
    assert keys.hash_password("hunter2") != hashed
    assert keys.hash_password("hunter2", b"0" * 16) == keys.hash_password("hunter2", b"0" * 16)
