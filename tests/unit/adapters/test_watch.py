"""Noticing that the configuration file has changed: real files, real inotify."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import watchfiles

from qguardarr.adapters import watch
from qguardarr.adapters.watch import Content, FileWatch
from tests.support.daemon_process import until

BOUND_S = 20.0
OTHER = "global: {dry_run: true}\n"


class Watched:
    """A file that is watched, and what was told of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents: list[str] = []
        """What the file held each time that a change was told."""
        self.watch = FileWatch(path)
        self._told = threading.Semaphore(0)

    def start(self) -> None:
        self.watch.start(self._changed)

    def _changed(self) -> None:
        self.contents.append(self.path.read_text())
        self._told.release()

    def wait(self) -> None:
        """Wait until one more change is told."""
        assert self._told.acquire(timeout=BOUND_S), "no change was told"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "qguardarr.yaml"
    path.parent.mkdir()
    path.write_text("trackers: []\n")
    return path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "STEP_S", 0.05)
    monkeypatch.setattr(watch, "SETTLE_S", 0.05)


@pytest.fixture
def quick_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0.05)


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Only events count, no polls; and a way to wait until events are listened to, each time."""
    real, ready = watchfiles.watch, threading.Semaphore(0)

    def events_only(*folders: str, **options: Any) -> Iterator[Any]:
        listening = False
        for changes in real(*folders, **{**options, "rust_timeout": 1}):
            if changes:
                yield changes
            elif not listening:
                listening = True
                ready.release()

    def wait() -> None:
        assert ready.acquire(timeout=BOUND_S), "nothing is watched"

    monkeypatch.setattr(watchfiles, "watch", events_only)
    return wait


@pytest.fixture
def watched(path: Path) -> Iterator[Callable[..., Watched]]:
    made: list[Watched] = []

    def start(at: Path = path) -> Watched:
        made.append(Watched(at))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.watch.close()


Start = Callable[..., Watched]
Wait = Callable[[], None]


def replace(path: Path, text: str) -> None:
    new = path.with_name("new")
    new.write_text(text)
    new.replace(path)


def link(path: Path, target: str) -> None:
    """Make `path` a link to `target`, in one step if it is one already."""
    new = path.with_name("..new")
    new.symlink_to(target)
    new.replace(path)


@pytest.mark.parametrize("write", [Path.write_text, replace])
def test_other_content_is_told_once(watched: Start, watching: Wait, path: Path, write: Any) -> None:
    file = watched()
    watching()
    for text in ("a: 1\n", "a: 2\n"):
        write(path, text)
        file.wait()
    assert file.contents == ["a: 1\n", "a: 2\n"]


def test_the_same_content_is_not_told(watched: Start, watching: Wait, path: Path) -> None:
    file = watched()
    watching()
    path.touch()
    replace(path, path.read_text())
    path.write_text(OTHER)
    file.wait()
    assert file.contents == [OTHER]


def test_what_changes_before_the_start_is_told(path: Path, quick_poll: None) -> None:
    file = Watched(path)
    path.write_text(OTHER)
    file.start()
    file.wait()
    file.watch.close()
    assert file.contents == [OTHER]


def test_a_half_written_file_is_not_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = Content(path)
    pieces = ["trackers:\n", "  - id: a\n", "  - id: b\n"]
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if pieces:
            with path.open("a") as writing:
                writing.write(pieces.pop(0))
        return False

    monkeypatch.setattr(stop := threading.Event(), "wait", wait)
    path.write_text("")
    assert content.has_changed(stop)
    assert path.read_text() == "trackers:\n  - id: a\n  - id: b\n"
    assert not content.has_changed(stop)
    assert waits == [watch.SETTLE_S] * 4


def test_a_file_that_vanishes_is_told_when_it_is_back_with_other_content(
    watched: Start, watching: Wait, path: Path
) -> None:
    file, text = watched(), path.read_text()
    watching()
    path.rename(path.with_name("aside"))
    path.with_name("aside").rename(path)
    path.unlink()
    path.write_text(text)
    path.unlink()
    path.write_text(OTHER)
    file.wait()
    assert file.contents == [OTHER]


def test_a_vanished_file_is_looked_for_without_being_told(path: Path) -> None:
    content, text, stop = Content(path), path.read_text(), threading.Event()
    path.unlink()
    assert not content.has_changed(stop)
    assert not content.has_changed(stop)
    path.write_text(text)
    assert not content.has_changed(stop)
    path.write_text(OTHER)
    assert content.has_changed(stop)


def test_a_file_that_was_not_there_at_first_is_told(watched: Start, watching: Wait, path: Path) -> None:
    path.unlink()
    file = watched()
    watching()
    path.write_text(OTHER)
    file.wait()
    assert file.contents == [OTHER]


@pytest.mark.usefixtures("quick_poll")
def test_a_folder_that_was_not_there_at_first_is_found(watched: Start, watching: Wait, tmp_path: Path) -> None:
    file = watched(tmp_path / "later" / "still" / "qguardarr.yaml")
    file.path.parent.mkdir(parents=True)
    watching()
    file.path.write_text(OTHER)
    file.wait()
    assert file.contents == [OTHER]


@pytest.mark.usefixtures("quick_poll")
def test_a_folder_that_is_made_again_is_watched_again(watched: Start, watching: Wait, path: Path) -> None:
    file = watched()
    watching()
    shutil.rmtree(path.parent)
    path.parent.mkdir()
    watching()
    path.write_text(OTHER)
    file.wait()
    assert file.contents == [OTHER]


def test_a_link_is_followed_wherever_it_leads(watched: Start, watching: Wait, path: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "real.yaml").write_text(f"{name}: 1\n")
    link(path, "../first/real.yaml")
    file = watched()
    watching()
    (tmp_path / "first" / "real.yaml").write_text("first: 2\n")
    file.wait()
    link(path, "../second/real.yaml")
    file.wait()
    watching()
    replace(tmp_path / "second" / "real.yaml", "second: 2\n")
    file.wait()
    assert file.contents == ["first: 2\n", "second: 1\n", "second: 2\n"]


def test_a_config_map_of_kubernetes_is_followed(watched: Start, watching: Wait, path: Path) -> None:
    """The file is a link into `..data`, itself a link to a folder that is replaced with each change."""
    for number in range(3):
        folder = path.parent / f"..2026_{number}"
        folder.mkdir()
        (folder / path.name).write_text(f"n: {number}\n")
    link(path.parent / "..data", "..2026_0")
    link(path, f"..data/{path.name}")
    file = watched()
    watching()
    for number in (1, 2):
        link(path.parent / "..data", f"..2026_{number}")
        shutil.rmtree(path.parent / f"..2026_{number - 1}")
        file.wait()
        watching()
    assert file.contents == ["n: 1\n", "n: 2\n"]


@pytest.mark.usefixtures("quick_poll")
def test_what_no_event_tells_of_is_found_by_looking(watched: Start, path: Path, tmp_path: Path) -> None:
    """A link far above the file leads elsewhere; for inotify nothing happened where it listens."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / path.name).write_text(OTHER)
    link(tmp_path / "current", "config")
    file = watched(tmp_path / "current" / path.name)
    link(tmp_path / "current", "other")
    file.wait()
    assert file.contents == [OTHER]


