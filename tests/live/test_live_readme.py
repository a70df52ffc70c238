"""README and docs/ as a newcomer follows them: every command, as it stands there, on a terminal of 80 × 24, against a
real qBittorrent, from a copy of the clone; then every command of the table, in other kinds of terminals, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from rich.cells import cell_len

from lab.peers import Swarm
from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.torrents import make_torrent
from lab.tracker import Trackers
from qguardarr.adapters.statusfile import read_status, status_path
from qguardarr.cli import app
from qguardarr.core.model import UNLIMITED
from tests.support.configs import loads
from tests.support.daemon_process import until
from tests.support.paths import ROOT
from tests.support.terminal import CTRL_C, Terminal, shown, terminal

pytestmark = pytest.mark.shared

REPO: Final = ROOT
PAGES: Final = {
    path.relative_to(REPO).as_posix(): path.read_text(encoding="utf-8")
    for path in (REPO / "README.md", *sorted((REPO / "docs").glob("*.md")))
}
FOLLOWED: Final = (
    ("README.md", "4.5.2"),
    ("README.md", "5.1.0"),
    ("docs/installation.md", "5.1.0"),
    ("docs/api.md", "4.5.2"),
)
"""Pages whose commands are run, each beside a version of qBittorrent."""

NOT_RUN: Final = {
    "apt-get update && apt-get install git make python3-venv qbittorrent-nox curl": "would change the machine",
    "git clone … qguardarr && cd qguardarr": "the copy of the clone stands for it",
    "make install": "the environment that runs the tests stands for it; `make -n` here",
    "python3 -m venv /opt/qguardarr && /opt/qguardarr/bin/pip install qguardarr": "test_package installs it elsewhere",
    "cp /opt/qguardarr/share/qguardarr/qguardarr.service /etc/systemd/system/": "would change the machine",
    "/opt/qguardarr/bin/qguardarr init --config /var/lib/qguardarr/qguardarr.yaml": "likewise",
    "systemctl enable --now qguardarr": "likewise; test_systemd has what systemd hears",
    "make demo": "a minute of its own: another test begins it; `make -n` here",
    "make test": "is what runs this; `make -n` here",
    "docker compose": "no registry and no engine here; test_live_image has the image, test_deploy the files",
    "on added:": "what `install-hook --print` prints, which is compared with it",
    "on finished:": "likewise",
}
"""Lines of the pages that are not run as they stand, by how they begin, and why."""

LEAVE: Final = "\x1b[?1049l"
"""Ends what fills the whole screen, as `top` does; nothing of it stays."""
TABLE: Final = {
    "init --non-interactive": (2, ""),  # there is a configuration
    "check": (0, ""),
    "trackers --yaml": (0, ""),
    "preview --limit 1": (0, ""),
    "status": (0, ""),
    "health": (0, ""),
    "top": (0, "q"),  # behind `sort: …`
    "forget --instance seedbox": (2, ""),  # the journal knows none with this name
    "history": (0, ""),
    "usage": (0, ""),
    "hush --for 90m": (0, ""),
    "hush --end": (0, ""),
    "boost --for 2h": (0, ""),
    "boost --end": (0, ""),
    "history --hash {hash}": (0, ""),
    "backup copy.db": (0, ""),
    "restore copy.db": (5, ""),  # not beside a running daemon
    "begin-anew": (4, ""),  # the journal knows originals: nothing is lost
    "reset {hash}": (0, ""),
    "reset": (0, "y\n"),
    "pause --reason maintenance": (0, ""),
    "resume": (0, ""),
    "rollback": (0, "y\n"),
    "api-key": (0, ""),
    "api-key --new": (0, ""),
    "hash-password": (0, "secret\nsecret\n"),
    "install-hook --print": (0, ""),
    "install-hook": (0, ""),
    "install-hook --remove": (0, ""),
    "notify-test": (2, ""),  # no address is configured
    "serve": (5, ""),  # one runs already
}
"""The commands of the table in docs/commands.md: the documented exit code, and what is typed when they ask."""


def blocks(page: str, language: str = "") -> list[list[str]]:
    """Return a page's fenced blocks in a language, without comments; for commands, those without a language."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)
    found = [block for its_language, block in fenced if its_language == language]
    return [
        [line for line in re.sub(r"\s+#.*$", "", block, flags=re.MULTILINE).splitlines() if line] for block in found
    ]


