"""`qguardarr health`: the daemon's own word, from its own address, at next to no cost."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.processes import free_port
from qguardarr import probe
from qguardarr.config.schema import Global
from tests.support.api_client import ServedApi, served


def health(config: Path, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and errors of the command as a container engine runs it."""
    env = {**os.environ, "QGUARDARR_CONFIG": str(config), **environment}
    done = subprocess.run(
        [sys.executable, "-m", "qguardarr", "health"], capture_output=True, text=True, check=False, env=env, cwd="/"
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    with served(tmp_path_factory.mktemp("probed")) as api:
        yield api


def test_it_says_what_the_daemon_says(api: ServedApi) -> None:
    assert health(api.config) == (0, "healthy\n", "")
    assert api.client.post("/api/v1/pause").status == 200
    assert health(api.config)[0] == 0, "a pause is wanted"
    assert api.client.post("/api/v1/resume").status == 200


def test_with_an_option_it_is_the_same(api: ServedApi) -> None:
    command = [sys.executable, "-m", "qguardarr", "health", "--config", str(api.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "healthy\n", "")


@pytest.mark.parametrize("port", ["99999", "9" * 5000, "\u0663"])
def test_a_port_that_is_none_is_left_to_the_daemon(tmp_path: Path, port: str) -> None:
    """A faulty file is not taken up; the daemon is where it was."""
    config = tmp_path / "q.yaml"
    config.write_text(f"global: {{host: 127.0.0.99, port: '{port}'}}")
    code, out, err = health(config)
    assert (code, out) == (1, "")
    assert err.startswith(f"qguardarr: no daemon answers at 127.0.0.99:{probe.DEFAULT_ADDRESS[1]}: ")


def test_a_configuration_that_is_a_fifo_does_not_hold_it_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "q.yaml")
    code, _, err = health(tmp_path / "q.yaml", QGUARDARR__GLOBAL__HOST="127.0.0.99")
    assert (code, "no daemon answers at 127.0.0.99" in err) == (1, True)


def test_a_daemon_that_hangs_is_told_from_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "TIMEOUT_S", 0.05)
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = tmp_path / "q.yaml"
        config.write_text(f"global: {{port: {silent.getsockname()[1]}}}")
        assert probe.health(config) == 1
    assert "gives no answer in time: the daemon hangs" in said.getvalue()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.0.0.1", "localhost", ""])
def test_it_finds_the_daemon_wherever_that_listens(api: ServedApi, tmp_path: Path, host: str) -> None:
    """Of an address that stands for all of them, it asks the loopback one."""
    other = tmp_path / "other.yaml"
    listening = host if host != "::" else "0.0.0.0"  # the daemon of this test has no IPv6
    other.write_text(f"global: {{host: '{listening}', port: {api.port}}}")
    assert health(other)[0] == 0


def test_the_environment_comes_before_the_file(api: ServedApi, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(f"global: {{port: {free_port()}}}")
    secret = tmp_path / "port"
    secret.write_text(f"{api.port}\n")
    assert health(other)[0] == 1
    assert health(other, QGUARDARR__GLOBAL__PORT=str(api.port))[0] == 0
    assert health(other, QGUARDARR__GLOBAL__PORT_FILE=str(secret))[0] == 0
    other.write_text("global: {port: '${THE_PORT}'}")
    assert health(other, THE_PORT=str(api.port))[0] == 0


@pytest.mark.parametrize("text", ["", "global: [", "global: 7", "trackers: []", "global: {port: many}", "\0"])
def test_a_faulty_file_is_not_taken_up_so_the_default_is_asked(
    tmp_path: Path, api: ServedApi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    monkeypatch.setattr(probe, "DEFAULT_ADDRESS", ("127.0.0.1", api.port))
    config = tmp_path / "qguardarr.yaml"
    config.write_text(text)
    assert probe.health(config) == 0
    config.unlink()
    assert probe.health(config) == 0
    assert capsys.readouterr() == ("healthy\n" * 2, "")


def test_its_default_is_the_configurations() -> None:
    fields = Global.model_fields
    assert (fields["host"].default, fields["port"].default) == probe.DEFAULT_ADDRESS


def test_nobody_there_is_a_line_with_the_remedy(tmp_path: Path) -> None:
    port = free_port()
    code, out, said = health(tmp_path / "none.yaml", QGUARDARR__GLOBAL__PORT=str(port))
    assert (code, out) == (1, "")
    assert said == (
        f"qguardarr: no daemon answers at 127.0.0.1:{port}: Connection refused. `qguardarr serve` starts it\n"
    )


def test_another_program_there_is_no_daemon(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

        thread = threading.Thread(target=answer)
        thread.start()
        code, _, said = health(tmp_path / "none.yaml", QGUARDARR__GLOBAL__PORT=str(server.getsockname()[1]))
        thread.join()
    assert code == 1
    assert "it is another program's answer" in said


def test_unhealthy_is_1_and_a_daemon_that_asks_nobody_for_a_key_answers_too(tmp_path: Path) -> None:
    nowhere = {"url": f"http://127.0.0.1:{free_port()}"}
    with served(tmp_path, state="failing", qbittorrent=nowhere, auth=None) as api:
        assert health(api.config) == (1, "unhealthy\n", "")


def test_it_loads_next_to_nothing(api: ServedApi) -> None:
    """Neither command line nor schema nor an HTTP library: an engine asks every few seconds."""
    code = """
import atexit, json, sys
from qguardarr.__main__ import main
sys.argv = ["qguardarr", "health"]
atexit.register(lambda: print(json.dumps(sorted(sys.modules))))
main()
"""
    env = {**os.environ, "QGUARDARR_CONFIG": str(api.config)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    word, modules = done.stdout.splitlines()
    loaded = {name.partition(".")[0] for name in json.loads(modules)}
    assert word == "healthy"
    assert not loaded & {
        "typer",
        "click",
        "rich",
        "pydantic",
        "msgspec",
        "structlog",
        "http",
        "urllib3",
        "ssl",
        "asyncio",
    }
    assert {name for name in json.loads(modules) if name.startswith("qguardarr")} == {
        "qguardarr", "qguardarr.__main__", "qguardarr.probe", "qguardarr.smallfile",
    }  # fmt: skip
