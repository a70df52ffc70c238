"""`init` on a terminal and for scripts: what it asks, what it writes, and what it leaves alone."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qguardarr.config import Config
from qguardarr.core.model import UNLIMITED
from tests.support.configs import load
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent, Fault
from tests.support.terminal import CTRL_C, CTRL_D, Terminal, shown, terminal

PASSWORD = 'it\'s ${a} "secret"'
ALPHA, BETA = "tracker.alpha.example", "beta.example:6969"


class Desk:
    """An empty folder, a qBittorrent, and somebody who types."""

    def __init__(self, folder: Path, fake: FakeQBittorrent) -> None:
        self.folder, self.fake = folder, fake
        self.config = folder / "config" / "qguardarr.yaml"

    @contextlib.contextmanager
    def init(self, *arguments: str, **environment: str) -> Iterator[Terminal]:
        """`qguardarr init` in a terminal. Neither password nor traceback ever appears in it."""
        command = [sys.executable, "-m", "qguardarr", "init", *arguments]
        with terminal(command, cwd=self.folder, environment={"NO_COLOR": "", **environment}) as opened:
            yield opened
            assert self.fake.password not in opened.output
            assert "Traceback" not in opened.output

    def script(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`qguardarr init ARGUMENTS` without a terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "qguardarr", "init", *arguments],
            cwd=self.folder, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert self.fake.password not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def written(self, **environment: str) -> Config:
        """The file as the daemon reads it."""
        return load(self.config, environment)

    @property
    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name in list(os.environ):
        if name.startswith(("QBIT_", "QGUARDARR_")) and name != "QGUARDARR_LAB_CACHE":
            monkeypatch.delenv(name)
    with FakeQBittorrent(password=PASSWORD) as fake:
        fake.add(
            FakeTorrent("1" * 40, "first", (f"https://{ALPHA}/key/announce",)),
            FakeTorrent("2" * 40, "second", (f"https://{ALPHA}/key/announce", f"udp://{BETA}/announce")),
            FakeTorrent("3" * 40, "third", ()),
        )
        yield Desk(tmp_path, fake)


def answer(opened: Terminal, question: str, text: str) -> None:
    opened.expect(f"{question}: ")
    opened.type(text + "\n")


def log_in(desk: Desk, opened: Terminal, password: str = PASSWORD) -> None:
    answer(opened, "Address of qBittorrent's Web UI [http://localhost:8080]", f"127.0.0.1:{desk.fake.port}/")
    answer(opened, "User name [admin]", "")
    answer(opened, "Password", password)


def caps(config: Config) -> dict[str, int]:
    return {rule.id: rule.max_upload_speed for rule in config.trackers}


def test_it_asks_tries_shows_and_writes(desk: Desk) -> None:
    with desk.init() as opened:
        log_in(desk, opened)
        opened.expect("tracker")
        table = opened.expect("Give each tracker a cap")
        assert ALPHA in table
        assert BETA in table
        answer(opened, f"Cap for {ALPHA}", "10")
        opened.expect("10 has no unit; write '10 MB/s'")
        answer(opened, f"Cap for {ALPHA}", "10 MB/s")
        answer(opened, f"Cap for {BETA}", "")
        assert opened.wait() == 0
        assert opened.echoes()
        assert shown(opened.output).endswith("Now start it:\n  qguardarr serve\n")
    assert desk.files == ["config/qguardarr.yaml"]
    assert stat.S_IMODE(desk.config.stat().st_mode) == 0o600
    config = desk.written()
    assert config.global_.dry_run
    assert config.qbittorrent.base_url == desk.fake.url
    assert config.qbittorrent.password is not None
    assert config.qbittorrent.password.get_secret_value() == PASSWORD
    assert caps(config) == {"tracker-alpha-example": 10_000_000, "beta-example-6969": UNLIMITED, "default": UNLIMITED}
    assert desk.config.read_text().count("\n  # ") > 40, "all other settings stand in it with their defaults"
    checked = subprocess.run(
        [sys.executable, "-m", "qguardarr", "check", "--connect"],
        cwd=desk.folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    assert "tracker-alpha-example" in checked.stdout


@pytest.mark.parametrize("password", ["${QBIT_PASSWORD}", "${HOME}", "$${HOME}"])
def test_a_password_that_looks_like_a_variable_means_itself(desk: Desk, password: str) -> None:
    desk.fake.password = password
    with desk.init("--url", desk.fake.url) as opened:
        answer(opened, "User name [admin]", "")
        answer(opened, "Password", password)
        answer(opened, f"Cap for {ALPHA}", "q")
        assert opened.wait() == 0
        assert "which has to be set" not in opened.output
    written = desk.written(HOME="/home/me").qbittorrent.password
    assert written is not None
    assert written.get_secret_value() == password


def test_what_is_no_text_is_asked_for_again(desk: Desk) -> None:
    with desk.init() as opened:
        for question in ("Address", "User name"):
            opened.expect(question)
            opened.type("\udcff\n")
            opened.expect("please type it again")
            opened.expect(question)
            opened.type((desk.fake.url if question == "Address" else "admin") + "\n")
        opened.expect("Password")
        opened.type("\udcff\n")
        opened.expect("please type it again")
        answer(opened, "Password", PASSWORD)
        answer(opened, f"Cap for {ALPHA}", "q")
        assert opened.wait() == 0
    assert desk.written().qbittorrent.username == "admin"


def test_q_ends_the_questions(desk: Desk) -> None:
    with desk.init("--url", desk.fake.url, QBIT_USERNAME="admin", QBIT_PASSWORD=PASSWORD) as opened:
        answer(opened, f"Cap for {ALPHA}", "q")
        assert opened.wait() == 0
        assert "It names QBIT_PASSWORD, which has to be set wherever Qguardarr runs." in shown(opened.output)
    assert set(caps(desk.written(QBIT_PASSWORD="x")).values()) == {UNLIMITED}
    assert PASSWORD not in desk.config.read_text()


def test_an_address_or_a_password_that_is_wrong_is_asked_for_again(desk: Desk) -> None:
    with desk.init() as opened:
        answer(opened, "Address of qBittorrent's Web UI [http://localhost:8080]", "ftp://127.0.0.1")
        opened.expect("the address must be an address such as")
        answer(opened, "Address of qBittorrent's Web UI [http://localhost:8080]", "http://127.0.0.1:9")
        opened.expect("no connection to qBittorrent at 127.0.0.1:9")
        answer(opened, "Address of qBittorrent's Web UI [http://127.0.0.1:9]", desk.fake.url)
        answer(opened, "User name [admin]", "root")
        answer(opened, "Password", "wrong")
        opened.expect("qBittorrent refuses the login: wrong user name or password")
        answer(opened, "User name [root]", "admin")
        answer(opened, "Password", PASSWORD)
        answer(opened, f"Cap for {ALPHA}", "q")
        assert opened.wait() == 0
    assert desk.written().qbittorrent.username == "admin"
    assert desk.fake.failed_logins == 0, "the fake forgets them after a login that succeeds"


def test_it_stops_before_qbittorrent_bans_this_machine(desk: Desk) -> None:
    with desk.init("--url", desk.fake.url) as opened:
        for name in ("admin", "admin", "admin", "admin"):
            answer(opened, f"User name [{name}]", "")
            answer(opened, "Password", "wrong")
        assert opened.wait() == 3
    assert desk.fake.failed_logins == 4
    assert desk.files == []


def test_a_qbittorrent_that_asks_nobody_is_asked_no_login(desk: Desk) -> None:
    desk.fake.bypass_local_auth = True
    desk.fake.torrents.clear()
    with desk.init() as opened:
        answer(opened, "Address of qBittorrent's Web UI [http://localhost:8080]", desk.fake.url)
        assert opened.wait() == 0
        assert "no torrents with trackers yet" in shown(opened.output)
    assert desk.written().qbittorrent.username is None


@pytest.mark.parametrize(
    ("sign", "moment"),
    [
        *((CTRL_C, moment) for moment in ("Address", "Password", "watching", f"Cap for {BETA}")),
        *((CTRL_D, moment) for moment in ("Address", f"Cap for {BETA}")),
    ],
    ids=repr,
)
def test_who_breaks_off_leaves_nothing_behind(desk: Desk, sign: str, moment: str) -> None:
    with desk.init() as opened:
        if moment != "Address":
            answer(opened, "Address of qBittorrent's Web UI [http://localhost:8080]", desk.fake.url)
            answer(opened, "User name [admin]", "")
        if moment not in ("Address", "Password"):
            answer(opened, "Password", PASSWORD)
        if moment == f"Cap for {BETA}":
            answer(opened, f"Cap for {ALPHA}", "1 MB/s")
        opened.expect(moment)
        opened.type(sign)
        assert opened.wait() == (130 if sign == CTRL_C else 1)
        assert opened.echoes()
    assert desk.files == []


def test_a_file_that_is_there_is_replaced_only_on_demand(desk: Desk) -> None:
    desk.config.parent.mkdir()
    desk.config.write_text("mine")
    login = {"QBIT_URL": desk.fake.url, "QBIT_USERNAME": "admin", "QBIT_PASSWORD": PASSWORD}
    with desk.init(**login) as opened:
        answer(opened, "config/qguardarr.yaml is there already. Replace it? [y/N]", "")
        assert opened.wait() == 1
    done = desk.script("--non-interactive", **login)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "qguardarr: config/qguardarr.yaml is there already. hint: --force replaces it\n"
    assert desk.config.read_text() == "mine"
    with desk.init(**login) as opened:
        answer(opened, "config/qguardarr.yaml is there already. Replace it? [y/N]", "y")
        answer(opened, f"Cap for {ALPHA}", "q")
        assert opened.wait() == 0
    assert len(desk.written(QBIT_PASSWORD="x").trackers) == 3
    desk.config.write_text("mine")
    assert desk.script("--non-interactive", "--force", **login).returncode == 0
    assert stat.S_IMODE(desk.config.stat().st_mode) == 0o600
    assert desk.files == ["config/qguardarr.yaml"]


def test_a_script_gives_everything_by_options_and_environment(desk: Desk) -> None:
    path = desk.folder / "an other.yaml"
    password = desk.folder / "password"
    password.write_text(PASSWORD + "\n")
    done = desk.script(
        "--non-interactive", "--config", str(path), "--url", desk.fake.url, "--cap", f"{BETA.upper()}=2MiB/s",
        "--cap", "gone.example=1 MB/s", QBIT_USERNAME="admin", QBIT_PASSWORD_FILE=str(password),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "note: qBittorrent knows no tracker gone.example; its cap is left out." in done.stderr
    assert done.stdout.endswith(f"  qguardarr serve --config '{path}'\n")
    config = load(path, {"QBIT_PASSWORD_FILE": str(password)})
    assert config.qbittorrent.password is not None
    assert config.qbittorrent.password.get_secret_value() == PASSWORD
    assert caps(config)["beta-example-6969"] == 2 * 1024 * 1024
    assert "now" not in path.read_text().partition("trackers:")[2].partition("global:")[0], "nobody watched for speeds"


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "said"),
    [
        (("--non-interactive",), {}, 2, "qBittorrent's address is missing. hint: give --url, or set QBIT_URL"),
        (("--non-interactive", "--url", "ftp://x"), {}, 2, "the address must be an address such as"),
        (("--non-interactive", "--url", "{url}"), {}, 3, "qBittorrent wants a login, and no user name is configured"),
        (("--non-interactive", "--url", "{url}"), {"QBIT_USERNAME": "admin"}, 3, "wrong user name or password"),
        (("--non-interactive", "--url", "http://127.0.0.1:9"), {}, 3, "no connection to qBittorrent at 127.0.0.1:9"),
        (("--non-interactive",), {"QBIT_URL_FILE": "nowhere"}, 2, "QBIT_URL_FILE: there is no such file"),
        (("--non-interactive", "--cap", "a.example=10"), {}, 2, "--cap a.example=10: 10 has no unit"),
        (("--non-interactive", "--cap", "5MB/s"), {}, 2, "--cap 5MB/s: must look like"),
        (("--non-interactive", "--config", "."), {}, 2, ". is a folder"),
        (
            ("--non-interactive", "--config", "/dev/null/x"),
            {},
            2,
            "/dev/null is no folder that this user may",
        ),
        (
            ("--non-interactive", "--url", "{url}", "--config", "x" * 300),
            {"QBIT_USERNAME": "admin", "QBIT_PASSWORD": PASSWORD},
            2,
            "cannot be written: File name too long",
        ),
        ((), {}, 2, "this is no terminal. hint: --non-interactive"),
    ],
)
def test_a_script_is_told_what_is_missing_in_one_line(
    desk: Desk, arguments: tuple[str, ...], environment: dict[str, str], code: int, said: str
) -> None:
    done = desk.script(*(argument.format(url=desk.fake.url) for argument in arguments), **environment)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("asking qBittorrent")]
    assert (done.returncode, done.stdout, len(lines)) == (code, "", 1)
    assert said in lines[0]
    assert desk.files == []


def test_a_qbittorrent_that_fails_while_it_is_watched_is_asked_again(desk: Desk) -> None:
    desk.fake.bypass_local_auth = True
    with desk.init("--url", desk.fake.url) as opened:
        opened.expect("watching")
        desk.fake.fail_next("sync/maindata", Fault.STATUS_500)
        opened.expect("answered with status 500")
        answer(opened, f"Address of qBittorrent's Web UI [{desk.fake.url}]", "")
        answer(opened, f"Cap for {ALPHA}", "q")
        assert opened.wait() == 0
    assert desk.files == ["config/qguardarr.yaml"]


def test_a_hosts_name_cannot_steer_the_terminal(desk: Desk) -> None:
    desk.fake.bypass_local_auth = True
    desk.fake.torrents.clear()
    desk.fake.add(FakeTorrent("4" * 40, "evil", ("http://e\u202evil.example/announce",)))
    with desk.init("--url", desk.fake.url) as opened:
        opened.expect("Cap for ")
        opened.type("q\n")
        assert opened.wait() == 0
        shown(opened.output)
    desk.written()
