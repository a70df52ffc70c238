"""Originals survive guards that are killed again and again, and the loss or damage of one of their files."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.originals import SUFFIX, Originals
from qguardarr.adapters.sqlite.side_files import beside
from qguardarr.core.model import Change
from qguardarr.engine.rollback import BEGUN_REASON, rollback
from tests.support import journal_worker
from tests.support.journal_damage import (
    OF_THE_COPY,
    OF_THE_JOURNAL,
    Damage,
    delete_all,
    empty,
    loop,
    overwrite,
)
from tests.support.journal_worker import LoggedQbittorrent, give_own_limits
from tests.support.simulated_client import SimulatedQbittorrent

pytestmark = pytest.mark.slow

HASHES = [f"{number:040x}" for number in range(12)]


class Losses(RuleBasedStateMachine):
    """Kills a guard again and again, damages one of its files, and lets the next guard go on."""

    def __init__(self) -> None:
        super().__init__()
        self.folders = Path(tempfile.mkdtemp(prefix="losses"))
        self.number = 0
        self.originals = {name: 1_000_000 + number for number, name in enumerate(HASHES)}
        self.client = SimulatedQbittorrent(dict(self.originals))
        self.ours: set[str] = set()
        self.published = 0
        self.backups: list[tuple[Path, Path]] = []
        self.limit = 10
        self.open()

    @property
    def path(self) -> Path:
        return self.folders / str(self.number) / "journal.db"

    def open(self) -> None:
        self.journal = SqliteJournal(self.path, known_line=self.published)

    def kill(self) -> None:
        """Act as SIGKILL does: the next guard has the content of the files, and nothing else."""
        before = self.path
        self.number += 1
        shutil.copytree(before.parent, self.path.parent, symlinks=True)
        self.journal.close()

    @rule(chosen=st.sets(st.sampled_from(HASHES), min_size=1), answer=st.sampled_from(["applied", "failed", "nothing"]))
    def limit_some(self, chosen: set[str], answer: str) -> None:
        self.limit += 1
        now = {name: self.client.in_force(name) for name in chosen}
        ids = self.journal.intend([Change(name, now[name], self.limit, now[name], "") for name in sorted(chosen)])
        if answer != "nothing":
            self.client.set_upload_limit(self.limit, sorted(chosen))
            self.ours |= chosen
        (self.journal.applied if answer == "applied" else self.journal.failed)(ids)
        self.client.save()
        self.published = self.journal.newest_line

    @rule(name=st.sampled_from(HASHES), limit=st.integers(2_000_000, 3_000_000))
    def set_by_hand(self, name: str, limit: int) -> None:
        """Change a limit while the guard runs."""
        self.client.states[name] = [limit]
        self.journal.adopt({name: limit})
        self.originals[name] = limit
        self.ours.discard(name)

    @rule()
    def look(self) -> None:
        """Read the limits, as at the first read after a start."""
        self.journal.settle_unknown({name: self.client.in_force(name) for name in HASHES}.get)

    @rule()
    def tidy(self) -> None:
        self.journal.prune(older_than_s=86_400.0)

    @rule()
    def restore_all(self) -> None:
        self.check_rollback()
        self.journal.set_paused(None)

    @rule()
    def die(self) -> None:
        self.kill()
        self.open()

    @rule(damage=st.sampled_from([*OF_THE_JOURNAL, *OF_THE_COPY]))
    def die_and_lose(self, damage: Damage) -> None:
        self.kill()
        damage(self.path)
        self.open()

    @rule()
    def end_and_lose_nothing(self) -> None:
        self.journal.close()
        self.open()

    @rule()
    def keep_backups(self) -> None:
        """Keep the main file alone, as people do, and the copy."""
        folder = self.folders / f"backup{len(self.backups)}"
        folder.mkdir()
        made = (folder / "journal.db", folder / "copy")
        shutil.copy(self.path, made[0])
        shutil.copy(beside(self.path, SUFFIX), made[1])
        self.backups.append(made)

    @precondition(lambda self: self.backups)
    @rule(data=st.data(), of_the_journal=st.booleans())
    def put_back_a_backup(self, data: st.DataObject, of_the_journal: bool) -> None:
        self.kill()
        journal, copy = data.draw(st.sampled_from(self.backups))
        if of_the_journal:
            delete_all(self.path)
            shutil.copy(journal, self.path)
        else:
            shutil.copy(copy, beside(self.path, SUFFIX))
        self.open()

    @invariant()
    def every_original_is_known(self) -> None:
        touched = self.journal.touched()
        for name in self.ours:
            limit = self.client.in_force(name)
            if limit != self.originals[name]:
                assert touched[name].original == self.originals[name]
                assert limit in touched[name].written or self.journal.wrote(name, limit)

    @invariant()
    def the_copy_says_the_same(self) -> None:
        state = Originals(self.path).state()
        assert state is not None
        originals = {name: record.original for name, record in self.journal.touched().items()}
        assert state.originals == ({"": originals} if originals else {})

    def check_rollback(self) -> None:
        report = rollback(self.client, self.journal)
        assert not report.failed
        assert not report.by_hand
        assert {name: self.client.in_force(name) for name in HASHES} == self.originals
        self.client.save()
        self.ours = set()

    def teardown(self) -> None:
        self.check_rollback()
        self.journal.close()
        shutil.rmtree(self.folders)


TestLosses = Losses.TestCase
TestLosses.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_no_original_is_lost_when_processes_are_killed_and_files_lost(tmp_path: Path) -> None:
    """Real processes and SIGKILL. The log stays: with it, writes of an unfinished batch would be lost."""
    client = LoggedQbittorrent(tmp_path / "qbittorrent")
    expected = give_own_limits(client, tmp_path)
    path = tmp_path / "journal.db"
    chance = random.Random(11)
    for round_ in range(16):
        command = [sys.executable, journal_worker.__file__, "guard", str(tmp_path), str(round_)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."}) as process:
            assert process.stdout is not None
            for _ in range(chance.randint(0, 6)):
                process.stdout.readline()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0, 0.02))
            process.kill()
        if path.exists():
            chance.choice([delete_all, empty, overwrite, loop, *OF_THE_COPY])(path)
        with contextlib.closing(SqliteJournal(path)) as journal:
            touched = journal.touched()
            for torrent, limits in client.written().items():
                if len(limits) > 1:
                    assert touched[torrent].original == expected[torrent]
                    assert limits[-1] in touched[torrent].written or journal.wrote(torrent, limits[-1])
    with contextlib.closing(SqliteJournal(path)) as journal:
        assert rollback(client, journal).complete
        assert journal.paused() != BEGUN_REASON
    assert client.upload_limits(list(expected)) == expected
