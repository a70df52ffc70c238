"""Refused logins and bans: when the login is tried again, and that this never adds up to a ban.

On a server in virtual time for whole days, and on the fake over real HTTP for single events. On the real ones:
test_live_login.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qguardarr.adapters.qbittorrent import QBittorrentClient, logins, session
from qguardarr.adapters.qbittorrent.session import Session
from qguardarr.engine.settings import QBittorrentSettings
from qguardarr.errors import AuthRejected, Banned, ClientError, LoginRefused, Unreachable
from tests.support.fake_qbittorrent import FakeQBittorrent

DAY_S = 86_400.0
MOST_FAILURES = 5
BAN_S = 3600.0
RIGHT, WRONG = "the right password", "the wrong password"


# -- a server in virtual time -----------------------------------------------------------------------------------------


@dataclass
class Reply:
    status: int
    content: bytes = b""
    headers: Message = field(default_factory=Message)
    wire_bytes: int = 0

    def chunks(self) -> Iterator[bytes]:
        yield self.content

    def body(self) -> bytes:
        return self.content

    def text(self) -> str:
        return self.content.decode()


class Server:
    """Counts logins as qBittorrent does (`test_live_login` shows that it does). In place of a `Transport`."""

    def __init__(self, *, shows_mark: bool) -> None:
        self.now = 1000.0
        self.password = RIGHT
        self.shows_mark = shows_mark
        self.life = 0
        self.expired = 0
        """How often it forgot its sessions."""
        self.down_until = 0.0
        self.failures = self.own_failures = 0
        self.banned_until = 0.0
        self.tries: list[float] = []

    def restart(self, down_s: float, password: str) -> None:
        self.life += 1
        self.down_until = self.now + down_s
        self.password = password
        self.failures = self.own_failures = 0
        self.banned_until = 0.0

    def let_other_client_fail(self) -> None:
        self._fail()

    def _fail(self) -> None:
        self.failures += 1
        if self.failures >= MOST_FAILURES:
            self.banned_until = self.now + BAN_S
            self.failures = self.own_failures = 0

    @contextlib.contextmanager
    def exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Iterator[Reply]:
        if self.now < self.down_until:
            raise Unreachable("connection refused")
        yield self._reply(path, body, headers)

    def _reply(self, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        if path == "/":
            assert "Cookie" not in headers
            return Reply(200, f'"css/login.css?v={self.life}x"'.encode() if self.shows_mark else b"<html>")
        if path == "/api/v2/auth/login":
            return self._login(parse_qs((body or b"").decode())["password"][0])
        if headers.get("Cookie") != f"SID={self.life}.{self.expired}":
            return Reply(403)
        versions = {"/api/v2/app/version": b"v5.1.0", "/api/v2/app/webapiVersion": b"2.11.4"}
        return Reply(200, versions.get(path, b"{}"))

    def _login(self, password: str) -> Reply:
        self.tries.append(self.now)
        if self.now < self.banned_until:
            return Reply(403)
        if password == self.password:
            self.failures = self.own_failures = 0
            reply = Reply(200, b"Ok.")
            reply.headers["Set-Cookie"] = f"SID={self.life}.{self.expired}; path=/"
            return reply
        self.own_failures += 1
        self._fail()
        return Reply(200, b"Fails.")


class Day:
    """A client that holds `WRONG` and looks every few seconds, as the daemon does."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.began = server.now
        self.asked_at: list[float] = []
        made = QBittorrentSettings(url="http://localhost:8080", username="admin", password=WRONG)
        clock = {"monotonic": lambda: server.now, "wall_clock": lambda: server.now + 1e9}
        self.session = Session(made, server, **clock)  # type: ignore[arg-type]

    def look(self) -> ClientError | None:
        try:
            self.session.connect()
        except ClientError as error:
            return error
        return None

    def read(self) -> None:
        with contextlib.suppress(ClientError), self.session.request("read", "GET", "/api/v2/transfer/info"):
            pass

    def wait(self, seconds: float) -> None:
        """With a look every 5 s, or as many as matter."""
        end = self.server.now + seconds
        for at in (5.0, 10.0, 15.0, 30.0, 60.0, 300.0, *range(600, 30_000, 300)):
            if self.server.now < end - seconds + at < end:
                self.server.now = end - seconds + at
                self.look()
        self.server.now = end
        self.look()

    def ask(self, times: int) -> None:
        for _ in range(times):
            self.session.ask()
            self.look()
            self.server.now += 0.3


