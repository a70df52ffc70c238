"""Searches with Python's `re` in a process of its own: whatever the pattern and the text, an answer comes."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from lab.processes import free_port
from qguardarr.adapters import backtrack
from qguardarr.adapters.backtrack import Backtracker
from qguardarr.adapters.trial_search import TrialSearch
from qguardarr.app.settings import python_command
from qguardarr.errors import SearchFailed
from tests.support.children import children, children_of
from tests.support.daemon_process import daemon, until
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent

SLOW = r"(?=h)http://([\w.-]+\.?)*x$"
HOSTILE = "http://" + "a." * 70 + "!"


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def asked(clock: list[float]) -> Iterator[Backtracker]:
    backtracker = Backtracker(python_command("qguardarr.adapters.backtrack_child"), lambda: clock[0])
    yield backtracker
    backtracker.close()


def test_it_answers_as_re_does(asked: Backtracker) -> None:
    assert asked("^(?!.*FOO)", "http://bar/")
    assert not asked("^(?!.*FOO)", "http://foo/")
    assert asked(r"(a\ud800|ü)\1", "ÜÜ")
    assert asked("(?<=a)\n", "a\n\x00")
    assert not asked("(?=a)b", "a\ud800")
    assert asked.unanswered == {}


def test_a_text_that_takes_too_long_does_not_match_and_is_counted(asked: Backtracker) -> None:
    assert not asked(SLOW, HOSTILE)
    assert not asked(SLOW, HOSTILE + "!")
    assert asked.unanswered == {SLOW: 2}
    assert asked(SLOW, "http://tracker.example.orgx")  # the same child, and the pattern goes on
    asked.forget()
    assert asked.unanswered == {}


def test_trial_ends_when_its_budget_is_used_up_and_leaves_no_trace() -> None:
    command = python_command("qguardarr.adapters.backtrack_child")
    with capture_logs() as logged, TrialSearch(command) as search:
        with pytest.raises(SearchFailed, match="takes too long on the announce URLs"):
            any(search(SLOW, HOSTILE + "!" * number) for number in range(1000))
        with pytest.raises(SearchFailed):
            search("(?=a)a", "a")
    assert logged == []


def test_trial_that_searches_quickly_answers_for_each_torrent() -> None:
    with TrialSearch(python_command("qguardarr.adapters.backtrack_child")) as search:
        assert sum(search("^(?!.*x9)", f"http://x{number}/") for number in range(1000)) == 889


def test_time_in_vain_is_rationed_and_comes_back(asked: Backtracker, clock: list[float]) -> None:
    given = [asked.allowance_s()]
    for _ in range(12):
        assert not asked(SLOW, HOSTILE)
        given.append(asked.allowance_s())
    assert given[0] == backtrack.CPU_S
    assert given == sorted(given, reverse=True)
    assert given[-1] < 0.02
    assert asked(SLOW, "http://tracker.example.orgx")
    clock[0] += 60.0
    assert asked.allowance_s() == backtrack.CPU_S


def test_a_child_that_was_killed_is_replaced(asked: Backtracker) -> None:
    assert asked("(?!b)a", "a")
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    assert asked("(?!b)a", "a")
    assert asked.unanswered == {}


def test_a_child_that_never_answers_is_killed_and_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtrack, "START_S", 0.01)
    backtracker = Backtracker([sys.executable, "-c", "import sys; sys.stdin.read()"])
    with pytest.raises(SearchFailed, match="gave no answer"):
        backtracker("a", "a")
    assert backtracker.unanswered == {}
    assert children() == []


def test_a_child_that_takes_long_to_start_is_waited_for(asked: Backtracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtrack, "WALL_S", 0.001)
    assert asked("(?!b)a", "a")


def test_a_child_that_was_stopped_is_replaced(
    asked: Backtracker, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked("(?!b)a", "a")
    (child,) = children()
    os.kill(child, signal.SIGSTOP)
    with monkeypatch.context() as patched:
        patched.setattr(backtrack, "WALL_S", 0.01)
        with pytest.raises(SearchFailed):
            asked("(?!b)a", "a")
    assert asked.problem
    clock[0] += 10.0
    assert asked("(?!b)a", "a")
    assert asked.problem == ""


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["/nonexistent/python"], "cannot be started: No such file or directory"),
        ([sys.executable, "-c", "raise SystemExit(1)"], "ended without an answer"),
        ([sys.executable, "-c", "print('x', flush=True)"], "ended without an answer"),
    ],
)
def test_a_child_that_cannot_answer_is_no_match(command: list[str], told: str, clock: list[float]) -> None:
    backtracker = Backtracker(command, lambda: clock[0])
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(SearchFailed, match=told):
                backtracker("a", "a")
            clock[0] += 10.0
    assert (backtracker.problem, backtracker.unanswered) == (told, {})
    assert [line["event"] for line in lines] == ["pattern_search_fails"]


def test_after_a_failure_nothing_is_asked_for_a_moment(tmp_path: Path, clock: list[float]) -> None:
    """Thousands of torrents may wait for answers in one cycle."""
    started = tmp_path / "started"
    backtracker = Backtracker(["/bin/sh", "-c", f"echo >> {started}"], lambda: clock[0])
    for _ in range(20):
        with pytest.raises(SearchFailed):
            backtracker("a", "a")
    once = started.read_text()
    clock[0] += backtrack.PAUSE_S
    with pytest.raises(SearchFailed):
        backtracker("a", "a")
    assert started.read_text() == 2 * once


def test_closing_ends_a_search_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No child of ours is known to hang; this one never answers."""
    monkeypatch.setattr(backtrack, "START_S", 600.0)
    backtracker = Backtracker([sys.executable, "-c", "import sys; sys.stdin.read()"])
    failures: list[SearchFailed] = []

    def ask() -> None:
        try:
            backtracker("a", "a")
        except SearchFailed as error:
            failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while not children():
        assert asking.is_alive()
    backtracker.close()
    asking.join(60.0)
    assert len(failures) == 1
    with pytest.raises(SearchFailed):
        backtracker("a", "a")
    assert backtracker.unanswered == {}


