"""The qBittorrent client when things go wrong, on the fake."""

from __future__ import annotations

import itertools
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from qguardarr.adapters import http
from qguardarr.adapters.qbittorrent import QBittorrentClient, breaker, client, merge
from qguardarr.core.model import MAX_LIMIT, UNLIMITED, Activity, Observation, Torrent
from qguardarr.engine.ports import Known
from qguardarr.engine.settings import QBittorrentSettings
from qguardarr.errors import AuthRejected, ClientError, Refused, Unreachable
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent, Fault

PASSKEY = "0123456789abcdefpasskey"
KEY = "qbt_" + "k" * 28
ONE, TWO, THREE = ("1" * 40, "2" * 40, "3" * 40)
SPOILING = [Fault.STATUS_500, Fault.GARBAGE, Fault.TRUNCATED, Fault.RESET_MID_BODY]


class Remembering(QBittorrentClient):
    """A client that keeps what it has read, as the daemon's registry does."""

    def __init__(self, settings: QBittorrentSettings) -> None:
        super().__init__(settings)
        self.settings = settings
        self._kept: dict[str, Torrent] = {}

    def observe(self, hints: Collection[str] = (), known: Known | None = None) -> Observation:
        seen = super().observe(hints, known or self._kept.get)
        if seen.full:
            self._kept = {}
        self._kept.update(seen.torrents)
        for hash_ in seen.removed:
            self._kept.pop(hash_, None)
        return seen


Connect = Callable[..., Remembering]


@pytest.fixture(params=["5.1.0"])
def fake(request: pytest.FixtureRequest) -> Iterator[FakeQBittorrent]:
    with FakeQBittorrent(request.param, api_key=KEY) as fake:
        fake.add(*(FakeTorrent(h, f"torrent {h[0]}", (f"http://127.0.0.1:9/announce/{PASSKEY}",)) for h in (ONE, TWO)))
        yield fake


@pytest.fixture
def connect(fake: FakeQBittorrent) -> Iterator[Connect]:
    clients: list[Remembering] = []

    def make(**changes: Any) -> Remembering:
        settings = {"url": fake.url, "username": fake.username, "password": fake.password, "timeout_s": 5.0, **changes}
        clients.append(Remembering(QBittorrentSettings(**settings)))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


