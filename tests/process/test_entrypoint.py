"""The entry point of the image, with odd values and folders: it becomes the command, or ends with one line and 2."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

ENTRYPOINT = ROOT / "deploy" / "image" / "entrypoint.py"
DRIVER = """
import importlib.util, os, sys
from pathlib import Path
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("entrypoint", sys.argv[1])
entrypoint = importlib.util.module_from_spec(spec)
spec.loader.exec_module(entrypoint)
entrypoint.FOLDER = Path(sys.argv[2])
os.execv = lambda program, arguments: sys.exit(" ".join(["became", *arguments[1:]]))
os.getpid = lambda: 1  # as in a container
sys.setrecursionlimit(150)  # so that a tree of 200 folders is deep
entrypoint.main(["serve"])
"""


def start(folder: Path, **environment: str) -> tuple[int, str]:
    """Exit code and what it says; code 1 and `became serve` if it would have become the command."""
    given = {"PATH": os.environ["PATH"], "PUID": str(os.geteuid()), "PGID": str(os.getegid()), **environment}
    command = [sys.executable, "-c", DRIVER, str(ENTRYPOINT), str(folder)]
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that other users may reach, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        subprocess.run(
            ["rm", "-r", *map(str, Path(folder).iterdir())], check=True
        )  # shutil's gives up a thousand below


BECAME = (1, "became serve\n")


def test_without_anything_odd_it_becomes_the_command(tmp_path: Path) -> None:
    assert start(tmp_path) == BECAME
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mask", ["777", "0700", "1000", "-22", "x", "9" * 5000])
def test_a_mask_that_shuts_itself_out_is_refused(tmp_path: Path, mask: str) -> None:
    code, said = start(tmp_path, UMASK=mask)
    assert (code, "is no umask: give an octal number from 000 to 077" in said, said.count("\n")) == (2, True, 1)


def test_a_zone_may_be_longer_than_a_file_s_name(tmp_path: Path) -> None:
    code, said = start(tmp_path, TZ="x" * 300)
    assert (code, said.endswith(BECAME[1])) == (1, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
@pytest.mark.parametrize("number", ["-1", "4294967295", "9" * 5000, "x", "1_000"])
def test_what_is_no_user_is_refused(tmp_path: Path, number: str) -> None:
    code, said = start(tmp_path, PUID=number)
    assert (code, "is no number of a user or group" in said, said.count("\n")) == (2, True, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change users")
def test_folders_below_may_be_as_deep_as_they_like_and_links_are_not_followed(public: Path) -> None:
    folder, outside = public / "config", public / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "file").touch()
    (folder / "link").symlink_to(outside)
    here = os.open(folder, os.O_RDONLY)
    for _ in range(200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert start(folder, PUID="1000", PGID="1000") == BECAME
    assert {path.lstat().st_uid for path in (outside, outside / "file")} == {0}
    assert folder.stat().st_uid == 1000


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a folder that is closed to another user")
def test_a_folder_that_is_closed_is_named(public: Path) -> None:
    folder, closed = public / "config", public / "closed"
    folder.mkdir()
    closed.mkdir(mode=0o700)
    (closed / "q.yaml").touch()
    code, said = start(folder, PUID="1000", PGID="1000", QGUARDARR_CONFIG=str(closed / "q.yaml"))
    assert (code, f"{closed / 'q.yaml'} cannot be used by user 1000:1000" in said) == (2, True)


def test_what_a_killed_start_left_behind_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".trial-1").touch()
    assert start(tmp_path) == BECAME
