"""`api-key` and `hash-password`."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from qguardarr import cli
from qguardarr.cli import opening
from qguardarr.config.environment import API_KEY_VARIABLE

KEY = "0123456789abcdef-KEY"
RULES = "trackers: [{id: all, pattern: '.*', max_upload_speed: 1 MB/s}]\n"
Run = Callable[..., tuple[int, str, str]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`qguardarr ARGUMENTS` in a folder with `config` as its configuration; exit code, stdout, stderr."""
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)
    monkeypatch.setattr(opening, "known_secrets", [])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()

    def run(*arguments: str, config: str = "", stdin: str | None = "") -> tuple[int, str, str]:
        (tmp_path / "config/qguardarr.yaml").write_text(RULES + config)
        monkeypatch.setattr(sys, "argv", ["qguardarr", *arguments])
        monkeypatch.setattr(sys, "stdin", Terminal() if stdin is None else io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def test_the_kept_key_is_printed_and_made_if_there_is_none(run: Run, tmp_path: Path) -> None:
    code, key, err = run("api-key")
    assert (code, err) == (0, "")
    assert (tmp_path / "config/data/api.key").read_text() == key
    assert run("api-key")[1] == key
    code, out, _ = run("api-key", "--json")
    assert json.loads(out) == {"api_key": key.strip(), "source": "kept"}


def test_it_is_beside_the_journal(run: Run, tmp_path: Path) -> None:
    run("api-key", config="rollback: {database_path: elsewhere/j.db}\n")
    assert (tmp_path / "config/elsewhere/api.key").exists()


def test_a_new_key_replaces_the_kept_one(run: Run) -> None:
    _, old, _ = run("api-key")
    code, new, err = run("api-key", "--new")
    assert code == 0
    assert new != old
    for words in ("SIGHUP", "configuration file is changed", "`qguardarr install-hook` again", "Prometheus"):
        assert words in err
    assert run("api-key")[1] == new


def test_a_configured_key_is_printed_and_not_replaced(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = f"auth: {{api_key: {KEY}}}"
    assert run("api-key", config=config) == (0, KEY + "\n", "")
    assert json.loads(run("api-key", "--json", config=config)[1])["source"] == "configuration"
    code, out, err = run("api-key", "--new", config=config)
    assert (code, out) == (2, "")
    assert "the one of auth.api_key. hint: change it there" in err
    monkeypatch.setenv(API_KEY_VARIABLE, "k" * 20)
    assert json.loads(run("api-key", "--json")[1]) == {"api_key": "k" * 20, "source": "environment"}
    assert "the one of QGUARDARR_API_KEY" in run("api-key", "--new")[2]
    assert KEY not in err
    assert not (tmp_path / "config/data").exists()


def test_without_auth_there_is_no_key(run: Run, tmp_path: Path) -> None:
    code, out, err = run("api-key", config="auth: none")
    assert (code, out) == (2, "")
    assert "nobody is asked for a key" in err
    assert not (tmp_path / "config/data").exists()


def test_a_file_with_faults_elsewhere_will_do(run: Run) -> None:
    code, out, err = run("api-key", config=f"auth: {{api_key: {KEY}}}\nlogging: {{level: loud}}")
    assert (code, out) == (0, KEY + "\n")
    assert "has faults" in err


def test_a_bad_key_of_the_environment_is_a_fault_and_hinders_nothing_else(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "hunter2")
    code, out, err = run("api-key")
    assert (code, out) == (2, "")
    assert "QGUARDARR_API_KEY: must have 16" in err
    assert "hunter2" not in err
    assert run("history")[0] == 0


def test_a_key_file_that_is_none_is_a_fault(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config/data").mkdir(parents=True)
    (tmp_path / "config/data/api.key").write_text("x")
    code, out, err = run("api-key")
    assert (code, out) == (2, "")
    assert "api.key: holds no key" in err
    assert run("api-key", "--new")[0] == 0


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_password_from_a_pipe_is_hashed(run: Run, ending: str) -> None:
    code, out, err = run("hash-password", stdin="hunter2 ä" + ending)
    assert (code, err) == (0, "")
    assert PasswordHasher().verify(out.strip(), "hunter2 ä")
    assert run("hash-password", stdin="hunter2 ä")[1] != out


@pytest.mark.parametrize("given", ["", "\n", "a\nb\n", "x" * 5000, "caf\udce9", "$argon2id$v=19$m=7168,t=5,p=1$MDAw$x"])
def test_what_is_no_password_is_a_fault(run: Run, given: str) -> None:
    code, out, err = run("hash-password", stdin=given)
    assert (code, out) == (2, "")
    assert err.startswith("qguardarr: ")
    assert not given.strip() or given not in err


def test_a_person_is_asked_twice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["hunter2", "hunter3", "hunter2", "hunter2"])
    monkeypatch.setattr("getpass.getpass", lambda *_, **__: next(answers))
    code, out, err = run("hash-password", stdin=None)
    assert code == 0
    assert "do not match" in err
    assert PasswordHasher().verify(out.strip(), "hunter2")
    assert next(answers, None) is None
    assert "hunter" not in out + err