def commands(page: str) -> list[str]:
    """Return the lines of a page that are run."""
    lines = [line for block in blocks(page) for line in block]
    return [line for line in lines if not any(line.startswith(beginning) for beginning in NOT_RUN)]


class Newcomer:
    """A copy of the clone, a qBittorrent beside it, and shells in it."""

    def __init__(self, clone: Path, qbittorrent: QBittorrent) -> None:
        self.clone, self.qbittorrent = clone, qbittorrent
        self.config, self.database = clone / "config/qguardarr.yaml", clone / "config/data/qguardarr.db"
        self.port = free_port()

    def here(self, line: str) -> str:
        """Return a line of a page with this place's ports and password."""
        line = line.replace("localhost:8080", f"localhost:{self.qbittorrent.port}").replace(":8089", f":{self.port}")
        return line.replace("QBIT_PASSWORD=…", f"QBIT_PASSWORD={self.qbittorrent.password}")

    def edit(self) -> None:
        """A port of its own in what `init` wrote."""
        written = self.config.read_text()
        assert "  # port: 8089\n" in written
        self.config.write_text(written.replace("  # port: 8089\n", f"  port: {self.port}\n"))

    @contextlib.contextmanager
    def shell(self, **environment: str) -> Iterator[Shell]:
        """A terminal of its own with bash, in the clone."""
        variables = {
            "HOME": str(self.clone.parent),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PS1": PROMPT,
            "NO_COLOR": "",
            **environment,
        }
        command = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
        with terminal(command, cwd=self.clone, environment=variables) as opened:
            opened.expect("[0]> ")
            yield Shell(opened)


PROMPT: Final = "[$?]> "


class Shell:
    """bash, and what comes of what is typed."""

    def __init__(self, opened: Terminal) -> None:
        self.terminal = opened

    def run(self, line: str, answers: str = "") -> tuple[int, str]:
        """Exit code of a line, and what stays on the screen of it. Whatever it asks is answered at once."""
        self.terminal.type(line + "\n")
        self.terminal.expect("\n")
        for answer in answers.splitlines(keepends=True):
            self.terminal.expect(": ")
            self.terminal.type(answer)
        found, code = self.terminal.expect("]> ").rsplit("[", 1)
        assert "Traceback" not in found
        screen = shown(found.rpartition(f"{LEAVE}\x1b[0m")[2])
        for row in screen.splitlines():
            if len(re.findall(r"\S {2,}\S", row)) > 1:  # of a table
                assert cell_len(row) <= self.terminal.columns, row
        return int(code), screen


@pytest.fixture
def newcomer(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Newcomer]:
    """A newcomer whose qBittorrent, of the version in `param`, has four torrents on two trackers; two upload."""
    for name in list(os.environ):
        if name.startswith(("QBIT_", "QGUARDARR_")) and name != "QGUARDARR_LAB_CACHE":
            monkeypatch.delenv(name)
    clone = tmp_path / "qguardarr"
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPO, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, names.split("\0")):
        if (REPO / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPO / name, clone / name)
    (clone / ".venv").symlink_to(sys.prefix)
    with Trackers(["alpha", "beta"]) as trackers, QBittorrent(request.param, tmp_path / "lab") as qbittorrent:
        torrents = [
            make_torrent(f"{name}.A.Torrent.With.A.Name.As.Long.As.They.Are.S01E{n:02}.1080p.WEB.x264-GROUP", [url])
            for name, url in ((name, trackers[name].announce_url) for name in ("alpha", "beta"))
            for n in range(2)
        ]
        qbittorrent.add(torrents)
        qbittorrent.wait_until_seeding(len(torrents))
        qbittorrent.web.set_upload_limit(3_000_000, [torrents[0].info_hash])
        with Swarm((qbittorrent.host, qbittorrent.peer_port)) as swarm:
            swarm.join({torrent.info_hash: torrent.size for torrent in torrents})
            swarm.wait_until_connected()
            swarm.set_demand({torrent.info_hash: 50_000.0 for torrent in torrents[::2]})
            yield Newcomer(clone, qbittorrent)


