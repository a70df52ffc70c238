"""Set up all tests: marks by folder, fixed examples, and a working folder that stays empty."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import hypothesis
import hypothesis.configuration
import pytest
import structlog

from qguardarr.core.policy import Policy
from tests.support.guard_loop import Guard, Guarded
from tests.support.paths import ROOT
from tests.support.simulator import SimTorrent

CLONE: Final = ROOT
MAY_APPEAR: Final = (".cache/", ".venv/", "__pycache__/")

# Fixed examples: what fails is the fault of a change, and fails again. `make test-fast`, which runs many times a day,
# takes `--hypothesis-profile=random`, and keeps examples that failed. Nothing is timed: the machine may be busy.
hypothesis.configuration.set_hypothesis_home_dir(CLONE / ".cache" / "hypothesis")
untimed: Final[dict[str, Any]] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("random", derandomize=False, print_blob=True, **untimed)
hypothesis.settings.register_profile("fixed", derandomize=True, database=None, **untimed)
hypothesis.settings.load_profile("fixed")


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start, also where these tests run in the background of a shell, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


FOLDERS: Final = {ROOT / "tests/process": pytest.mark.process, ROOT / "tests/live": pytest.mark.live}
"""Every test in one of these folders has its mark."""


@pytest.hookimpl(tryfirst=True)  # before `-m` deselects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder, run those with a real qBittorrent last, and give each an id of its own.

    Tests of schemathesis have only the name of their operation, and of tests with one id xdist runs one, without
    a word about the others.
    """
    for item in items:
        if (mark := FOLDERS.get(item.path.parent)) is not None:
            item.add_marker(mark)
    items.sort(key=lambda item: item.get_closest_marker("live") is not None)
    count = Counter(item.nodeid for item in items)
    for item in items:
        if count[item.nodeid] > 1 and item.parent is not None:
            item._id = item.parent.id.child(item.name)  # noqa: SLF001 pytest offers no other way
    ids = {item.nodeid for item in items}
    if len(ids) < len(items):
        raise pytest.UsageError(f"{len(items) - len(ids)} tests share the id of another one; give each its own")


# -- tests write to their own folders ---------------------------------------------------------------------------------

_before = pytest.StashKey[set[str] | None]()


def untracked() -> set[str] | None:
    """Return files that Git does not track in the clone, apart from caches; None without Git."""
    command = ["git", "-C", str(CLONE), "status", "--porcelain", "--ignored"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return None
    if done.returncode != 0:
        return None
    lines = (line for line in done.stdout.splitlines() if line.startswith(("??", "!!")))
    return {line[3:] for line in lines if not line.endswith(MAY_APPEAR)}


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):  # once, not in each worker of xdist
        session.config.stash[_before] = untracked()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session if files have appeared in the clone."""
    before, after = session.config.stash.get(_before, None), untracked()
    if before is None or after is None or after <= before:
        return
    message = f"new in the clone: {', '.join(sorted(after - before))}; tests write to tmp_path"
    session.config.hook.pytest_runtest_logreport(
        report=pytest.TestReport("clone", ("clone", 0, "clone"), {}, "failed", message, "teardown")
    )
    session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def _empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run in an empty folder: a relative path never leads into the clone."""
    folder = tmp_path_factory.mktemp("cwd")
    os.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def _folder_stays_empty(_empty_folder: Path) -> Iterator[None]:
    """Name the test that writes to a relative path."""
    yield
    found = sorted(path.name for path in _empty_folder.iterdir())
    for path in _empty_folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    assert not found, f"{found} written to the working folder; tests write to tmp_path"


# -- what many use ----------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _logging_of_its_own() -> Iterator[None]:
    """Commands run in a test quieten the logs of their process, which is ours; the next test looks at its own lines."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A guarded simulation: policy and torrents."""
    made: list[Guarded] = []

    def make(policy: Policy, torrents: list[SimTorrent], **sim: Any) -> Guarded:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Guarded(folder, policy, torrents, **sim))
        return made[-1]

    yield make
    for guarded in made:
        guarded.journal.close()
