"""The commands on a pseudo-terminal: what they draw, what they cut, what strangers' texts do there, and Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.statusfile import StatusFile, only_daemon, status_path
from qguardarr.cli.text import clean
from qguardarr.core.model import UNLIMITED, Change
from tests.support import samples
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent, Fault
from tests.support.hostile import EVIL
from tests.support.terminal import CTRL_C, CTRL_D, Terminal, shown, terminal

HASHES = [f"{n:02x}" * 20 for n in range(1, 4)]
LONG = "A.Very.Long.Name.Of.A.Torrent.In.Which.Nothing.Is.Left.Out.S01E01.1080p.WEB.x264-GROUP"


class Site:
    """A configuration, a journal with a few writes, and the qBittorrent that they are about."""

    def __init__(self, folder: Path, fake: FakeQBittorrent) -> None:
        self.folder, self.fake = folder, fake
        self.config, self.database = folder / "qguardarr.yaml", folder / "journal.db"
        self.config.write_text(
            f"""
global: {{update_interval: 0.5}}
qbittorrent: {{url: "{fake.url}", username: admin, password: "${{QBIT_PASSWORD}}"}}
rollback: {{database_path: {self.database}}}
trackers:
  - {{id: a-tracker-with-a-rather-long-name, pattern: 'alpha', max_upload_speed: 1 MB/s}}
  - {{id: default, pattern: '.*', max_upload_speed: unlimited}}