@pytest.mark.parametrize(("page", "newcomer"), FOLLOWED, indirect=["newcomer"])
def test_a_page_works_as_it_is_written(page: str, newcomer: Newcomer) -> None:
    """Lines after `qguardarr serve`, which keeps its terminal, are typed in a second one."""
    originals, lines = newcomer.qbittorrent.web.upload_limits(), commands(page)
    begins = "qguardarr serve" in lines
    serving = lines.index("qguardarr serve") if begins else 0
    with newcomer.shell() as first, newcomer.shell() as second:
        if not begins:  # a page that expects a running daemon
            _configured(newcomer)
            _prepare(newcomer, first, second)
        for line in lines[:serving]:
            _follow(newcomer, first, line)
        first.terminal.type("qguardarr serve\n")
        if begins:
            first.terminal.expect("observing")
            assert newcomer.qbittorrent.web.upload_limits() == originals
            newcomer.config.write_text(newcomer.config.read_text().replace("dry_run: true", "dry_run: false"))
        first.terminal.expect("holding")
        until(lambda: newcomer.qbittorrent.web.upload_limits() != originals, "limits of ours")

        for line in lines[serving + begins :]:
            screen = _follow(newcomer, second, line)
            if line == "qguardarr status":
                assert "holds the caps." in screen
        if "qguardarr rollback" in lines:
            assert newcomer.qbittorrent.web.upload_limits() == originals
        if hooks := [line for block in blocks(page) for line in block if line.startswith("on ")]:
            key = second.run("qguardarr api-key")[1].strip()
            printed = second.run("qguardarr install-hook --print")[1]
            assert all(newcomer.here(line).replace("KEY", key) in printed for line in hooks)

        first.terminal.type(CTRL_C)
        assert first.terminal.expect("]> ").endswith("[0")


def _follow(newcomer: Newcomer, shell: Shell, line: str) -> str:
    """Type a line as it stands on the page, and answer what it asks."""
    answers = "y\n" if line == "qguardarr rollback" else ""
    if line == "qguardarr init":  # without the variable, it asks for the password too
        typed = "" if shell.run('test -n "$QBIT_PASSWORD"')[0] == 0 else f"{newcomer.qbittorrent.password}\n"
        answers = f"{newcomer.qbittorrent.url}\n\n{typed}10 MB/s\n\n"
    code, screen = shell.run(newcomer.here(line), answers)
    assert code == 0, f"{line}\n{screen}"
    if line == "qguardarr init":
        newcomer.edit()
    return screen


def _prepare(newcomer: Newcomer, *shells: Shell) -> None:
    """Put the command on the path, and set the password."""
    for shell in shells:
        for line in ('export PATH="$PWD/.venv/bin:$PATH"', "export QBIT_PASSWORD=…"):
            shell.run(newcomer.here(line))


@pytest.mark.parametrize(
    ("page", "caps"),
    [
        ("README.md", [2_000_000, UNLIMITED]),
        ("docs/installation.md", [10_000_000, UNLIMITED]),
        ("docs/configuration.md", [10_000_000, UNLIMITED]),
    ],
)
def test_the_configuration_on_a_page_loads(page: str, caps: list[int]) -> None:
    config = loads("\n".join(blocks(page, "yaml")[0]), environment={"QBIT_PASSWORD": "x"})
    assert [rule.max_upload_speed for rule in config.trackers] == caps


def test_every_command_of_the_pages_is_accounted_for() -> None:
    assert {page for page in PAGES if commands(page)} == {page for page, _ in FOLLOWED}
    lines = [line for page in PAGES for block in blocks(page) for line in block]
    for beginning in NOT_RUN:
        assert any(line.startswith(beginning) for line in lines), beginning
    for target in ("install", "demo", "test", "image", "test-image"):
        subprocess.run(["make", "-n", target], cwd=REPO, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("newcomer", ["5.1.0"], indirect=True)
def test_every_command_of_the_table_in_every_kind_of_terminal(newcomer: Newcomer) -> None:
    table = PAGES["docs/commands.md"].partition("| exit code |")[0]
    named = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([a-z-]+)", row)
    }
    known = {(command.name or command.callback.__name__.replace("_", "-")) for command in app.registered_commands}  # type: ignore[union-attr]
    assert named == known
    assert named == {command.split()[0] for command in TABLE}, "TABLE tries others than docs/commands.md names"
    _configured(newcomer)
    torrent = newcomer.qbittorrent.web.info()[0]["hash"]
    with newcomer.shell() as server, newcomer.shell() as plain:
        _prepare(newcomer, server, plain)
        server.terminal.type("qguardarr serve\n")
        server.terminal.expect("holding")
        _wait_until_held(newcomer)
        for command, (expected, answers) in TABLE.items():
            code, screen = plain.run(f"qguardarr {command.format(hash=torrent[:10])}", answers)
            assert code == expected, f"{command}: {code}\n{screen}"
        for variable in ("TERM=dumb", "NO_COLOR=1"):
            for command in ("check --connect", "trackers", "preview", "status", "history", "rollback --yes", "resume"):
                began = len(plain.terminal.output)
                code, screen = plain.run(f"{variable} qguardarr {command}")
                assert code == 0, f"{variable} {command}: {code}\n{screen}"
                assert variable != "TERM=dumb" or "\x1b" not in plain.terminal.output[began:]
        server.terminal.type(CTRL_C)
        assert server.terminal.expect("]> ").endswith("[0")