MISHAPS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1.0, 4.0, 70.0, 1000.0, 3700.0, 8000.0, 30_000.0])),
    st.tuples(st.just("restart"), st.sampled_from([(0.3, RIGHT), (0.3, WRONG), (8.0, RIGHT), (8.0, WRONG)])),
    st.tuples(st.just("outage"), st.sampled_from([2.0, 60.0])),
    st.tuples(st.just("ask"), st.sampled_from([1, 10])),
    st.tuples(st.just("password"), st.sampled_from([RIGHT, WRONG])),
    st.tuples(st.just("ban"), st.none()),
    st.tuples(st.just("expire"), st.none()),
)


@settings(max_examples=150, deadline=None)
@given(mishaps=st.lists(MISHAPS, max_size=40), shows_mark=st.booleans(), asks=st.booleans())
def test_within_a_day_no_ban_is_of_our_making(mishaps: list[tuple[str, Any]], shows_mark: bool, asks: bool) -> None:
    server = Server(shows_mark=shows_mark)
    day = Day(server)
    most = 0
    for what, value in mishaps:
        if server.now - day.began > DAY_S:
            break
        match what:
            case "wait":
                day.wait(value)
            case "restart":
                server.restart(*value)
                day.wait(10.0)
            case "outage":
                server.down_until = server.now + value
                day.wait(value + 10.0)
            case "ask" if asks:
                day.ask(value)
            case "password":
                server.password = value
            case "ban":
                server.banned_until, server.failures, server.own_failures = server.now + BAN_S, 0, 0
            case "expire":
                server.expired += 1
                day.read()
        most = max(most, server.own_failures)
        assert server.own_failures < MOST_FAILURES
    if not asks:
        assert most <= len(logins.REFUSED_PAUSES_S) + 1


@pytest.mark.parametrize("shows_mark", [True, False])
@pytest.mark.parametrize("banned", [True, False])
@pytest.mark.parametrize("down_s", [0.3, 8.0, 45.0])
def test_after_a_restart_it_is_back_at_the_next_look(shows_mark: bool, banned: bool, down_s: float) -> None:
    """Without the mark, only if somebody saw that it was away."""
    server = Server(shows_mark=shows_mark)
    if banned:
        server.banned_until = 1e9
    day = Day(server)
    server.password = RIGHT if banned else "another"
    assert isinstance(day.look(), Banned if banned else AuthRejected)
    day.wait(20.0)
    assert len(server.tries) == 1
    server.restart(down_s, WRONG)  # which is what the client sends
    day.wait(down_s + 10.0)
    seen = shows_mark or down_s > 1.0
    assert len(server.tries) == (2 if seen else 1)
    assert (day.look() is None) == seen


def test_what_is_tried_by_itself_comes_at_growing_distances_and_ends() -> None:
    server = Server(shows_mark=True)
    day = Day(server)
    first = day.look()
    assert isinstance(first, AuthRejected)
    assert first.next_try_at == pytest.approx(1e9 + server.now + logins.REFUSED_PAUSES_S[0])
    for _ in range(3):
        day.wait(DAY_S / 4)
    gaps = [after - before for before, after in zip(server.tries, server.tries[1:], strict=False)]
    assert len(server.tries) == 3
    assert all(gap >= pause for gap, pause in zip(gaps, logins.REFUSED_PAUSES_S, strict=True))
    last = day.look()
    assert isinstance(last, AuthRejected)
    assert last.next_try_at is None


def test_a_changed_password_in_qbittorrent_is_noticed_without_a_restart() -> None:
    server = Server(shows_mark=True)
    day = Day(server)
    day.look()
    server.password = WRONG
    day.wait(logins.REFUSED_PAUSES_S[0] + 300.0)
    assert day.look() is None


