"""The forwarder with a fake cross-seed over real HTTP: its requests, and its thread."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from qguardarr.adapters import crossseed
from qguardarr.adapters.crossseed import CrossSeedForwarder
from qguardarr.adapters.crossseed_webhook import Webhook
from qguardarr.adapters.sqlite.store import SqliteStore
from qguardarr.engine.feature_ports import Entry
from qguardarr.engine.settings import CrossSeedSettings
from qguardarr.engine.status import CrossSeedCounts
from qguardarr.errors import StoreError
from qguardarr.features.completion_queue import Kind
from tests.support.fake_crossseed import GARBAGE, HANG, KEY, RESET, FakeCrossSeed, valid

A, B, C = "a" * 40, "b" * 40, "0123456789abcdef0123456789abcdef01234567"
OFF = CrossSeedSettings(url=None, api_key=None, timeout_s=5.0)


class WatchedStore(SqliteStore):
    """A store that notifies tests of changes of the outbox; `broken`: the error of its disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.changed = threading.Condition()
        self.broken = ""

    def outbox(self, limit: int) -> list[Entry]:
        self._check()
        return super().outbox(limit)

    def outbox_put(self, entry: Entry) -> None:
        self._check()
        super().outbox_put(entry)
        self._tell()

    def outbox_remove(self, info_hash: str) -> None:
        self._check()
        super().outbox_remove(info_hash)
        self._tell()

    def wait_for(self, done: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(done, 10.0)

    def _check(self) -> None:
        if self.broken:
            self._tell()
            raise StoreError(self.broken)

    def _tell(self) -> None:
        with self.changed:
            self.changed.notify_all()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WatchedStore]:
    store = WatchedStore(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def fake() -> Iterator[FakeCrossSeed]:
    with FakeCrossSeed() as fake:
        yield fake


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Politeness is tested in virtual time."""
    monkeypatch.setattr("qguardarr.features.completion_queue.PAUSE_S", 0.0)


MakeForwarder = Callable[..., CrossSeedForwarder]


@pytest.fixture
def forwarder_of(store: WatchedStore) -> Iterator[MakeForwarder]:
    """Couriers that are closed at the end."""
    made: list[CrossSeedForwarder] = []

    def make(settings: CrossSeedSettings, outbox: Any = None) -> CrossSeedForwarder:
        made.append(CrossSeedForwarder(outbox or store, settings))
        made[-1].start()
        return made[-1]

    yield make
    for forwarder in made:
        forwarder.close()


def settings_for(fake: FakeCrossSeed, **changes: Any) -> CrossSeedSettings:
    return CrossSeedSettings(**{"url": fake.url, "api_key": KEY, "timeout_s": 5.0, **changes})


def send(fake: FakeCrossSeed, info_hash: str = A, **changes: Any) -> tuple[Kind, str]:
    outcome = Webhook(settings_for(fake, **changes)).send(info_hash)
    return outcome.kind, outcome.reason


def threads_of_forwarders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "cross-seed"]


class TestFake:
    """The fake is as strict as the published schema."""

    @pytest.mark.parametrize(
        ("body", "taken"),
        [
            ({"infoHash": A}, True),
            ({"infoHash": A, "includeNonVideos": "true", "ignoreCrossSeeds": False}, True),
            ({"path": "/"}, True),
            ({"path": "/no/such/path"}, False),
            ({"infoHash": A, "path": "/"}, False),
            ({}, False),
            ({"infoHash": ""}, False),
            ({"infoHash": A[:-1]}, False),
            ({"infoHash": A * 2}, False),
            ({"infoHash": A, "name": "x"}, False),  # as the earlier Qguardarr sent
            ({"infoHash": A, "includeNonVideos": 1}, False),
            ([A], False),
        ],
    )
    def test_schema(self, body: Any, taken: bool) -> None:
        assert valid(body) is taken

    def test_json_and_forms_are_taken_and_the_key_may_stand_in_the_query(self, fake: FakeCrossSeed) -> None:
        def post(target: str, body: str, **headers: str) -> int:
            connection = HTTPConnection("127.0.0.1", fake.port, timeout=5)
            connection.request("POST", target, body, {"Content-Type": "application/json", **headers})
            status = connection.getresponse().status
            connection.close()
            return status

        assert post("/api/webhook", json.dumps({"infoHash": A.upper()}), **{"X-Api-Key": KEY}) == 204
        assert post(f"/api/webhook?apikey={KEY}", f"infoHash={B}") == 204
        assert fake.searches == [A, B]
        assert post("/api/webhook", f"infoHash={B}") == 401
        assert post(f"/api/webhook?apikey={KEY}", f"infoHash={B}&infoHash={A}") == 500
        assert post(f"/api/webhook?apikey={KEY}", "{}", **{"Content-Type": "text/html"}) == 415
        assert post(f"/webhook?apikey={KEY}", "{}") == 404


class TestWire:
    def test_it_sends_what_cross_seed_takes_and_nothing_else(self, fake: FakeCrossSeed) -> None:
        assert send(fake, C) == (Kind.DELIVERED, "")
        (call,) = fake.calls
        assert call.target == "/api/webhook"
        assert call.body == f"infoHash={C}".encode()
        assert call.headers["content-type"] == "application/x-www-form-urlencoded"
        assert call.headers["x-api-key"] == KEY
        assert fake.searches == [C]

    def test_the_key_may_stand_in_the_url(self, fake: FakeCrossSeed) -> None:
        assert send(fake, url=f"{fake.url}?apikey={KEY}", api_key=None) == (Kind.DELIVERED, "")
        assert "x-api-key" not in fake.calls[0].headers

    def test_proxies_of_the_environment_are_ignored(self, fake: FakeCrossSeed, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert send(fake)[0] is Kind.DELIVERED

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (200, Kind.DELIVERED),
            (202, Kind.DELIVERED),
            (400, Kind.REFUSED),
            (404, Kind.MISCONFIGURED),
            (413, Kind.REFUSED),
            (422, Kind.REFUSED),
            (401, Kind.MISCONFIGURED),
            (403, Kind.MISCONFIGURED),
            (302, Kind.MISCONFIGURED),
            (308, Kind.MISCONFIGURED),
            (429, Kind.AWAY),
            (502, Kind.AWAY),
            (503, Kind.AWAY),
            (500, Kind.FAILED),
        ],
    )
    def test_each_status_has_its_outcome(self, fake: FakeCrossSeed, status: int, kind: Kind) -> None:
        fake.fail_next(status)
        found, reason = send(fake)
        assert found is kind
        assert (str(status) in reason) is (kind is not Kind.DELIVERED)
        assert len(fake.calls) == 1  # no redirect is followed

    @pytest.mark.parametrize("fault", [RESET, GARBAGE])
    def test_a_broken_conversation_is_an_outage(self, fake: FakeCrossSeed, fault: str) -> None:
        fake.fail_next(fault)
        assert send(fake)[0] is Kind.AWAY

    def test_nobody_there_is_an_outage(self, fake: FakeCrossSeed) -> None:
        fake.stop()
        assert send(fake) == (Kind.AWAY, "it cannot be reached: Connection refused")

    def test_a_name_that_nobody_knows_is_an_outage(self, fake: FakeCrossSeed, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_: Any, **__: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        assert send(fake) == (Kind.AWAY, "it cannot be reached: Name or service not known")

    def test_no_answer_in_time_is_an_outage(self, fake: FakeCrossSeed) -> None:
        fake.indexed.clear()
        kind, reason = send(fake, timeout_s=0.05)
        assert kind is Kind.AWAY
        assert "no answer within 0.05 s" in reason
        assert "cross_seed.timeout" in reason

    def test_tls_to_one_that_speaks_none_is_an_outage(self, fake: FakeCrossSeed) -> None:
        assert send(fake, url=fake.url.replace("http://", "https://"))[0] is Kind.AWAY

    def test_an_untrusted_certificate_is_named(self, fake: FakeCrossSeed, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any) -> None:
            error = ssl.SSLCertVerificationError("certificate verify failed")
            error.verify_message = "self-signed certificate"
            raise error

        monkeypatch.setattr("http.client.HTTPSConnection.connect", refuse)
        assert send(fake, url="https://localhost/api/webhook") == (
            Kind.AWAY,
            "its certificate is not trusted: self-signed certificate",
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {"url": "ftp://localhost/"},
            {"url": "localhost"},
            {"url": "http://user:secret@localhost/"},
            {"url": "http://[::1"},
            {"url": ""},
            {"api_key": "line\nbreak"},
            {"api_key": "schlüssel–"},
        ],
    )
    def test_unusable_settings_are_named_and_not_shown(self, fake: FakeCrossSeed, changes: dict[str, str]) -> None:
        kind, reason = send(fake, **changes)
        assert kind is Kind.MISCONFIGURED
        assert reason.startswith("cross_seed.url or cross_seed.api_key cannot be used")
        assert not any(value and value in reason for value in changes.values())

    def test_an_answer_may_take_as_long_as_the_settings_say(
        self, fake: FakeCrossSeed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The shorter time of a connection does not bound the answer."""
        limits: list[float | None] = []
        answer = HTTPConnection.getresponse

        def getresponse(connection: HTTPConnection) -> Any:
            limits.append(connection.sock.gettimeout())
            return answer(connection)

        monkeypatch.setattr(HTTPConnection, "getresponse", getresponse)
        assert send(fake, timeout_s=600.0)[0] is Kind.DELIVERED
        assert limits == [600.0]

    def test_an_aborted_webhook_sends_nothing(self, fake: FakeCrossSeed) -> None:
        webhook = Webhook(settings_for(fake))
        webhook.abort()
        assert webhook.send(A).kind is Kind.ABORTED
        assert fake.calls == []


class TestCourier:
    def test_a_completion_is_forwarded_and_deleted(
        self, fake: FakeCrossSeed, store: WatchedStore, forwarder_of: MakeForwarder
    ) -> None:
        forwarder = forwarder_of(settings_for(fake))
        forwarder.complete(A.upper())
        fake.wait_for_searches(1)
        store.wait_for(lambda: forwarder.counts().forwarded == 1 and not store.outbox(9))
        assert forwarder.counts() == CrossSeedCounts(enabled=True, forwarded=1)
        assert fake.calls[0].body == f"infoHash={A}".encode()

    def test_while_cross_seed_hangs_completions_are_taken_at_once(
        self, fake: FakeCrossSeed, forwarder_of: MakeForwarder
    ) -> None:
        """The thread that tells of them is in the middle of a request, and must not matter."""
        fake.indexed.clear()
        forwarder = forwarder_of(settings_for(fake))
        forwarder.complete(A)
        fake.wait_for_calls(1)
        for number in range(1000):
            forwarder.complete(f"{number % 100:040x}")
        assert forwarder.counts().pending == 101
        assert len(fake.calls) == 1
        fake.indexed.set()
        fake.wait_for_searches(101)
        assert fake.at_once == 1
        assert sorted(fake.searches) == sorted({A, *(f"{number:040x}" for number in range(100))})

    def test_completing_touches_neither_disk_nor_network(self, fake: FakeCrossSeed) -> None:
        class Untouchable:
            def __getattr__(self, name: str) -> Any:
                raise AssertionError(name)

        forwarder = CrossSeedForwarder(Untouchable(), settings_for(fake))  # type: ignore[arg-type] # not started
        forwarder.complete(A)
        assert forwarder.counts().pending == 1
        assert fake.calls == []

    def test_an_outage_loses_nothing(
        self, fake: FakeCrossSeed, store: WatchedStore, forwarder_of: MakeForwarder
    ) -> None:
        fake.stop()
        forwarder = forwarder_of(settings_for(fake))
        for info_hash in (A, B, C):
            forwarder.complete(info_hash)
        store.wait_for(lambda: any(entry.attempts for entry in store.outbox(9)) and len(store.outbox(9)) == 3)
        assert forwarder.counts().problem == "it cannot be reached: Connection refused"
        fake.start()
        forwarder.configure(settings_for(fake, timeout_s=4.0))  # so that the test need not wait for the next attempt
        fake.wait_for_searches(3)
        store.wait_for(lambda: not store.outbox(9))
        assert fake.searches == [A, B, C]
        assert forwarder.counts() == CrossSeedCounts(enabled=True, forwarded=3)

    def test_a_new_process_goes_on(self, fake: FakeCrossSeed, store: WatchedStore, forwarder_of: MakeForwarder) -> None:
        fake.stop()
        first = forwarder_of(settings_for(fake))
        for info_hash in (A, B):
            first.complete(info_hash)
        store.wait_for(lambda: len(store.outbox(9)) == 2)
        first.close()
        assert {entry.info_hash for entry in store.outbox(9)} == {A, B}
        fake.start()
        second = forwarder_of(settings_for(fake))
        store.wait_for(lambda: second.counts().forwarded == 2)
        assert fake.searches == [A, B]

    def test_a_completion_just_before_the_end_is_kept(self, fake: FakeCrossSeed, store: WatchedStore) -> None:
        fake.fail_next(HANG)
        forwarder = CrossSeedForwarder(store, settings_for(fake, timeout_s=600.0))
        forwarder.start()
        forwarder.complete(A)
        fake.wait_for_calls(1)
        forwarder.complete(B)
        forwarder.close()
        assert [entry.info_hash for entry in store.outbox(9)] == [A, B]

    def test_it_ends_at_once_even_while_cross_seed_hangs(self, fake: FakeCrossSeed, store: WatchedStore) -> None:
        fake.fail_next(HANG)
        forwarder = CrossSeedForwarder(store, settings_for(fake, timeout_s=600.0))
        forwarder.start()
        forwarder.complete(A)
        fake.wait_for_calls(1)
        forwarder.close()
        forwarder.close()
        assert threads_of_forwarders() == []
        assert forwarder.counts().problem == ""

    def test_a_request_that_nothing_ends_is_not_waited_for(
        self, fake: FakeCrossSeed, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While a name server does not answer: nothing can end that."""
        asked, answer = threading.Event(), threading.Event()

        def hang(*_: Any, **__: Any) -> Any:
            asked.set()
            answer.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        monkeypatch.setattr(socket, "getaddrinfo", hang)
        monkeypatch.setattr(crossseed, "CLOSE_S", 0.01)
        forwarder = CrossSeedForwarder(store, settings_for(fake))
        forwarder.start()
        forwarder.complete(A)
        assert asked.wait(10)
        forwarder.close()
        (thread,) = threads_of_forwarders()
        answer.set()
        thread.join(10)
        assert not thread.is_alive()

    def test_the_wait_for_its_end_is_within_what_the_daemon_has(self) -> None:
        assert crossseed.CLOSE_S < 2.0

    def test_a_full_queue_drops_and_says_so(
        self, fake: FakeCrossSeed, forwarder_of: MakeForwarder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(crossseed, "MOST_WAITING", 3)
        fake.fail_next(HANG)
        forwarder = forwarder_of(settings_for(fake))
        forwarder.complete(A)
        fake.wait_for_calls(1)
        with structlog.testing.capture_logs() as lines:
            for number in range(10):
                forwarder.complete(f"{number:040x}")
            forwarder.complete(A)  # waits already
        assert (forwarder.counts().pending, forwarder.counts().dropped) == (3, 8)
        assert [line["event"] for line in lines] == ["completions_dropped"]

    def test_a_full_disk_does_not_keep_completions_from_cross_seed(
        self, fake: FakeCrossSeed, store: WatchedStore, forwarder_of: MakeForwarder
    ) -> None:
        store.broken = "store x: the disk is full; free some space"
        forwarder = forwarder_of(settings_for(fake))
        forwarder.complete(A)
        fake.wait_for_searches(1)
        store.wait_for(lambda: "kept in memory only: store x: the disk is full" in forwarder.counts().problem)

    def test_a_defect_is_shown_and_does_not_end_it(
        self, fake: FakeCrossSeed, store: WatchedStore, forwarder_of: MakeForwarder
    ) -> None:
        failed = threading.Event()

        class Broken:
            def outbox(self, limit: int) -> list[Entry]:
                if not failed.is_set():
                    failed.set()
                    raise RuntimeError("a defect")
                return []

            outbox_put = outbox_remove = staticmethod(lambda _: None)

        with structlog.testing.capture_logs() as lines:
            forwarder = forwarder_of(settings_for(fake), Broken())
            assert failed.wait(10)
            deadline = time.monotonic() + 10
            while "internal error: RuntimeError" not in forwarder.counts().problem:
                assert time.monotonic() < deadline
                threading.Event().wait(0.01)
            forwarder.complete(A)
            fake.wait_for_searches(1)
        assert [line["event"] for line in lines] == ["defect"]


class TestSettings:
    def test_without_a_url_no_thread_runs(self, store: WatchedStore, forwarder_of: MakeForwarder) -> None:
        forwarder = forwarder_of(OFF)
        forwarder.complete(A)
        assert forwarder.counts() == CrossSeedCounts(enabled=False)
        assert threads_of_forwarders() == []
        forwarder.close()

    def test_it_can_be_turned_on_and_off(
        self, fake: FakeCrossSeed, store: WatchedStore, forwarder_of: MakeForwarder
    ) -> None:
        forwarder = forwarder_of(OFF)
        forwarder.configure(settings_for(fake))
        forwarder.complete(A)
        store.wait_for(lambda: forwarder.counts().forwarded == 1)
        forwarder.configure(OFF)
        forwarder.complete(B)
        forwarder.configure(settings_for(fake))
        forwarder.complete(C)
        fake.wait_for_searches(2)
        assert fake.searches == [A, C]

    def test_completions_that_waited_while_it_was_off_are_forwarded_later(
        self, fake: FakeCrossSeed, store: WatchedStore, forwarder_of: MakeForwarder
    ) -> None:
        fake.fail_next(HANG)
        forwarder = forwarder_of(settings_for(fake))
        forwarder.complete(A)
        fake.wait_for_calls(1)
        forwarder.configure(OFF)
        assert forwarder.counts() == CrossSeedCounts(enabled=False, pending=1)
        forwarder.configure(settings_for(fake))
        fake.wait_for_searches(1)
        assert fake.searches == [A]

    def test_a_mended_key_counts_at_once(
        self, fake: FakeCrossSeed, store: WatchedStore, forwarder_of: MakeForwarder
    ) -> None:
        forwarder = forwarder_of(settings_for(fake, api_key="wrong"))
        forwarder.complete(A)
        store.wait_for(lambda: forwarder.counts().problem.startswith("it refuses the key (401)"))
        forwarder.configure(settings_for(fake))
        fake.wait_for_searches(1)
        store.wait_for(lambda: forwarder.counts().forwarded == 1)
        assert forwarder.counts().problem == ""

    def test_a_request_that_hangs_is_ended_by_new_settings(
        self, fake: FakeCrossSeed, forwarder_of: MakeForwarder
    ) -> None:
        fake.fail_next(HANG)
        forwarder = forwarder_of(settings_for(fake, timeout_s=600.0))
        forwarder.complete(A)
        fake.wait_for_calls(1)
        forwarder.configure(settings_for(fake))
        fake.wait_for_searches(1)

    def test_the_same_settings_again_disturb_nothing(self, fake: FakeCrossSeed, forwarder_of: MakeForwarder) -> None:
        fake.indexed.clear()
        forwarder = forwarder_of(settings_for(fake))
        forwarder.complete(A)
        fake.wait_for_calls(1)
        forwarder.configure(settings_for(fake))
        fake.indexed.set()
        fake.wait_for_searches(1)
        assert len(fake.calls) == 1

    def test_their_repr_holds_no_secret(self, fake: FakeCrossSeed) -> None:
        assert repr(settings_for(fake, url=f"{fake.url}?apikey=TOPSECRET")) == "<CrossSeedSettings, on, 5 s>"


@pytest.mark.parametrize(
    "fault", [RESET, GARBAGE, 302, 400, 401, 404, 429, 500, 503, "stopped", "https", "ftp", "hang"]
)
def test_no_secret_gets_into_logs_problems_or_the_outbox(
    fake: FakeCrossSeed, store: WatchedStore, forwarder_of: MakeForwarder, fault: str | int
) -> None:
    url, timeout_s = f"http://127.0.0.1:{fake.port}/api/webhook/TOPSECRET?apikey=TOPSECRET", 5.0
    if fault == "stopped":
        fake.stop()
    elif fault in ("https", "ftp"):
        url = url.replace("http:", f"{fault}:")
    elif fault == "hang":
        timeout_s = 0.05
        fake.fail_next(HANG)
    else:
        fake.fail_next(fault)
    with structlog.testing.capture_logs() as lines:
        forwarder = forwarder_of(settings_for(fake, url=url, api_key="TOPSECRET", timeout_s=timeout_s))
        forwarder.complete(A)
        store.wait_for(lambda: forwarder.counts().problem != "")
        forwarder.close()
    assert lines
    said = f"{lines} {forwarder.counts()} {store.outbox(9)}"
    assert "TOPSECRET" not in said
    assert "127.0.0.1" not in said