"""
        )

    def write(self, reason: str = "fair share of a-tracker-with-a-rather-long-name: 50 kB/s; wants more") -> None:
        """As if a daemon had limited all torrents."""
        with contextlib.closing(SqliteJournal(self.database)) as journal:
            journal.applied(journal.intend([Change(h, UNLIMITED, 50_000, UNLIMITED, reason) for h in HASHES]))
        for torrent in self.fake.torrents.values():
            torrent.up_limit = 50_000

    def pause(self, reason: str) -> None:
        with contextlib.closing(SqliteJournal(self.database)) as journal:
            journal.set_paused(reason)

    @contextlib.contextmanager
    def terminal(self, *arguments: str, wide: int = 80, **environment: str) -> Iterator[Terminal]:
        command = [sys.executable, "-m", "qguardarr", *arguments, "--config", str(self.config)]
        variables = {"QBIT_PASSWORD": self.fake.password, "NO_COLOR": "", **environment}
        with terminal(command, cwd=self.folder, environment=variables, columns=wide) as opened:
            yield opened

    def run(self, *arguments: str, wide: int = 80, **environment: str) -> tuple[int, str]:
        """Exit code, and what stays on the screen."""
        with self.terminal(*arguments, wide=wide, **environment) as opened:
            code = opened.wait()
            assert "Traceback" not in opened.output
            return code, shown(opened.output)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with FakeQBittorrent() as fake:
        fake.add(*(FakeTorrent(h, f"{n} {LONG}", (f"http://alpha{n}.example/announce",)) for n, h in enumerate(HASHES)))
        yield Site(tmp_path, fake)


@contextlib.contextmanager
def daemon_says(site: Site, **changes: object) -> Iterator[None]:
    """As if a daemon ran and had published that."""
    with only_daemon(site.database):
        StatusFile(status_path(site.database)).write(
            samples.status(**{"at": time.time(), "interval_s": 600.0} | changes)
        )
        yield


COMMANDS = (("trackers",), ("preview",), ("history",), ("reset", "--yes"), ("rollback", "--yes"))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_main_commands_work_in_a_terminal(site: Site, command: tuple[str, ...]) -> None:
    site.write()
    code, screen = site.run(*command)
    assert code == 0
    assert screen.strip()
    for line in screen.splitlines():
        assert cell_len(line) <= 80


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": ""}], ids=["dumb", "unset"])
def test_a_terminal_that_cannot_draw_gets_lines(site: Site, environment: dict[str, str]) -> None:
    site.write()
    with site.terminal("preview", **environment) as opened:
        assert opened.wait() == 0
        assert "\x1b" not in opened.output
        assert "watching the torrents: 0 of 2 s" in opened.output


def test_progress_begins_before_anything_is_known_of_its_length(site: Site) -> None:
    """The total comes with the first piece of news; a total of nothing is none to divide by."""
    site.write()
    with site.terminal("rollback", "--yes") as opened:
        opened.expect("restoring …")
        assert opened.wait() == 0
    code, screen = site.run("rollback", "--yes")
    assert (code, screen.splitlines()[0]) == (0, "No torrent had a limit of ours: there was nothing to restore.")


@pytest.mark.parametrize("wide", [10, 80, 120])
def test_tables_fit_where_they_can(site: Site, wide: int) -> None:
    site.write()
    with daemon_says(site, trackers=(samples.row("a-tracker-with-a-rather-long-name"), samples.row("default"))):
        for command in ("preview", "history", "status"):
            code, screen = site.run(command, wide=wide)
            assert code == 0
            table = [line for line in screen.splitlines() if "kB/s" in line or "tracker" in line]
            assert table
            for line in table:
                assert "50 kB/s" in line or "50 k" not in line, "a number was cut"
                if wide >= 80:
                    assert cell_len(line) <= wide


def test_history_has_two_lines_for_each_write_in_a_narrow_terminal_and_one_in_a_wide_one(site: Site) -> None:
    site.write()
    with daemon_says(site):
        narrow, wide = (site.run("history", wide=wide)[1].splitlines() for wide in (80, 300))
    assert len(narrow) == 7
    assert HASHES[2][:10] in narrow[1]
    assert narrow[2].startswith("    2 A.Very")
    assert "fair share" in narrow[2]
    assert len(wide) == 4
    assert LONG in wide[1]


def test_what_there_is_no_room_for_is_named(site: Site) -> None:
    site.write()
    with daemon_says(site):
        assert "want more" in site.run("status", wide=120)[1]
        assert "(no room for: " in site.run("status", wide=60)[1]


@pytest.mark.parametrize("command", [("trackers",), ("preview",)], ids=" ".join)
def test_ctrl_c_ends_a_command_at_once_and_leaves_the_terminal_as_it_was(site: Site, command: tuple[str, ...]) -> None:
    with site.terminal(*command) as opened:
        opened.expect("watching")
        opened.type(CTRL_C)
        assert opened.wait() == 130
        assert shown(opened.output) == ""
        assert opened.echoes()


def test_ctrl_c_in_the_middle_of_a_rollback(site: Site) -> None:
    """qBittorrent hangs when the limits are to be put back."""
    site.write()
    site.fake.fail_next("/api/v2/torrents/setUploadLimit", Fault.HANG)
    with site.terminal("rollback") as opened:
        opened.expect("[y/N]: ")
        opened.type("y\n")
        opened.expect("0 of 3 torrents")
        opened.type(CTRL_C)
        assert opened.wait() == 130
        assert shown(opened.output).endswith(
            "Interrupted. What was restored is noted; the rest stays for the next attempt.\n"
        )
    site.fake.release()
    assert site.run("rollback", "--yes")[0] == 0
    assert {torrent.up_limit for torrent in site.fake.torrents.values()} == {0}


@pytest.mark.parametrize(("answer", "code"), [(CTRL_C, 130), (CTRL_D, 1), ("\n", 1), ("n\n", 1), ("yes\n", 0)])
def test_a_rollback_asks_first(site: Site, answer: str, code: int) -> None:
    site.write()
    with site.terminal("rollback") as opened:
        opened.expect("Give 3 torrents their own limits back, and pause Qguardarr? [y/N]: ")
        opened.type(answer)
        assert opened.wait() == code
    assert {torrent.up_limit for torrent in site.fake.torrents.values()} == ({0} if code == 0 else {50_000})


def test_a_password_is_asked_for_unseen(site: Site) -> None:
    command = [sys.executable, "-m", "qguardarr", "hash-password"]
    with terminal(command, cwd=site.folder, environment={}) as opened:
        for prompt, typed in (("Password: ", "one"), ("again: ", "two"), ("Password: ", "one"), ("again: ", "one")):
            opened.expect(prompt)
            opened.type(typed + "\n")
        assert opened.wait() == 0
        assert "$argon2" in opened.output
        assert "one" not in opened.output
    with terminal(command, cwd=site.folder, environment={}) as opened:
        opened.expect("Password: ")
        opened.type(CTRL_C)
        assert opened.wait() == 130
        assert opened.echoes()


def test_what_strangers_write_cannot_steer_the_terminal(site: Site) -> None:
    evil = EVIL.replace("\ud800", "")
    for torrent in site.fake.torrents.values():
        torrent.name = evil + 10_000 * "x"
    site.fake.add(FakeTorrent("ee" * 20, "z\u0300" + 10_000 * "\u0301", ("http://bad\x1b]0;title\x07host/announce",)))
    site.write(reason=evil + 10_000 * "x")
    site.pause(evil + 10_000 * "x")
    rows = (msgspec.structs.replace(samples.row("a"), id=evil, override_until=5e9),)
    words = dict.fromkeys(("problem", "config_path", "qbittorrent_version", "qbittorrent_url", "reload_error"), evil)
    lists = dict.fromkeys(("troubles", "notes"), (evil,))
    with daemon_says(site, state="failing", trackers=rows, version=evil, breaker=evil, **words, **lists):
        for command in ("status", "history", "preview", "trackers --yaml", "status --json", "history --json", "resume"):
            screen = site.run(*command.split())[1]  # fails for any control character
            for line in screen.split("\n"):
                assert line.isprintable()
                assert "--json" in command or len(line) < 1000
            if "--json" in command:
                json.loads(screen)


@pytest.mark.parametrize(
    ("streams", "code"),
    [("2>/dev/full", 0), (">/dev/full", 1), (">&- 2>&- <&-", 0)],
    ids=["stderr", "stdout", "closed"],
)
def test_a_rollback_that_can_tell_nobody_restores_all_the_same(site: Site, streams: str, code: int) -> None:
    """A full disk under the log that the output goes to, or no output at all."""
    site.write()
    command = f"{sys.executable} -m qguardarr rollback --yes --config {site.config} {streams}"
    environment = {**os.environ, "QBIT_PASSWORD": site.fake.password}
    assert subprocess.run(["sh", "-c", command], env=environment, check=False, timeout=60).returncode == code
    assert {torrent.up_limit for torrent in site.fake.torrents.values()} == {0}


def test_a_reader_that_has_read_enough_is_no_defect(site: Site) -> None:
    site.write()
    command = f"{sys.executable} -m qguardarr history --config {site.config} | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith("number")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_cutting_a_name_of_a_megabyte_takes_no_time_and_counts_columns() -> None:
    assert clean("x" * 1_000_000, 10) == "xxxxxxxxx…"
    assert clean("日" * 1_000_000, 10) == "日日日日…"
    assert len(clean("e" + "\u0301" * 1_000_000, 10)) <= 40
    assert clean("short", 10) == "short"


def test_a_terminal_that_cannot_show_a_sign_gets_another(site: Site) -> None:
    site.write()
    code, _ = site.run("history", PYTHONIOENCODING="ascii")
    assert code == 0
