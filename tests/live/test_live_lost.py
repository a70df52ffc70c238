"""A real qBittorrent, a daemon that is killed, and a journal that is lost then: every original comes back."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chaos import Guard, Place, cycles
from tests.support.daemon_process import until
from tests.support.journal_damage import (
    Damage,
    delete_all,
    delete_log,
    delete_main,
    empty,
    garble_log,
    garble_pages,
    loop,
    overwrite,
)

pytestmark = pytest.mark.shared


def nothing(_: Path) -> None:
    """The file is well; only the working directory is another."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with contextlib.ExitStack() as cleanup:
        yield Place("5.1.0", tmp_path_factory.mktemp("lost") / "lab", cleanup)


@pytest.mark.parametrize(
    "damage", [nothing, empty, delete_main, delete_all, delete_log, garble_log, garble_pages, overwrite, loop]
)
@pytest.mark.parametrize("beside_a_daemon", [False, True], ids=["rollback alone", "another daemon first"])
def test_every_original_comes_back(
    place: Place, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, damage: Damage, beside_a_daemon: bool
) -> None:
    guard = Guard(place, tmp_path)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    text = guard.config.read_text().replace(str(guard.database), guard.database.name)
    guard.config.write_text(text)  # relative: to the file
    place.shift_demand()
    with guard.serve() as running:
        running.wait_for_state("holding")
        until(place.all_limited, "limits")
        list(cycles(running, 3))
        running.kill()
    damage(guard.database)
    with contextlib.ExitStack() as held:
        if beside_a_daemon:
            running = held.enter_context(guard.serve())
            running.wait_for_state("holding")
            list(cycles(running, 3))
        command = [sys.executable, "-m", "qguardarr", "rollback", "--yes", "--json", "--config", str(guard.config)]
        environment = {**os.environ, "PYTHONPATH": str(Path("src").absolute())}
        done = subprocess.run(
            command, cwd=elsewhere, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["set_by_hand"] == {}
        assert place.limits() == place.originals
        if beside_a_daemon:
            list(cycles(running, 3))
            assert place.limits() == place.originals
    assert list(elsewhere.iterdir()) == []