@pytest.mark.usefixtures("quick_poll")
@pytest.mark.parametrize("error", [RuntimeError("Too many open files (os error 24)"), OSError(28, "No space left")])
def test_without_inotify_it_looks_now_and_then_and_says_so_once(
    watched: Start, path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tried = threading.Semaphore(0)

    def unavailable(*_: object, **__: object) -> Iterator[Any]:
        tried.release()
        raise error

    monkeypatch.setattr(watchfiles, "watch", unavailable)
    with structlog.testing.capture_logs() as lines:
        file = watched()
        for _ in range(3):
            assert tried.acquire(timeout=BOUND_S)
        path.write_text(OTHER)
        file.wait()
        file.watch.close()
    assert file.contents == [OTHER]
    assert [(line["event"], line["log_level"]) for line in lines] == [("watch.polling", "warning")]
    assert str(error) in lines[0]["reason"]


def test_neighbours_that_are_written_all_the_time_cost_no_reading_and_no_line(
    watched: Start, watching: Wait, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looked, real = threading.Semaphore(0), watch.fingerprint_of
    reads: list[Path] = []

    def counted(path: Path) -> Any:
        looked.release()
        return real(path)

    file = watched()
    watching()
    monkeypatch.setattr(watch, "fingerprint_of", counted)
    monkeypatch.setattr(watch, "digest_of", reads.append)
    with caplog.at_level(logging.DEBUG):
        for number in range(3):
            path.with_name("qguardarr.db").write_text("x" * number)
            assert looked.acquire(timeout=BOUND_S)
    file.watch.close()
    assert reads == []
    assert caplog.records == []


def test_neighbours_that_are_written_all_the_time_do_not_hide_a_change(
    watched: Start, watching: Wait, path: Path
) -> None:
    file, done = watched(), threading.Event()
    watching()

    def write() -> None:
        while not done.wait(0.001):
            path.with_name("qguardarr.log").write_text("line")

    writer = threading.Thread(target=write)
    writer.start()
    path.write_text(OTHER)
    file.wait()
    done.set()
    writer.join()
    assert file.contents == [OTHER]


@pytest.mark.usefixtures("quick_poll")
def test_a_file_that_cannot_be_read_is_tried_again(watched: Start, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, real = watched(), watch.digest_of
    answers = [None, None]
    monkeypatch.setattr(watch, "digest_of", lambda path: answers.pop() if answers else real(path))
    path.write_text(OTHER)
    file.wait()
    assert file.contents == [OTHER]


def test_what_is_no_plain_file_is_left_alone(watched: Start, watching: Wait, path: Path) -> None:
    path.unlink()
    os.mkfifo(path)  # to open it would block
    file = watched()
    watching()
    replace(path, OTHER)
    file.wait()
    path.unlink()
    path.symlink_to(path.name)
    path.unlink()
    path.mkdir()
    path.rmdir()
    path.write_text("a: 3\n")
    file.wait()
    assert file.contents == [OTHER, "a: 3\n"]


def test_a_failing_answer_to_a_change_does_not_end_the_watch(path: Path, watching: Wait) -> None:
    called = threading.Semaphore(0)

    def changed() -> None:
        called.release()
        raise ValueError("a defect")

    with structlog.testing.capture_logs() as lines:
        file = FileWatch(path)
        file.start(changed)
        watching()
        for text in ("a: 1\n", "a: 2\n"):
            path.write_text(text)
            assert called.acquire(timeout=BOUND_S)
        file.close()
    assert [line["event"] for line in lines] == ["watch.failed"] * 2


def test_closing_ends_the_thread(watched: Start, watching: Wait) -> None:
    file = watched()
    watching()
    file.watch.close()  # gives up waiting after a second
    assert not file.watch.running
    file.watch.close()


def test_closing_ends_the_thread_while_it_polls(watched: Start, tmp_path: Path) -> None:
    file = watched(tmp_path / "nowhere" / "qguardarr.yaml")
    file.watch.close()
    assert not file.watch.running


def test_closing_before_the_start_is_harmless(path: Path) -> None:
    FileWatch(path).close()


def test_it_may_be_closed_by_what_it_calls(path: Path, watching: Wait) -> None:
    file = FileWatch(path)
    file.start(file.close)
    watching()
    path.write_text(OTHER)
    until(lambda: not file.running, "the end of the thread")


def test_a_fifo_that_came_in_the_files_place_meanwhile_holds_nobody_up(tmp_path: Path) -> None:
    """Between the look at what stands there and the reading of it."""
    os.mkfifo(fifo := tmp_path / "fifo")
    reading = threading.Thread(target=watch.digest_of, args=(fifo,), daemon=True)
    reading.start()
    reading.join(BOUND_S)
    assert not reading.is_alive()


def test_other_files_are_looked_at_now_and_then(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret as Kubernetes mounts it: a link to a folder that is replaced. One that is gone tells nothing."""
    monkeypatch.setattr(watch, "POLL_S", 0.2)
    for folder, text in (("one", "a"), ("two", "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "password").write_text(text)
    (tmp_path / "data").symlink_to("one")
    watched, secret, other = Watched(path), tmp_path / "data" / "password", tmp_path / "other"
    watched.watch.also([secret, other])
    watched.start()
    (tmp_path / "fresh").symlink_to("two")
    (tmp_path / "fresh").replace(tmp_path / "data")
    watched.wait()
    secret.unlink()
    other.write_text("now there")
    watched.wait()
    watched.watch.also([])
    other.write_text("nobody looks")
    path.write_text(OTHER)
    watched.wait()
    watched.watch.close()
    assert watched.contents == ["trackers: []\n", "trackers: []\n", OTHER]
