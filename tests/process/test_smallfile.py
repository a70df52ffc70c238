"""A folder, a FIFO, a device or a huge file in the place of a small one: an error at once, with a reason."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from qguardarr.adapters.qbittorrent import QBittorrentClient
from qguardarr.adapters.statusfile import daemon_runs, read_status, status_path
from qguardarr.app.settings import load_settings
from qguardarr.config.load import read
from qguardarr.engine.settings import QBittorrentSettings
from qguardarr.errors import ConfigError, JournalError
from qguardarr.smallfile import read_small
from tests.support.configs import load
from tests.support.forked import run_forked

Done = subprocess.CompletedProcess[str]
GOOD = "trackers: [{id: all, pattern: '.*', max_upload_speed: 1 MB/s}]\n"


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_PATH)  # a socket's path may not be long
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole: read as zeros, and none of them is on disk


ODD = {
    "folder": (Path.mkdir, "it is a folder, not a file"),
    "FIFO": (fifo, "it is a FIFO, not a file"),
    "socket": (unix_socket, "it is a socket"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
    "loop": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "huge": (huge, "it is larger than"),
    "below a file": (None, "Not a directory"),
}


@pytest.fixture(params=ODD)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    make, words = ODD[request.param]
    path = tmp_path / "odd"
    if make is None:
        path.write_text(GOOD)
        return path / "qguardarr.yaml", words
    make(path)
    return path, words


def test_anything_but_a_small_file_is_refused_with_a_reason(odd: tuple[Path, str]) -> None:
    path, words = odd
    with pytest.raises(OSError) as caught:  # noqa: PT011 # its words are looked at
        read_small(path, 1000)
    assert words in caught.value.strerror


def test_a_file_of_exactly_the_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    assert read_small(path, 1000) == b"x" * 1000
    with pytest.raises(OSError, match="larger"):
        read_small(path, 999)


def test_an_invalid_configuration_file_is_one_line_with_a_hint(odd: tuple[Path, str]) -> None:
    path, words = odd
    for reading in (load, lambda p: read(p, sections=["rollback"]), load_settings):
        with pytest.raises(ConfigError) as caught:
            reading(path)
        assert words in str(caught.value)
        assert "hint: " in str(caught.value)
        assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("variable", [False, True])
def test_check_says_so_and_ends_with_2(odd: tuple[Path, str], variable: bool) -> None:
    path, words = odd
    command = [sys.executable, "-m", "qguardarr", "check", *([] if variable else ["--config", str(path)])]
    environment = {**os.environ, **({"QGUARDARR_CONFIG": str(path)} if variable else {})}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith(f"qguardarr: {path}: cannot be read: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_certificate_path_that_is_no_file_is_an_error(odd: tuple[Path, str], tmp_path: Path) -> None:
    path, words = odd
    config = tmp_path / "c.yaml"
    config.write_text(GOOD + f"qbittorrent: {{url: 'https://127.0.0.1:1', ca_file: '{path}'}}\n")
    with pytest.raises(ConfigError, match=r"c.yaml:2: qbittorrent.ca_file: cannot be read: ") as caught:
        load(config)
    assert words in str(caught.value)
    with pytest.raises(OSError) as refused:  # noqa: PT011 # what it was replaced by since
        QBittorrentClient(QBittorrentSettings(url="https://127.0.0.1:1", ca_file=str(path)))
    assert words in refused.value.strerror


def test_a_status_path_that_is_no_file_hangs_no_command(odd: tuple[Path, str], tmp_path: Path) -> None:
    path, words = odd
    with pytest.raises(JournalError) as caught:
        read_status(path)
    assert words in str(caught.value)
    database = tmp_path / "journal.db"
    os.mkfifo(status_path(database))
    os.mkfifo(tmp_path / "journal.db.daemon")
    assert not daemon_runs(database)


COMMANDS = [
    "serve", "check", "check --connect", "trackers", "preview", "status", "rollback --yes", "reset --yes", "pause",
    "resume", "history", "api-key", "install-hook", "notify-test",
]  # fmt: skip


@pytest.fixture(scope="module", params=["folder", "file"])
def closed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Done]]:
    """Return a configuration that cannot be read, and what each command says of it."""
    place = tmp_path_factory.mktemp("closed")
    folder = place / "conf"
    folder.mkdir()
    config = folder / "qguardarr.yaml"
    config.write_text(GOOD)
    (folder if request.param == "folder" else config).chmod(0)
    as_others = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    told = [[*command.split(), "--config", str(config)] for command in COMMANDS]
    try:
        done = run_forked(told, place / "output", prefix=as_others, cwd=place)
    finally:
        folder.chmod(0o700)
    return config, dict(zip(COMMANDS, done, strict=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unreadable_configuration_is_an_error_of_every_command(
    closed: tuple[Path, dict[str, Done]], command: str
) -> None:
    config, done = closed[0], closed[1][command]
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith(f"qguardarr: {config}: may not be read by this user. hint: make the file readable")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trackers: [" + "1," * 300_000 + "]", "more values than"),
        ("- 1\n" * 200_000, "more values than"),
        ("a: " + "[" * 500_000, "nested too deeply"),
        (
            "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60)),
            "more values",
        ),
        ("global: {port: 1" + ":1" * 400_000 + "}", "a value of more than"),
        ("logging: {file: '" + "${" * 400_000 + "'}", "a value of more than"),
        ("k: '" + "${x}" * 4000 + "'", "the environment variable x is not set"),
        (GOOD + "".join(f"k{n}: 1\n" for n in range(5000)), "and more errors than these"),
        ("a: b\x00c", "control character"),
    ],
    ids=range(9),
)
def test_a_file_of_a_mebibyte_cannot_keep_anybody_busy(text: str, words: str, tmp_path: Path) -> None:
    """PyYAML would take minutes and gigabytes for some of them, and would never finish the nested aliases."""
    path = tmp_path / "c.yaml"
    path.write_text(text, newline="")
    command = [sys.executable, "-m", "qguardarr", "check", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 20_000