@pytest.fixture(params=["whole", "streamed"])
def decoding(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers decoded in one piece, and streamed."""
    if request.param == "streamed":
        monkeypatch.setattr(merge, "WHOLE_BYTES", 0)
        monkeypatch.setattr(merge, "WHOLE_FULL_BYTES", 0)


def rids(fake: FakeQBittorrent) -> list[str]:
    return [request.query["rid"] for request in fake.requests if request.path == "sync/maindata"]


# Logging in


def test_an_expired_session_is_renewed_once_and_the_read_goes_on(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    fake.expire_sessions()
    assert qbittorrent.observe().full
    assert fake.count("auth/login") == 2


def test_a_session_refused_right_after_login_is_not_renewed_again_and_again(
    fake: FakeQBittorrent, connect: Connect
) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    fake.fail_next("sync/maindata", *[Fault.FORBIDDEN] * 10)
    for _ in range(5):
        with pytest.raises(AuthRejected):
            qbittorrent.observe()
    assert fake.count("auth/login") == 2
    assert fake.count("sync/maindata") == 3


@pytest.mark.parametrize("fake", ["5.3.0"], indirect=True)
def test_a_ban_does_not_keep_out_an_api_key(fake: FakeQBittorrent, connect: Connect) -> None:
    fake.ban()
    assert connect(username=None, api_key=KEY).observe().full


@pytest.mark.parametrize("fake", ["5.3.0"], indirect=True)
def test_basic_sends_the_password_only_until_there_is_a_session(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect(auth="basic")
    for _ in range(3):
        qbittorrent.observe()
    assert [("authorization" in request.headers) for request in fake.requests] == [True] + [False] * 5
    fake.expire_sessions()
    qbittorrent.observe()
    assert fake.sessions_made == 2


@pytest.mark.parametrize("fake", ["5.1.0", "5.3.0"], indirect=True)
def test_where_no_login_is_asked_for_one_session_is_kept(fake: FakeQBittorrent, connect: Connect) -> None:
    fake.bypass_local_auth = True
    qbittorrent = connect(username=None)
    for _ in range(3):
        qbittorrent.observe()
    assert fake.sessions_made == 1


def test_neither_origin_nor_referer_is_sent(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    qbittorrent.set_upload_limit(5000, [ONE])
    assert not any({"origin", "referer"} & request.headers.keys() for request in fake.requests)


# Addresses


def test_a_path_prefix_is_kept() -> None:
    with FakeQBittorrent(prefix="/some/qbt") as fake:
        settings = QBittorrentSettings(url=fake.url + "/", username=fake.username, password=fake.password)
        qbittorrent = QBittorrentClient(settings)
        assert qbittorrent.observe().full
        qbittorrent.close()


def test_a_wrong_path_is_refused_with_a_hint(fake: FakeQBittorrent, connect: Connect) -> None:
    with pytest.raises(Refused, match="path"):
        connect(url=fake.url + "/nowhere", username=None).observe()


def test_a_redirect_is_an_error_that_says_where_it_leads(fake: FakeQBittorrent, connect: Connect) -> None:
    fake.fail_next("auth/login", Fault.REDIRECT)
    with pytest.raises(Refused, match=r"redirects to elsewhere\.example"):
        connect().observe()


def test_something_else_at_the_address_is_named_so(fake: FakeQBittorrent, connect: Connect) -> None:
    fake.fail_next("app/version", Fault.GARBAGE)
    with pytest.raises(Refused, match="something else"):
        connect().observe()


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://host", "http://user:pw@host", "http://host/?a=b", "http://["])
def test_an_unusable_address_is_rejected_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="url") as caught:
        QBittorrentClient(QBittorrentSettings(url=url))
    assert "pw" not in str(caught.value)


# Reads that fail


@pytest.mark.usefixtures("decoding")
@pytest.mark.parametrize("fake", ["4.5.2", "5.1.0"], indirect=True)
@pytest.mark.parametrize(
    ("fault", "zipped"),
    [*itertools.product(SPOILING, [True, False]), (Fault.HANG, False), (Fault.SLOW, False)],
)
def test_a_spoilt_read_teaches_nothing_and_the_next_is_full(
    fake: FakeQBittorrent, connect: Connect, fault: Fault, zipped: bool
) -> None:
    fake.use_gzip = zipped
    path = "torrents/info" if fake.version == "4.5.2" else "sync/maindata"
    qbittorrent = connect(timeout_s=1.0 if fault in (Fault.HANG, Fault.SLOW) else 5.0)
    for torrent in fake.torrents.values():
        torrent.state = "uploading"
    qbittorrent.observe()
    fake.torrents[ONE].uploaded_session = 700
    fake.remove(TWO)
    fake.fail_next(path, fault)
    with pytest.raises(Unreachable):
        qbittorrent.observe()
    fake.release()
    observation = qbittorrent.observe()
    assert observation.full
    assert {h: torrent.uploaded for h, torrent in observation.torrents.items()} == {ONE: 700}


def test_what_was_in_a_lost_answer_is_not_lost(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    qbittorrent.observe()
    fake.torrents[ONE].up_limit = 4321
    fake.fail_next("sync/maindata", Fault.LOST)
    observation = qbittorrent.observe()  # repeated at once, from the start
    assert observation.full
    assert observation.torrents[ONE].up_limit == 4321
    assert rids(fake) == ["0", "1", "2", "0"]


def test_a_failed_full_read_leaves_a_full_read_to_do(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    fake.fail_next("sync/maindata", Fault.GARBAGE, Fault.STATUS_500)
    for _ in range(2):
        with pytest.raises(Unreachable):
            qbittorrent.observe()
    assert qbittorrent.observe().full


def test_a_full_answer_to_a_partial_request_is_taken_as_full(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    for state in fake.sessions.values():
        state.last_id = 0  # as if it were new
    fake.remove(TWO)
    observation = qbittorrent.observe()
    assert observation.full
    assert set(observation.torrents) == {ONE}
    assert not qbittorrent.observe().full


@pytest.mark.usefixtures("decoding")
def test_a_full_answer_without_the_fields_we_need_is_not_taken_for_missing_torrents(
    fake: FakeQBittorrent, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = fake.fields_of
    monkeypatch.setattr(fake, "fields_of", lambda torrent: {k: v for k, v in healthy(torrent).items() if k != "state"})
    with pytest.raises(Unreachable, match="without their fields"):
        connect().observe()


@pytest.mark.usefixtures("decoding")
def test_a_change_of_a_torrent_never_described_asks_for_everything(
    fake: FakeQBittorrent, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    odd = {"rid": 2, "torrents": {THREE: {"uploaded_session": 5}}}
    with monkeypatch.context() as patch:
        patch.setattr(fake, "maindata", lambda *_: odd)
        observation = qbittorrent.observe()
    assert not observation.full
    assert observation.torrents == {}
    assert qbittorrent.observe().full


def test_an_observation_given_away_does_not_change_later(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    first = qbittorrent.observe()
    fake.remove(TWO)
    fake.torrents[ONE].uploaded_session = 9
    qbittorrent.observe()
    assert {h: torrent.uploaded for h, torrent in first.torrents.items()} == {ONE: 0, TWO: 0}


@pytest.mark.usefixtures("decoding")
def test_thousands_of_torrents_are_read_whole(fake: FakeQBittorrent, connect: Connect) -> None:
    fake.add(*(FakeTorrent(f"{n:040x}", f'näme \\ "{n}" {{[', ("udp://t/announce",), up_limit=n) for n in range(2000)))
    observation = connect().observe()
    assert len(observation.torrents) == 2002
    assert observation.torrents[f"{1234:040x}"].up_limit == 1234


# Before 4.6


@pytest.fixture
def rare_inventory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "INVENTORY_SHARE", 1e9)


@pytest.mark.usefixtures("rare_inventory", "decoding")
@pytest.mark.parametrize("fake", ["4.5.2"], indirect=True)
def test_an_old_qbittorrent_is_asked_for_active_torrents_only(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    assert qbittorrent.observe().full
    fake.torrents[ONE].state, fake.torrents[ONE].uploaded_session = "uploading", 500
    observation = qbittorrent.observe()
    assert not observation.full
    assert {h: torrent.uploaded for h, torrent in observation.torrents.items()} == {ONE: 500}
    assert fake.count("sync/maindata") == 0
    assert fake.count("transfer/info") == 1
    assert fake.requests[-1].query == {"filter": "active"}


@pytest.mark.usefixtures("rare_inventory")
@pytest.mark.parametrize("fake", ["4.5.2"], indirect=True)
def test_a_torrent_that_is_active_no_longer_is_shown_idle_once(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    fake.torrents[ONE].state = "uploading"
    qbittorrent.observe()
    fake.torrents[ONE].uploaded_session = 500
    assert qbittorrent.observe().torrents[ONE].activity is Activity.ACTIVE
    fake.torrents[ONE].state, fake.torrents[ONE].uploaded_session = "stalledUP", 600
    last = qbittorrent.observe().torrents[ONE]
    assert (last.activity, last.uploaded) == (Activity.IDLE, 500)
    assert qbittorrent.observe().torrents == {}


@pytest.mark.usefixtures("rare_inventory")
@pytest.mark.parametrize("fake", ["4.5.2"], indirect=True)
def test_an_old_qbittorrent_is_listed_in_full_when_asked_for_or_due(fake: FakeQBittorrent, connect: Connect) -> None:
    often, seldom = connect(inventory_s=1e-9), connect(inventory_s=1e9)
    assert [often.observe().full for _ in range(3)] == [True] * 3
    assert [seldom.observe().full for _ in range(3)] == [True, False, False]
    seldom.request_full()
    assert [seldom.observe().full for _ in range(3)] == [True, False, False]


def hashes_asked_for(fake: FakeQBittorrent) -> list[set[str]]:
    return [set(request.form["hashes"].split("|")) for request in fake.requests if "hashes" in request.form]


@pytest.mark.usefixtures("rare_inventory", "decoding")
@pytest.mark.parametrize("fake", ["4.5.2"], indirect=True)
def test_an_old_qbittorrent_is_asked_for_hinted_torrents_too(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    fake.add(FakeTorrent(THREE, up_limit=7000))
    fake.remove(TWO)
    fake.torrents[ONE].state, fake.torrents[ONE].uploaded_session = "uploading", 500
    assert set(qbittorrent.observe().torrents) == {ONE}  # without a hint
    observation = qbittorrent.observe([ONE, TWO, THREE.upper(), "4" * 40, "all", ""])
    assert hashes_asked_for(fake) == [{TWO, THREE, "4" * 40}]
    assert not observation.full
    assert {h: torrent.up_limit for h, torrent in observation.torrents.items()} == {THREE: 7000}
    assert observation.removed == {TWO}
    again = qbittorrent.observe([TWO, THREE])
    assert (again.torrents, again.removed) == ({}, frozenset())


@pytest.mark.usefixtures("rare_inventory")
@pytest.mark.parametrize("fake", ["4.5.2"], indirect=True)
def test_a_hinted_torrent_that_was_active_is_shown_as_it_is_now(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    fake.torrents[ONE].state = "uploading"
    qbittorrent.observe()
    fake.torrents[ONE].state, fake.torrents[ONE].uploaded_session = "stoppedUP", 600
    seen = qbittorrent.observe([ONE]).torrents[ONE]
    assert (seen.activity, seen.uploaded) == (Activity.STOPPED, 600)
    assert qbittorrent.observe().torrents == {}


@pytest.mark.usefixtures("rare_inventory")
@pytest.mark.parametrize("fake", ["4.5.2"], indirect=True)
def test_many_hints_make_a_full_observation(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    fake.add(FakeTorrent(THREE))
    made_up = [f"{n:040x}" for n in range(client.MAX_HINTS)]
    assert not qbittorrent.observe(made_up).full
    assert qbittorrent.observe([*made_up, THREE]).full
    assert len(hashes_asked_for(fake)) == 1


@pytest.mark.usefixtures("rare_inventory")
@pytest.mark.parametrize("fake", ["4.5.2"], indirect=True)
@pytest.mark.parametrize("fault", [Fault.STATUS_500, Fault.GARBAGE, Fault.TRUNCATED, Fault.RESET_MID_BODY])
def test_a_failed_look_at_hinted_torrents_fails_the_observation(
    fake: FakeQBittorrent, connect: Connect, fault: Fault
) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    fake.remove(TWO)
    fake.fail_next("torrents/info", None, fault)
    with pytest.raises(Unreachable):
        qbittorrent.observe([TWO])
    observation = qbittorrent.observe()
    assert observation.full
    assert set(observation.torrents) == {ONE}


def test_a_new_qbittorrent_tells_of_changes_without_hints(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    fake.add(FakeTorrent(THREE))
    fake.remove(TWO)
    observation = qbittorrent.observe([TWO, THREE])
    assert (set(observation.torrents), observation.removed) == ({THREE}, {TWO})
    assert hashes_asked_for(fake) == []


# Preferences


def test_only_the_preferences_asked_for_are_returned(fake: FakeQBittorrent, connect: Connect) -> None:
    assert connect().preferences(["autorun_program", "nowhere"]) == {"autorun_program": ""}


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.TRUNCATED, Fault.STATUS_500])
def test_preferences_that_do_not_arrive_whole_are_an_error(
    fake: FakeQBittorrent, connect: Connect, fault: Fault
) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    fake.fail_next("app/preferences", fault)
    with pytest.raises(Unreachable):
        qbittorrent.preferences(["autorun_program"])


def test_setting_preferences_is_repeated_when_the_connection_breaks(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    fake.fail_next("setPreferences", Fault.LOST)
    qbittorrent.set_preferences({"autorun_program": "curl"})
    assert fake.count("setPreferences") == 2
    assert fake.preferences["autorun_program"] == "curl"


def test_preferences_that_are_no_json_are_not_sent(fake: FakeQBittorrent, connect: Connect) -> None:
    with pytest.raises(TypeError):
        connect().set_preferences({"autorun_program": object()})
    assert fake.requests == []


# Connections


def test_one_connection_is_kept(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    for _ in range(5):
        qbittorrent.observe()
    qbittorrent.set_upload_limit(5000, [ONE])
    assert fake.connections == 1


def test_an_idle_connection_is_not_used_again(
    fake: FakeQBittorrent, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert http.IDLE_S <= 5
    qbittorrent = connect()
    qbittorrent.observe()
    monkeypatch.setattr(http, "IDLE_S", 0.0)
    qbittorrent.observe()
    assert fake.connections == 2


@pytest.mark.parametrize("path", ["setUploadLimit", "torrents/info"])
def test_what_is_safe_to_repeat_is_repeated_when_the_connection_breaks(
    fake: FakeQBittorrent, connect: Connect, path: str
) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    fake.fail_next(path, Fault.RESET)
    qbittorrent.set_upload_limit(5000, [ONE])
    assert qbittorrent.upload_limits([ONE]) == {ONE: 5000}
    assert qbittorrent.stats.last_error is None


def test_repeating_ends(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    fake.fail_next("setUploadLimit", *[Fault.RESET] * 20)
    with pytest.raises(Unreachable, match="broke"):
        qbittorrent.set_upload_limit(5000, [ONE])
    assert fake.count("setUploadLimit") == 3


def test_a_write_that_hangs_ends_after_the_timeout_and_is_not_repeated(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect(timeout_s=2.0)
    fake.fail_next("setUploadLimit", Fault.HANG)
    with pytest.raises(Unreachable, match=r"no answer within 2(\.0)? s"):
        qbittorrent.set_upload_limit(5000, [ONE])
    assert fake.count("setUploadLimit") == 1


# Writes


def test_a_write_is_one_call_for_all_hashes(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    qbittorrent.set_upload_limit(5000, [ONE, TWO, THREE])
    qbittorrent.set_upload_limit(UNLIMITED, [TWO])
    qbittorrent.set_upload_limit(5000, [])
    writes = [request.form for request in fake.requests if request.path == "torrents/setUploadLimit"]
    assert writes == [{"hashes": f"{ONE}|{TWO}|{THREE}", "limit": "5000"}, {"hashes": TWO, "limit": "0"}]
    assert (fake.torrents[ONE].up_limit, fake.torrents[TWO].up_limit) == (5000, 0)


@pytest.mark.parametrize("limit", [0, -1, MAX_LIMIT + 2, 2**32 + 5])
def test_a_value_that_is_no_limit_is_never_sent(fake: FakeQBittorrent, connect: Connect, limit: int) -> None:
    with pytest.raises(ValueError, match="not a limit"):
        connect().set_upload_limit(limit, [ONE])
    assert fake.requests == []


# The breaker


def test_after_a_row_of_failures_qbittorrent_is_left_alone(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    fake.fail_next("sync/maindata", *[Fault.STATUS_500] * breaker.FAILURES)
    for _ in range(breaker.FAILURES):
        with pytest.raises(Unreachable, match="500"):
            qbittorrent.observe()
    assert qbittorrent.breaker_state == "open"
    before = len(fake.requests)
    for call in (qbittorrent.observe, lambda: qbittorrent.set_upload_limit(5000, [ONE])):
        with pytest.raises(Unreachable, match="left alone"):
            call()
    assert len(fake.requests) == before


def test_a_success_in_between_starts_the_count_again(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    for _ in range(3):
        fake.fail_next("sync/maindata", *[Fault.STATUS_500] * (breaker.FAILURES - 1))
        for _ in range(breaker.FAILURES - 1):
            with pytest.raises(Unreachable):
                qbittorrent.observe()
        qbittorrent.observe()
    assert qbittorrent.breaker_state == "closed"


def test_refusals_do_not_open_the_breaker(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect(password="wrong")
    for _ in range(3 * breaker.FAILURES):
        with pytest.raises(AuthRejected):
            qbittorrent.observe()
    assert qbittorrent.breaker_state == "closed"


def test_the_breaker_probes_after_pauses_that_grow(
    fake: FakeQBittorrent, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(breaker, "time", SimpleNamespace(monotonic=lambda: now[0]))
    qbittorrent = connect()
    qbittorrent.observe()
    fake.fail_next("sync/maindata", *[Fault.STATUS_500] * (breaker.FAILURES + 5))
    for _ in range(breaker.FAILURES):
        with pytest.raises(Unreachable):
            qbittorrent.observe()
    pauses = []
    for _ in range(5):
        start, probes = now[0], fake.count("sync/maindata")
        while fake.count("sync/maindata") == probes:
            now[0] += 1.0
            with pytest.raises(Unreachable):
                qbittorrent.observe()
        pauses.append(now[0] - start)
    assert pauses == [4, 8, 16, 30, 30]
    now[0] += 30
    assert qbittorrent.observe().full
    assert qbittorrent.breaker_state == "closed"


# Closing


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.SLOW])
def test_close_wakes_a_call_that_blocks(fake: FakeQBittorrent, connect: Connect, fault: Fault) -> None:
    qbittorrent = connect(timeout_s=60.0)
    qbittorrent.observe()
    fake.fail_next("sync/maindata", fault)
    errors: list[Exception] = []

    def observe() -> None:
        try:
            qbittorrent.observe()
        except ClientError as error:
            errors.append(error)

    thread = threading.Thread(target=observe)
    thread.start()
    fake.wait_for_request("sync/maindata", 2)
    qbittorrent.close()
    thread.join(20)
    assert not thread.is_alive()
    assert [type(error) for error in errors] == [Unreachable]


def test_a_closed_client_stays_closed(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    before = len(fake.requests)
    qbittorrent.close()
    qbittorrent.close()
    with pytest.raises(Unreachable, match="closed"):
        qbittorrent.observe()
    assert len(fake.requests) == before


# What is told


def test_no_error_and_no_log_line_holds_a_secret(fake: FakeQBittorrent, connect: Connect) -> None:
    told: list[str] = []
    faults = [*SPOILING, Fault.HANG, Fault.SLOW, Fault.RESET, Fault.RESET, Fault.RESET, Fault.REDIRECT]
    with structlog.testing.capture_logs() as logged:
        for fault in faults:
            for path in ("auth/login", "sync/maindata", "setUploadLimit"):
                qbittorrent = connect(timeout_s=0.1)
                fake.fail_next(path, fault)
                try:
                    qbittorrent.observe()
                    qbittorrent.set_upload_limit(5000, [ONE])
                except ClientError as error:
                    told += [str(error), repr(error), str(error.__cause__)]
                told += [repr(qbittorrent.settings), repr(qbittorrent.stats)]
                fake.faults.clear()
        for changes in ({"password": "oops"}, {"api_key": KEY, "username": None}, {"auth": "basic"}):
            fake.fail_next("app/version", Fault.FORBIDDEN)
            with pytest.raises(AuthRejected) as caught:
                connect(**changes).observe()
            told.append(str(caught.value))
    everything = "\n".join([*told, *map(str, logged)])
    assert "qBittorrent" in everything
    for secret in (fake.password, "oops", KEY, PASSKEY, *fake.sessions):
        assert secret not in everything


def test_what_the_client_did_is_counted(fake: FakeQBittorrent, connect: Connect) -> None:
    qbittorrent = connect()
    qbittorrent.observe()
    qbittorrent.observe()
    qbittorrent.set_upload_limit(5000, [ONE])
    fake.fail_next("sync/maindata", Fault.STATUS_500)
    with pytest.raises(Unreachable):
        qbittorrent.observe()
    stats = qbittorrent.stats
    assert (stats.reads, stats.writes, stats.logins) == (3, 1, 1)
    assert stats.bytes_received > 100
    assert stats.server_version == "v5.1.0"
    assert stats.webapi_version == "2.11.4"
    assert stats.last_error is not None
    qbittorrent.observe()
    assert qbittorrent.stats.last_error is None


def test_the_observation_knows_when_and_how_fresh(fake: FakeQBittorrent, connect: Connect) -> None:
    fake.refresh_interval_ms = 500
    before = time.monotonic()
    observation: Observation = connect().observe()
    assert before < observation.at < time.monotonic()
    assert observation.refresh_s == 0.5


# TLS


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += [
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(key),
        "-out",
        str(cert),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def test_https_is_verified_unless_told_otherwise(
    fake: FakeQBittorrent, connect: Connect, certificate: tuple[Path, Path]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    fake.stop()
    fake.tls = context
    fake.start()
    url = fake.url.replace("http://", "https://")
    with pytest.raises(Unreachable, match="not trusted"):
        connect(url=url).observe()
    assert connect(url=url, ca_file=certificate[0]).observe().full
    assert connect(url=url, verify_tls=False).observe().full
    with pytest.raises(Unreachable):
        connect().observe()


def test_close_wakes_a_call_that_blocks_over_tls(
    fake: FakeQBittorrent, connect: Connect, certificate: tuple[Path, Path]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    fake.stop()
    fake.tls = context
    fake.start()
    test_close_wakes_a_call_that_blocks(
        fake,
        lambda **changes: connect(url=fake.url.replace("http:", "https:"), verify_tls=False, **changes),
        Fault.HANG,
    )


@pytest.mark.parametrize("version", ["4.5.2", "5.1.0", "5.3.0"])
def test_a_start_makes_no_call_for_each_torrent(version: str, connect: Connect) -> None:
    """Which is why neither names nor announce URLs are kept over a restart."""
    read = ["transfer/info", "torrents/info"] if version == "4.5.2" else ["sync/maindata"]
    for count in (3, 3000):
        with FakeQBittorrent(version) as fake:
            fake.add(*(FakeTorrent(f"{n:040x}", trackers=(f"http://127.0.0.1:9/{n}/announce",)) for n in range(count)))
            seen = connect(url=fake.url).observe()
            assert sum(len(torrent.urls) for torrent in seen.torrents.values()) == count
            paths = [request.path for request in fake.requests]
        assert paths == ["auth/login", "app/version", "app/webapiVersion", "app/preferences", *read]
