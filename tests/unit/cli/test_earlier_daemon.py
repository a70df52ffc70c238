"""Commands beside a daemon of an earlier version, which could not write a journal of the present format."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from qguardarr import cli
from qguardarr.adapters.sqlite.database import migrate
from qguardarr.adapters.sqlite.journal_schema import JOURNAL
from qguardarr.adapters.statusfile import only_daemon
from qguardarr.exits import Exit

EARLIER = JOURNAL._replace(migrations=JOURNAL.migrations[:2])
COMMANDS = (
    "status",
    "history",
    "backup copy.db",
    "pause",
    "resume",
    "rollback --yes",
    "reset --yes",
    "begin-anew --yes",
)


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return found


def run(monkeypatch: pytest.MonkeyPatch, command: str) -> int:
    monkeypatch.setattr(sys, "argv", ["qguardarr", *command.split(), "--config", "q.yaml"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("q.yaml").write_text(
        "rollback: {database_path: j.db}\ntrackers: [{id: all, pattern: '.*', max_upload_speed: 1 MB/s}]\n"
    )
    with closing(sqlite3.connect("j.db", isolation_level=None)) as connection:
        migrate(connection, EARLIER)
    return tmp_path / "j.db"


@pytest.mark.parametrize("command", COMMANDS)
def test_its_journal_is_left_as_it_is(
    journal: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with only_daemon(journal):
        assert run(monkeypatch, command) == Exit.BUSY
    assert "restart the daemon first" in capsys.readouterr().err
    assert version(journal) == len(EARLIER.migrations)


def test_without_a_daemon_the_journal_is_brought_up_to_date(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "history")
    assert version(journal) == len(JOURNAL.migrations)