@pytest.mark.parametrize("newcomer", ["4.5.2"], indirect=True)
def test_ctrl_c_in_the_middle(newcomer: Newcomer) -> None:
    """qBittorrent stands still while a rollback waits for it; nothing is lost, and the next one restores."""
    originals = newcomer.qbittorrent.web.upload_limits()
    _configured(newcomer)
    with newcomer.shell(TERM="xterm") as shell:
        _prepare(newcomer, shell)
        shell.terminal.type("qguardarr serve\n")
        shell.terminal.expect("holding")
        _wait_until_held(newcomer)
        shell.terminal.type(CTRL_C)
        assert shell.terminal.expect("]> ").endswith("[0")
        assert newcomer.qbittorrent.web.upload_limits() != originals
        for command, sign in (("preview", "watching"), ("trackers", "watching"), ("rollback", "[y/N]: ")):
            shell.terminal.type(f"qguardarr {command}\n")
            shell.terminal.expect(sign)
            shell.terminal.type(CTRL_C)
            assert shell.terminal.expect("]> ").endswith("[130")
        os.kill(newcomer.qbittorrent.pid, signal.SIGSTOP)
        try:
            shell.terminal.type("qguardarr rollback --yes\n")
            shell.terminal.expect("restoring")
            shell.terminal.type(CTRL_C)
            assert shell.terminal.expect("]> ").endswith("[130")
        finally:
            os.kill(newcomer.qbittorrent.pid, signal.SIGCONT)
        assert shell.terminal.echoes()
        assert shell.run("qguardarr rollback --yes")[0] == 0
    assert newcomer.qbittorrent.web.upload_limits() == originals


def test_ctrl_c_ends_the_demo_in_order(tmp_path: Path) -> None:
    """As soon as it draws: the cursor is back, and nothing is left behind."""
    command = [sys.executable, "-m", "demo"]
    with terminal(command, cwd=REPO, environment={"TMPDIR": str(tmp_path), "NO_COLOR": ""}) as opened:
        opened.expect("warming up")
        opened.type(CTRL_C)
        assert opened.wait() == 130
        assert opened.output.count("\x1b[?25h") == opened.output.count("\x1b[?25l") == 1
        assert opened.output.endswith("Interrupted; all is cleaned up.\n")
    assert list(tmp_path.iterdir()) == []


def _configured(newcomer: Newcomer) -> None:
    """Write a configuration that holds caps."""
    patterns = "".join(f"  - {{id: t{n}, pattern: '127.0.0.{n}', max_upload_speed: 1 MB/s}}\n" for n in (11, 12))
    newcomer.config.parent.mkdir(exist_ok=True)
    newcomer.config.write_text(
        f"global: {{port: {newcomer.port}}}\n"
        f'qbittorrent: {{url: "{newcomer.qbittorrent.url}", username: admin, password: "${{QBIT_PASSWORD}}"}}\n'
        f"trackers:\n{patterns}  - {{id: default, pattern: '.*', max_upload_speed: unlimited}}\n"
    )


def _wait_until_held(newcomer: Newcomer) -> None:
    path = status_path(newcomer.database)
    until(
        lambda: (s := read_status(path)) is not None and s.limited == s.torrents > 0, "limits of ours on all torrents"
    )
