"""A reload: by every way, all or nothing, whatever goes on meanwhile. What each setting does: test_reload_settings."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.processes import free_port
from qguardarr.adapters import keys
from qguardarr.engine.status import Status
from tests.support.api_client import KEY
from tests.support.daemon_process import until
from tests.support.fake_qbittorrent import FakeQBittorrent, Fault
from tests.support.live_settings import PARKED, Live, events_of

OTHER_KEY = "another-key-of-the-tests-0123456789"


@contextlib.contextmanager
def serving(folder: Path, config: Path | None = None, **sections: Any) -> Iterator[Live]:
    """A daemon with a torrent; `sections` are merged into the base."""
    with FakeQBittorrent() as fake:
        live = Live(folder, fake, config)
        live.base |= sections
        live.write(live.settings({}))
        live.start()
        try:
            live.torrents({})
            yield live
        finally:
            live.daemon.kill()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("reload")) as live:
        yield live


@pytest.fixture
def live(one: Live) -> Live:
    """One daemon for all that leave it able to go on, at the base."""
    one.use()
    return one


def post(live: Live, **rest: Any) -> Any:
    return live.api(**rest).post("/config/reload")


class TestWays:
    def test_a_file_that_is_written_in_place(self, live: Live) -> None:
        content = live.settings({})
        live.file.write_text(json.dumps(content))
        live.wait_for(content)

    def test_a_file_that_is_replaced_by_renaming(self, live: Live) -> None:
        content = live.settings({})
        live.write(content)
        live.wait_for(content)

    def test_a_file_that_is_gone_for_a_while(self, live: Live) -> None:
        live.file.unlink()
        live.next_cycle(2)
        content = live.settings({})
        live.write(content)
        live.wait_for(content)
        assert live.status.reload_error == ""

    def test_a_mounted_volume_whose_link_is_swapped(self, tmp_path: Path) -> None:
        """As Kubernetes does it: the file leads to a folder `..data`, which is a link that is replaced as a whole."""
        mount = tmp_path / "mount"
        for version in ("first", "second"):
            (mount / version).mkdir(parents=True)
        (mount / "..data").symlink_to("first")
        config = mount / "qguardarr.yaml"
        config.symlink_to("..data/qguardarr.yaml")
        with FakeQBittorrent() as fake:
            live = Live(tmp_path, fake, config)
            live.file = mount / "first" / "qguardarr.yaml"
            live.write(live.settings({}))
            live.start()
            try:
                content = live.settings({})
                live.file = mount / "second" / "qguardarr.yaml"
                live.write(content)
                (mount / "..fresh").symlink_to("second")
                (mount / "..fresh").rename(mount / "..data")
                live.wait_for(content)
            finally:
                live.daemon.kill()

    def test_a_signal_and_the_endpoint(self, tmp_path: Path) -> None:
        """The kept key is changed by itself: nothing else would make the daemon look."""
        with serving(tmp_path, auth={}) as live:
            first = keys.api_key(live.database.parent, None)
            live.soon(lambda: live.api(key=first).get("/stats").status == 200, "the API")
            made = subprocess.run(
                [sys.executable, "-m", "qguardarr", "api-key", "--new", "--config", str(live.file)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            second = made.stdout.strip()
            assert second != first
            assert live.api(key=first).get("/stats").status == 200
            live.daemon.reload()
            live.soon(lambda: live.api(key=second).get("/stats").status == 200, "the new key")
            assert live.api(key=first).get("/stats").status == 401
            third = keys.renew(live.database.parent)
            assert post(live, key=second).status == 200
            live.soon(lambda: live.api(key=third).get("/stats").status == 200, "the newest key")
            assert live.api(key=second).get("/stats").status == 401
            live.api(key=third).post("/api/v1/pause", {"reason": f"the key is {third}"})
            live.daemon.wait_for_log("pause_wanted")
            assert "the key is [hidden]" in live.daemon.log
            assert not any(key in live.daemon.log for key in (first, second, third))


class TestFaults:
    def test_a_broken_file_changes_nothing_shows_and_is_mended_by_mending_it(self, live: Live) -> None:
        before = live.status
        content = live.settings({"global.idle_limit": 7000})
        content["trackers"][0]["max_upload_speed"] = "fast"
        text = json.dumps(content, indent=1)
        line = next(n for n, part in enumerate(text.splitlines(), 1) if '"fast"' in part)
        fault = f"{live.file}:{line}: trackers[0].max_upload_speed"
        live.write(text)
        until(lambda: live.status.reload_error.startswith(fault), "the fault in the status")
        live.next_cycle()
        assert live.status.interval_s == before.interval_s
        assert live.limits() == [PARKED]
        shown = live.api().get("/health")
        assert (shown.status, shown.json()["status"]) == (200, "degraded")
        assert fault in " ".join(shown.json()["troubles"])
        problem = post(live).problem(422, "configuration")
        assert problem["errors"][0]["detail"].startswith(fault)
        assert live.api().get("/config").json()["global"]["idle_limit"] == "auto"
        live.use({"global.idle_limit": 8000})
        until(lambda: live.limits() == [8000], "the mended file")
        assert live.status.reload_error == ""
        assert live.api().get("/health").json()["status"] == "healthy"

    @pytest.mark.parametrize("broken", ["trackers: [", "\0\0", "[]", "", "global: {update_interval: 2}"])
    def test_what_is_no_configuration(self, live: Live, broken: str) -> None:
        interval_s = live.status.interval_s
        live.write(broken)
        until(lambda: str(live.file) in live.status.reload_error, "the fault in the status")
        assert post(live).status == 422
        assert live.status.interval_s == interval_s

    def test_a_secret_in_a_broken_file_is_not_shown(self, live: Live) -> None:
        live.write(live.settings({"qbittorrent.password": "hunter2 hunter2", "qbittorrent.prot": 1}))
        until(lambda: "prot" in live.status.reload_error, "the fault in the status")
        assert b"hunter2" not in post(live).body
        assert "hunter2" not in live.daemon.log

    @pytest.mark.parametrize("case", ["port", "host", "name of a host", "log", "certificates", "hash", "database"])
    def test_what_cannot_be_taken_up_leaves_everything_as_it_was(self, live: Live, tmp_path: Path, case: str) -> None:
        """All else in the file is new, and fine, and must not take effect either."""
        (tmp_path / "file").touch()
        taken = socket.create_server(("127.0.0.1", 0))
        port, log_file, database = free_port(), tmp_path / "log" / "a.log", tmp_path / "moved" / "b.db"
        keys.api_key(live.database.parent, None)
        new: dict[str, Any] = {
            "global.idle_limit": 7000,
            "global.port": port,
            "qbittorrent.timeout": 3,
            "auth.api_key": OTHER_KEY,
            "logging.file": str(log_file),
        }
        match case:
            case "port":
                fault, change = "global.host, global.port", {"global.port": taken.getsockname()[1]}
            case "host":
                fault, change = "global.host, global.port", {"global.host": "203.0.113.1"}
            case "name of a host":
                fault, change = "global.host, global.port", {"global.host": "a..b"}
            case "log":
                fault, change = "logging.file", {"logging.file": str(tmp_path / "file" / "a.log")}
            case "certificates":
                place = {"qbittorrent.url": "https://127.0.0.1:1", "qbittorrent.ca_file": str(tmp_path / "file")}
                fault, change = "qbittorrent", place
            case "hash":
                dear = "$argon2id$v=19$m=9000000,t=3,p=1$" + 22 * "A" + "$" + 43 * "A"
                fault, change = "auth.password", {"auth.username": "me", "auth.password": dear}
            case _:
                fault, change = "rollback.database_path", {"rollback.database_path": str(database)}
        before, logins, shown = live.status, live.fake.count("auth/login"), live.api().get("/config").body
        live.write(live.settings({**new, **change}))
        until(lambda: fault in live.status.reload_error, "the fault in the status")
        assert post(live).status in (422, 503)
        live.next_cycle(2)
        assert live.limits() == [PARKED]
        assert (live.status.interval_s, live.status.state) == (before.interval_s, "holding")
        assert live.api().get("/config").body == shown
        assert live.api(key=OTHER_KEY).get("/stats").status == 401
        assert live.fake.count("auth/login") == logins
        assert not listens(port)
        assert not database.parent.exists()
        live.api().post("/api/v1/resume")
        assert not log_file.exists() or log_file.read_text() == ""
        taken.close()
        live.use()
        until(lambda: live.status.reload_error == "", "the watch to have looked at the mended file, too")


class TestMeanwhile:
    def test_while_qbittorrent_hangs_the_old_connection_is_closed_under_the_cycle(self, live: Live) -> None:
        live.use({"qbittorrent.timeout": 600})
        with FakeQBittorrent() as other:
            hang(live)
            live.use({"qbittorrent.url": other.url})
            assert live.status.state == "holding"

    def test_while_qbittorrent_hangs_a_reload_that_keeps_the_connection_does_not(self, live: Live) -> None:
        """The settings wait for the next cycle."""
        live.use({"qbittorrent.timeout": 600})
        hang(live)
        live.write(live.settings({"qbittorrent.timeout": 600}))
        assert post(live).status == 200
        live.use()

    def test_what_was_counted_counts_on_with_another_connection(self, live: Live) -> None:
        live.next_cycle(3)
        before = live.status
        live.use({"qbittorrent.timeout": 7})
        after = live.status
        assert before.reads < after.reads <= before.reads + 10
        assert after.logins == before.logins + 1

    def test_two_at_once(self, live: Live) -> None:
        content = live.settings({})
        live.write(content)
        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(post(live).status)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200, 200]
        live.wait_for(content)

    def test_a_hundred_callers_and_signals_are_all_answered_by_few_loads(self, live: Live) -> None:
        """Asked for within the first load: all that come meanwhile share the one after it."""
        loads = live.daemon.log.count("reloaded")
        threads = len(list(Path(f"/proc/{live.daemon.process.pid}/task").iterdir()))
        request = f"POST /config/reload HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEY}\r\nConnection: close\r\n\r\n".encode()
        most = threads
        with contextlib.ExitStack() as opened:
            callers = [
                opened.enter_context(socket.create_connection(("127.0.0.1", live.port), 60.0)) for _ in range(100)
            ]
            for caller in callers:
                caller.sendall(request)
                live.daemon.reload()
            most = max(most, len(list(Path(f"/proc/{live.daemon.process.pid}/task").iterdir())))
            answers = [caller.recv(65536) for caller in callers]
        assert [answer.split(b"\r\n", 1)[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * 100
        live.next_cycle()
        assert live.daemon.log.count("reloaded") - loads <= 10
        assert most <= threads + 10

    def test_many_in_a_row_end_with_the_newest(self, live: Live) -> None:
        ports = [free_port() for _ in range(4)]
        for port in ports:
            live.write(live.settings({"global.port": port}))
            live.daemon.reload()
        content = live.settings({"global.port": ports[-1]})
        live.write(content)
        live.wait_for(content)
        live.soon(lambda: live.api(ports[-1]).get("/stats").status == 200, "the API at the last port")
        until(lambda: not any(map(listens, (live.port, *ports[:-1]))), "the others to be free")

    def test_a_request_for_a_reload_that_moves_the_api_is_answered(self, live: Live) -> None:
        other = free_port()
        connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=40)
        connection.request("GET", "/health/live")
        assert connection.getresponse().read()
        live.write(live.settings({"global.port": other}))
        connection.request("POST", "/config/reload", headers={"X-Api-Key": KEY})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["status"]) == (200, "reloaded")
        live.soon(lambda: live.api(other).get("/stats").status == 200, "the API at the other port")
        until(lambda: not listens(live.port), "the old port to be free")
        connection.close()

    def test_what_is_under_way_when_the_api_moves_is_answered(self, live: Live) -> None:
        """It waits for a cycle, which waits for qBittorrent, which does not answer for three seconds."""
        other, slow = free_port(), {"qbittorrent.timeout": 3}
        live.use(slow)
        hang(live)
        answers: list[bytes] = []
        thread = threading.Thread(target=lambda: answers.append(live.api().post("/cycle/force").body))
        thread.start()
        live.write(live.settings({**slow, "global.port": other}))
        thread.join(40.0)
        assert json.loads(answers[0])["status"] in ("failed", "completed")
        live.soon(lambda: live.api(other).get("/stats").status == 200, "the API at the other port")

    def test_access_that_changes_while_the_api_cannot_listen_counts_once_it_does(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Regression: whoever had the old key, or none where none was needed, went on being let in."""
        with socket.create_server(("127.0.0.1", 0)) as taken, FakeQBittorrent() as fake:
            live = Live(tmp_path, fake)
            port = live.base["global"]["port"] = taken.getsockname()[1]
            live.base["auth"] = "none"
            live.write(live.settings({}))
            live.start()
            try:
                live.daemon.wait_for_log("api_not_listening")
                content = live.settings({"auth": {"api_key": OTHER_KEY}})
                live.write(content)
                live.wait_for(content)
                taken.close()
                live.daemon.wait_for_log("api_listens")
                assert live.api(port, key=None).get("/stats").status == 401
                assert live.api(port, key=OTHER_KEY).get("/stats").status == 200
            finally:
                live.daemon.kill()

    def test_event_streams_end_and_may_start_again(self, live: Live) -> None:
        pictures: list[Status] = []
        thread = threading.Thread(target=lambda: pictures.extend(events_of(live.port)))
        thread.start()
        live.next_cycle(2)
        live.use({"http.metrics": "open"})
        thread.join(20.0)
        assert not thread.is_alive()
        assert pictures
        stream = events_of(live.port)
        assert next(stream).interval_s == live.status.interval_s
        assert next(stream).cycle > pictures[-1].cycle
        stream.close()


def hang(live: Live) -> None:
    """Let the next read get no answer, and wait until the engine is in it."""
    reads = live.fake.count("sync/maindata")
    live.fake.fail_next("sync/maindata", Fault.HANG)
    live.fake.wait_for_request("sync/maindata", reads + 1, timeout_s=20.0)


def listens(port: int) -> bool:
    """Whether anybody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 2.0).close()
    except OSError:
        return False
    return True