def test_a_ban_that_ends_is_noticed_and_attempts_in_it_cost_nothing() -> None:
    server = Server(shows_mark=True)
    server.password, server.banned_until = WRONG, server.now + BAN_S
    day = Day(server)
    assert isinstance(day.look(), Banned)
    day.wait(BAN_S + logins.BANNED_PAUSE_S)
    assert day.look() is None
    assert len(server.tries) <= BAN_S / logins.BANNED_PAUSE_S + 2


def test_whoever_clicks_ten_times_causes_one_attempt_more() -> None:
    server = Server(shows_mark=True)
    day = Day(server)
    day.look()
    for attempts, pause_s in enumerate(logins.ASKED_PAUSES_S, 2):
        server.now += pause_s
        day.ask(10)
        assert len(server.tries) == attempts
        assert server.banned_until == 0.0 or server.now - day.began > BAN_S


def test_who_asks_too_soon_learns_when_it_counts() -> None:
    server = Server(shows_mark=True)
    day = Day(server)
    day.look()
    day.ask(1)
    server.now += 3.7
    day.session.ask()
    told = day.look()
    assert isinstance(told, LoginRefused)
    assert told.ask_from == pytest.approx(1e9 + server.now - 4.0 + logins.ASKED_PAUSES_S[1])


def test_refusals_that_tests_of_the_connection_add_bring_no_ban_with_ours() -> None:
    server = Server(shows_mark=True)
    day = Day(server)
    day.look()
    for _ in range(2):
        server.let_other_client_fail()
        day.session.gate.refused_elsewhere()
    for _ in range(3):
        day.wait(DAY_S / 4)
    assert len(server.tries) == 1  # not three
    server.now += 1.0
    day.session.gate.refused_elsewhere()
    server.let_other_client_fail()
    day.ask(10)
    assert (len(server.tries), server.banned_until) == (1, 0.0)
    assert day.session.gate.wait_s == pytest.approx(logins.ASKED_PAUSES_S[3] - 3.0)
    day.session.gate.let_in_elsewhere()
    assert day.session.gate.wait_s == 0.0


def test_refusals_of_tests_are_remembered_by_another_client() -> None:
    server = Server(shows_mark=True)
    day, other = Day(server), Day(server)
    for _ in range(2):
        day.session.gate.refused_elsewhere()
    other.session.follow(day.session)
    other.look()
    other.wait(DAY_S / 2)
    assert len(server.tries) == 1  # not three


# -- another client after a reload ------------------------------------------------------------------------------------


def test_other_credentials_are_tried_at_once_and_the_old_refusals_count() -> None:
    server = Server(shows_mark=True)
    day = Day(server)
    day.look()
    other = Day(server)
    made = QBittorrentSettings(url="http://localhost:8080", username="admin", password="a third")
    other.session = Session(made, server, monotonic=lambda: server.now)  # type: ignore[arg-type]
    other.session.follow(day.session)
    other.look()
    assert len(server.tries) == 2
    other.wait(DAY_S / 2)
    assert len(server.tries) == 3  # not four


def test_the_same_credentials_are_not_tried_at_once_by_another_client() -> None:
    server = Server(shows_mark=True)
    day = Day(server)
    day.look()
    other = Day(server)
    other.session.follow(day.session)
    assert isinstance(other.look(), AuthRejected)
    assert len(server.tries) == 1
    server.restart(0.3, WRONG)
    other.wait(3.0)
    assert other.look() is None


# -- over HTTP --------------------------------------------------------------------------------------------------------

Connect = Callable[..., QBittorrentClient]


@pytest.fixture(params=["5.1.0"])
def fake(request: pytest.FixtureRequest) -> Iterator[FakeQBittorrent]:
    with FakeQBittorrent(request.param, api_key="qbt_" + "k" * 28) as fake:
        yield fake