def test_no_child_is_started_before_it_is_needed(asked: Backtracker) -> None:
    assert children() == []


def test_a_daemon_whose_child_is_silent_keeps_the_caps(tmp_path: Path) -> None:
    """Regression: a torrent whose URLs changed meanwhile lost its cap for good."""
    config, database = tmp_path / "qguardarr.yaml", tmp_path / "journal.db"
    with FakeQBittorrent() as fake:
        config.write_text(
            f"""
global: {{port: {free_port()}, update_interval: 0.5}}
qbittorrent: {{url: "{fake.url}", username: admin, password: "{fake.password}"}}
auth: none
trackers:
  - {{id: capped, pattern: '(?<!x)capped', max_upload_speed: 1 MB/s}}
  - {{id: default, pattern: '.*', max_upload_speed: unlimited}}
rollback: {{database_path: {database}}}
"""
        )
        known, added = f"{1:040x}", f"{2:040x}"
        fake.add(FakeTorrent(known, trackers=("http://capped.example/1",)))
        with daemon(config, database) as running:
            until(lambda: fake.torrents[known].up_limit > 0, "a limit")
            (child,) = children_of(running.process.pid, "backtrack_child")
            os.kill(child, signal.SIGSTOP)
            fake.torrents[known].trackers = ("http://capped.example/2",)
            fake.add(FakeTorrent(added, trackers=("http://capped.example/3",)))
            running.wait_for_log("pattern_search_fails")
            until(lambda: (s := running.status) is not None and "(2 wait" in "".join(s.troubles), "a warning")
            assert fake.torrents[known].up_limit > 0
            running.wait_for_log("pattern_search_works_again")
            until(lambda: fake.torrents[added].up_limit > 0, "a limit of the torrent that was added")
            until(lambda: (s := running.status) is not None and not s.troubles, "an end of the warning")
            status = running.status
            assert status is not None
            assert [row.torrents for row in status.trackers] == [2, 0]
            assert fake.torrents[known].up_limit > 0
            assert running.log.count("pattern_search_fails") == 1
