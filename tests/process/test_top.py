"""`qguardarr top` on a pseudo-terminal: what it shows, its keys, and the terminal as it was, however it ends."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.journal import SqliteJournal
from tests.support.api_client import KEY, ServedApi, served
from tests.support.terminal import CTRL_C, CTRL_Z, Terminal, terminal

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    with served(tmp_path_factory.mktemp("top")) as api:
        api.wait_until_parked()
        yield api


@contextlib.contextmanager
def top(api: ServedApi, *options: str, wide: int = 80, **environment: str) -> Iterator[Terminal]:
    command = [sys.executable, "-m", "qguardarr", "top", "--config", str(api.config), *options]
    with terminal(command, cwd=api.folder, environment={"NO_COLOR": "", **environment}, columns=wide) as opened:
        yield opened


def assert_restored(opened: Terminal) -> None:
    assert opened.output.count(ENTER) == opened.output.count(LEAVE) > 0
    assert opened.output.rindex(LEAVE) > opened.output.rindex("\x1b[H")
    assert opened.output.rindex("\x1b[?25h") > opened.output.rindex("\x1b[?25l"), "the cursor is back"
    assert opened.echoes()
    assert opened.lines()
    assert "Traceback" not in opened.output


def paused(path: Path) -> str | None:
    with contextlib.closing(SqliteJournal(path)) as journal:
        return journal.paused()


@pytest.mark.parametrize("options", [(), ("--url",)], ids=["by its files", "over its API"])
def test_it_shows_trackers_pauses_resumes_and_quits(api: ServedApi, options: tuple[str, ...]) -> None:
    address = (f"http://127.0.0.1:{api.port}",) if options else ()
    with top(api, *options, *address, wide=140, QGUARDARR_API_KEY=KEY) as opened:
        opened.expect("HOLDING")
        opened.expect("month")
        opened.expect("Caps are held.")
        opened.expect("An example")
        opened.expect("1 MB/s")
        opened.type("p")
        opened.expect("Pause?")
        opened.type("n")
        opened.expect("q quit")
        assert paused(api.database) is None
        opened.type("p")
        opened.expect("Pause?")
        opened.type("y")
        opened.expect("PAUSED")
        assert paused(api.database) == "paused in qguardarr top"
        opened.type("r")
        opened.expect("HOLDING")
        opened.type("s")
        opened.expect("sort: rate")
        opened.type("q")
        assert opened.wait() == 0
        assert_restored(opened)


@pytest.mark.parametrize(
    ("ending", "code"),
    [(CTRL_C, 130), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGHUP, 128 + signal.SIGHUP)],
    ids=str,
)
def test_the_terminal_is_as_it_was(api: ServedApi, ending: str | signal.Signals, code: int) -> None:
    with top(api) as opened:
        opened.expect("HOLDING")
        assert not opened.lines()
        if isinstance(ending, str):
            opened.type(ending)
        else:
            opened.process.send_signal(ending)
        assert opened.wait() == code
        assert_restored(opened)


def test_after_an_error_within_it_too(api: ServedApi, tmp_path: Path) -> None:
    broken = "import qguardarr.cli.top_view as v, qguardarr.cli as c; v.frame = None; c.main()"
    command = [sys.executable, "-c", broken, "top", "--config", str(api.config)]
    with terminal(command, cwd=tmp_path, environment={}) as opened:
        assert opened.wait() == 70
        assert opened.output.index(LEAVE) < opened.output.index("Traceback"), "it can be read"
        assert opened.echoes()
        assert opened.lines()


@pytest.mark.parametrize("wide", [40, 64, 132])
def test_it_fits_and_follows_the_width(api: ServedApi, wide: int) -> None:
    with top(api, wide=wide, NO_COLOR="1") as opened:
        opened.expect("HOLDING")
        opened.expect("An example")
        opened.resize(50, 12)
        opened.expect("q quit")
        opened.expect("HOLDING")
        opened.type("q")
        assert opened.wait() == 0
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", opened.output), "no colour"
        assert_restored(opened)


def test_it_goes_to_rest_and_on(api: ServedApi) -> None:
    """Under a shell: the system stops nobody whose parent is in another session."""
    shell = ["bash", "-c", 'set -m; "$@"; echo RESTING; read -r; fg >/dev/null', "bash"]
    command = [*shell, sys.executable, "-m", "qguardarr", "top", "--config", str(api.config)]
    with terminal(command, cwd=api.folder, environment={}) as opened:
        opened.expect("HOLDING")
        opened.type(CTRL_Z)
        opened.expect(LEAVE)
        opened.expect("RESTING")
        assert opened.lines()
        opened.type("\n")
        opened.expect(ENTER)
        opened.expect("HOLDING")
        opened.type("q")
        assert opened.wait() == 0
        assert_restored(opened)


@pytest.mark.parametrize("options", [(), ("--url",)], ids=["by its files", "over its API"])
def test_a_daemon_that_goes_and_comes_back(api: ServedApi, options: tuple[str, ...]) -> None:
    address = (f"http://127.0.0.1:{api.port}",) if options else ()
    with top(api, *options, *address, QGUARDARR_API_KEY=KEY) as opened:
        opened.expect("HOLDING")
        api.daemon.end()
        opened.expect("AWAY")
        opened.expect("These figures are of")
        opened.expect("An example")
        api.start()
        opened.expect("HOLDING")
        opened.type("q")
        assert opened.wait() == 0


def test_a_wrong_key_is_told_and_no_terminal_is_refused(api: ServedApi, tmp_path: Path) -> None:
    with top(api, "--url", f"http://127.0.0.1:{api.port}", QGUARDARR_API_KEY="wrong") as opened:
        opened.expect("the API key is wrong")
        opened.type("q")
        assert opened.wait() == 0
    with top(api, TERM="dumb") as opened:
        assert opened.wait() == 2
        assert "qguardarr status" in opened.output
        assert ENTER not in opened.output