@pytest.fixture
def connect(fake: FakeQBittorrent, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    monkeypatch.setattr(logins, "PROBE_S", 0.0)
    clients: list[QBittorrentClient] = []

    def make(**changes: Any) -> QBittorrentClient:
        settings = {"url": fake.url, "username": fake.username, "password": fake.password, "timeout_s": 5.0, **changes}
        clients.append(QBittorrentClient(QBittorrentSettings(**settings)))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


@pytest.mark.parametrize("fake", ["5.1.0", "5.3.0"], indirect=True)
def test_a_wrong_password_is_sent_once_and_looks_go_on_without_it(fake: FakeQBittorrent, connect: Connect) -> None:
    client = connect(password=WRONG)
    for _ in range(10):
        with pytest.raises(AuthRejected, match="wrong user name or password"):
            client.observe()
        with pytest.raises(AuthRejected):
            client.set_upload_limit(5000, ["1" * 40])
    assert (fake.failed_logins, fake.count("auth/login")) == (1, 1)
    probes = [request for request in fake.requests if request.path == "/"]
    assert len(probes) + 1 == len(fake.requests)
    assert all(not {"cookie", "authorization"} & request.headers.keys() and not request.form for request in probes)


@pytest.mark.parametrize("fake", ["4.5.2", "5.1.0", "5.3.0"], indirect=True)
@pytest.mark.parametrize("banned", [True, False])
def test_a_restart_is_seen_and_the_password_tried_again(fake: FakeQBittorrent, connect: Connect, banned: bool) -> None:
    right, fake.password = fake.password, "another"
    if banned:
        fake.ban()
    client = connect(password=right)
    for _ in range(3):
        with pytest.raises(LoginRefused):
            client.observe()
    fake.password = right
    with pytest.raises(LoginRefused):
        client.observe()
    fake.restart()
    assert client.observe().full
    assert fake.count("auth/login") == 2


def test_another_web_interface_is_asked_again_after_an_outage(fake: FakeQBittorrent, connect: Connect) -> None:
    right, fake.password, fake.mark = fake.password, "another", None
    client = connect(password=right)
    with pytest.raises(AuthRejected):
        client.observe()
    for failures in (2, 3, 3, 3):  # an outage may be any: it never uses up what others may need
        fake.stop()
        with pytest.raises(Unreachable):
            client.observe()
        fake.start()
        with pytest.raises(AuthRejected):
            client.observe()
        assert fake.failed_logins == failures
    fake.password = right
    client.retry_login()
    with pytest.raises(AuthRejected):  # that needs ten minutes
        client.observe()


def test_a_page_that_is_not_qbittorrents_is_not_read_without_end(fake: FakeQBittorrent, connect: Connect) -> None:
    fake.mark = "m" * (4 * session.PAGE_BYTES)
    client = connect(password=WRONG)
    for _ in range(3):
        with pytest.raises(AuthRejected):
            client.observe()
    assert client.stats.bytes_received < 16 * session.PAGE_BYTES


@pytest.mark.parametrize("fake", ["5.3.0"], indirect=True)
def test_a_wrong_api_key_is_not_hammered(fake: FakeQBittorrent, connect: Connect) -> None:
    client = connect(username=None, api_key="qbt_wrong")
    for _ in range(5):
        with pytest.raises(AuthRejected, match="API key") as caught:
            client.observe()
    assert caught.value.next_try_at is not None
    assert fake.count("app/version") == 1


@pytest.mark.parametrize("fake", ["5.3.0"], indirect=True)
def test_basic_is_held_back_as_the_login_form_is(fake: FakeQBittorrent, connect: Connect) -> None:
    client = connect(auth="basic", password=WRONG)
    for _ in range(5):
        with pytest.raises(AuthRejected, match="Basic"):
            client.observe()
    assert fake.failed_logins == 1
    fake.password = WRONG
    fake.restart()
    assert client.observe().full


def test_asking_also_tries_a_qbittorrent_that_is_left_alone(fake: FakeQBittorrent, connect: Connect) -> None:
    client = connect()
    fake.stop()
    while client.breaker_state != "open":
        with pytest.raises(Unreachable):
            client.observe()
    fake.start()
    with pytest.raises(Unreachable, match="left alone"):
        client.observe()
    client.retry_login()
    assert client.observe().full
    assert client.breaker_state == "closed"
