"""What the client relies on, on the fake and on real qBittorrent alike, so that the fake cannot drift."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from lab.peers import Swarm
from lab.qbittorrent import QBittorrent
from lab.torrents import DEFAULT_SIZE, make_torrent
from lab.versions import VERSIONS
from qguardarr.adapters.qbittorrent import QBittorrentClient, client
from qguardarr.core.model import MAX_LIMIT, UNLIMITED, Activity, Labels, Observation, Torrent
from qguardarr.engine.ports import ListedTorrent
from qguardarr.engine.settings import QBittorrentSettings
from qguardarr.errors import AuthRejected, Unreachable
from tests.support.fake_qbittorrent import FLAVOURS, FakeQBittorrent, FakeTorrent

URLS = ("http://127.0.0.1:9/announce/p%20k?a=1&b=%25", "udp://127.0.0.1:9/announce", "http://[::1]:9/announce")
NOWHERE = "0" * 40


class Subject(Protocol):
    """A qBittorrent, and what a person or the world may do to it."""

    version: str
    username: str
    password: str

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def add(self, name: str, urls: tuple[str, ...]) -> str: ...
    def remove(self, torrent_hash: str) -> None: ...
    def stop_torrent(self, torrent_hash: str) -> None: ...
    def set_limit(self, torrent_hash: str, limit: int) -> None: ...
    def set_global_limit(self, limit: int) -> None: ...
    def use_alternative_limit(self, limit: int | None) -> None: ...
    def upload(self, torrent_hash: str) -> None: ...
    def label(self, torrent_hash: str, category: str, tag: str) -> None: ...
    def new_api_key(self) -> str: ...
    def clear(self) -> None: ...


class Fake:
    def __init__(self, version: str) -> None:
        self.qbittorrent = FakeQBittorrent(version)
        self.version, self.username, self.password = version, self.qbittorrent.username, self.qbittorrent.password

    @property
    def url(self) -> str:
        return self.qbittorrent.url

    def start(self) -> None:
        self.qbittorrent.start()

    def stop(self) -> None:
        self.qbittorrent.stop()
        self.qbittorrent.expire_sessions()

    def add(self, name: str, urls: tuple[str, ...]) -> str:
        torrent_hash = make_torrent(name, urls).info_hash
        self.qbittorrent.add(FakeTorrent(torrent_hash, name, urls))
        return torrent_hash

    def remove(self, torrent_hash: str) -> None:
        self.qbittorrent.remove(torrent_hash)

    def stop_torrent(self, torrent_hash: str) -> None:
        self.qbittorrent.torrents[torrent_hash].state = "stoppedUP"

    def set_limit(self, torrent_hash: str, limit: int) -> None:
        self.qbittorrent.torrents[torrent_hash].up_limit = limit

    def set_global_limit(self, limit: int) -> None:
        self.qbittorrent.global_up_limit = limit

    def use_alternative_limit(self, limit: int | None) -> None:
        self.qbittorrent.use_alt_limits = limit is not None
        self.qbittorrent.alt_up_limit = limit or 0

    def upload(self, torrent_hash: str) -> None:
        torrent = self.qbittorrent.torrents[torrent_hash]
        torrent.state, torrent.uploaded_session, torrent.num_leechs, torrent.upspeed = "uploading", 500_000, 2, 50_000
        torrent.time_active = 10
        torrent.ratio = 500_000 / torrent.size

    def label(self, torrent_hash: str, category: str, tag: str) -> None:
        torrent = self.qbittorrent.torrents[torrent_hash]
        torrent.category, torrent.tags = category, tag

    def new_api_key(self) -> str:
        self.qbittorrent.api_key = "qbt_" + "k" * 28
        return self.qbittorrent.api_key

    def clear(self) -> None:
        self.qbittorrent.torrents.clear()


class Real:
    def __init__(self, version: str, folder: Path) -> None:
        self.qbittorrent = QBittorrent(version, folder, refresh_interval_ms=500)
        self.version, self.username, self.password = version, self.qbittorrent.username, self.qbittorrent.password
        self._swarms = ExitStack()

    @property
    def url(self) -> str:
        return self.qbittorrent.url

    def start(self) -> None:
        self.qbittorrent.start()

    def stop(self) -> None:
        self._swarms.close()
        self.qbittorrent.stop()

    def add(self, name: str, urls: tuple[str, ...]) -> str:
        torrent = make_torrent(name, urls)
        self.qbittorrent.add([torrent])
        _until(lambda: self.qbittorrent.web.info(hashes=torrent.info_hash))
        return torrent.info_hash

    def remove(self, torrent_hash: str) -> None:
        self.qbittorrent.web.delete([torrent_hash])

    def stop_torrent(self, torrent_hash: str) -> None:
        verb = "pause" if self.version == "4.5.2" else "stop"
        self.qbittorrent.web.post(f"torrents/{verb}", hashes=torrent_hash)

    def set_limit(self, torrent_hash: str, limit: int) -> None:
        self.qbittorrent.web.set_upload_limit(limit, [torrent_hash])

    def set_global_limit(self, limit: int) -> None:
        self.qbittorrent.web.set_global_upload_limit(limit)

    def use_alternative_limit(self, limit: int | None) -> None:
        if limit is not None:
            self.qbittorrent.web.set_preferences({"alt_up_limit": limit})
        in_use = self.qbittorrent.web.get("transfer/speedLimitsMode") == b"1"
        if in_use != (limit is not None):
            self.qbittorrent.web.post("transfer/toggleSpeedLimitsMode")

    def upload(self, torrent_hash: str) -> None:
        swarm = self._swarms.enter_context(Swarm((self.qbittorrent.host, self.qbittorrent.peer_port)))
        swarm.join({torrent_hash: DEFAULT_SIZE}, peers=2)
        swarm.set_demand({torrent_hash: 500_000})

    def label(self, torrent_hash: str, category: str, tag: str) -> None:
        self.qbittorrent.web.post("torrents/createCategory", category=category, savePath="")
        self.qbittorrent.web.post("torrents/setCategory", hashes=torrent_hash, category=category)
        self.qbittorrent.web.post("torrents/addTags", hashes=torrent_hash, tags=tag)

    def new_api_key(self) -> str:
        key: str = json.loads(self.qbittorrent.web.post("app/rotateAPIKey"))["apiKey"]
        return key

    def clear(self) -> None:
        self._swarms.close()
        infos = self.qbittorrent.web.info()
        if infos:
            self.qbittorrent.web.delete([info["hash"] for info in infos])
            _until(lambda: not self.qbittorrent.web.info())


def _until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    """qBittorrent has no events to wait for: it has to be asked again."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


_SUBJECTS = [pytest.param(("fake", version), id=f"fake-{version}") for version in FLAVOURS] + [
    pytest.param(("real", version), id=f"real-{version}", marks=(pytest.mark.live, pytest.mark.shared))
    for version in VERSIONS
]
_names = (f"contract-{number}" for number in itertools.count())


@pytest.fixture(scope="module", params=_SUBJECTS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    kind, version = request.param
    subject: Subject = Fake(version) if kind == "fake" else Real(version, tmp_path_factory.mktemp("qbittorrent"))
    subject.start()
    yield subject
    subject.stop()


@pytest.fixture
def subject(running: Subject) -> Iterator[Subject]:
    yield running
    running.clear()


class World:
    """A client, and all torrents by what its observations said."""

    def __init__(self, client: QBittorrentClient) -> None:
        self.client = client
        self.torrents: dict[str, Torrent] = {}
        self.last: Observation | None = None

    def observe(self, hints: Collection[str] = ()) -> Observation:
        self.last = self.client.observe(hints, self.torrents.get)
        if self.last.full:
            assert not self.last.removed
            self.torrents = dict(self.last.torrents)
        self.torrents.update(self.last.torrents)
        for torrent_hash in self.last.removed:
            self.torrents.pop(torrent_hash, None)
        return self.last

    def until(self, condition: Callable[[dict[str, Torrent]], object]) -> None:
        """Observe until the torrents known satisfy `condition`."""

        def seen() -> bool:
            self.observe()
            return bool(condition(self.torrents))

        _until(seen)


@pytest.fixture
def new_world(subject: Subject) -> Iterator[Callable[..., World]]:
    with ExitStack() as clients:

        def make(**changes: Any) -> World:
            settings = {"username": subject.username, "password": subject.password, **changes}
            client = QBittorrentClient(QBittorrentSettings(url=subject.url, **settings))
            clients.callback(client.close)
            return World(client)

        yield make


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world()


def test_first_observation_is_full_and_knows_the_version(subject: Subject, world: World) -> None:
    observation = world.observe()
    assert observation.full
    assert observation.torrents == {}
    assert world.client.stats.server_version == f"v{subject.version}"
    assert world.client.breaker_state == "closed"


def test_a_wrong_password_is_rejected_at_once(subject: Subject, new_world: Callable[..., World]) -> None:
    stranger = new_world(password="wrong")
    with pytest.raises(AuthRejected):
        stranger.observe()
    new_world().observe()  # lets qBittorrent forget the failure


def test_a_missing_login_is_rejected(new_world: Callable[..., World]) -> None:
    with pytest.raises(AuthRejected, match="no user name"):
        new_world(username=None).observe()


def test_a_torrent_is_seen_with_all_its_announce_urls(subject: Subject, world: World) -> None:
    world.observe()
    added = subject.add(next(_names), URLS)
    world.until(lambda torrents: added in torrents and set(torrents[added].urls) == set(URLS))
    world.until(lambda torrents: not torrents[added].downloading)
    torrent = world.torrents[added]
    assert torrent.hash == added
    assert torrent.up_limit == UNLIMITED
    assert torrent.uploaded == 0
    assert torrent.activity is not Activity.STOPPED
    assert torrent.labels == Labels("", (), private=None if subject.version == "4.5.2" else True)
    assert torrent.size == DEFAULT_SIZE
    assert 1_600_000_000 < torrent.added_on < 2**32 - 1


def test_labels_are_seen_when_they_change(subject: Subject, world: World) -> None:
    added = subject.add(next(_names), URLS)
    world.until(lambda torrents: added in torrents)
    subject.label(added, "movies/uhd", "keep")
    world.until(lambda torrents: torrents[added].labels.tags)
    assert world.torrents[added].labels.category == "movies/uhd"
    assert world.torrents[added].labels.tags == ("keep",)


def test_torrents_with_the_same_announce_urls_share_them(subject: Subject, world: World) -> None:
    first, second = subject.add(next(_names), URLS), subject.add(next(_names), URLS)
    world.until(lambda torrents: len(torrents) == 2)
    assert world.torrents[first].urls is world.torrents[second].urls


def test_a_torrent_without_trackers_has_no_urls(subject: Subject, world: World) -> None:
    added = subject.add(next(_names), ())
    world.until(lambda torrents: added in torrents)
    assert world.torrents[added].urls == ()


def test_nothing_new_is_nothing_reported(subject: Subject, world: World) -> None:
    subject.add(next(_names), URLS)
    world.until(lambda torrents: len(torrents) == 1)
    if subject.version == "4.5.2":  # a small session is listed in full again and again: that costs next to nothing
        _until(lambda: world.observe().full)
        return
    _until(lambda: not world.observe().torrents)
    assert world.last is not None
    assert not world.last.full


def test_counters_grow_while_a_torrent_uploads(subject: Subject, world: World) -> None:
    added = subject.add(next(_names), URLS[:1])
    world.until(lambda torrents: added in torrents)
    subject.upload(added)
    world.until(lambda torrents: torrents[added].uploaded > 100_000 and torrents[added].leechers == 2)
    world.until(lambda torrents: torrents[added].activity is Activity.ACTIVE and torrents[added].active_s > 0)
    world.until(lambda torrents: torrents[added].uploaded_ever > 100_000 and torrents[added].ratio > 0)


def test_a_stopped_torrent_is_seen_as_stopped(subject: Subject, world: World) -> None:
    added = subject.add(next(_names), URLS)
    world.until(lambda torrents: added in torrents)
    subject.stop_torrent(added)
    world.until(lambda torrents: torrents[added].activity is Activity.STOPPED)


@pytest.mark.parametrize("limit", [1, 123_457, MAX_LIMIT, UNLIMITED])
def test_a_limit_written_is_in_force_to_the_byte(subject: Subject, world: World, limit: int) -> None:
    added, other = subject.add(next(_names), URLS), subject.add(next(_names), URLS)
    world.client.set_upload_limit(50_000, [added, other])
    world.client.set_upload_limit(limit, [added])
    assert world.client.upload_limits([added, other]) == {added: limit, other: 50_000}
    world.until(lambda torrents: {h: torrents[h].up_limit for h in torrents} == {added: limit, other: 50_000})


def test_a_limit_set_by_a_person_is_seen(subject: Subject, world: World) -> None:
    added = subject.add(next(_names), URLS)
    world.until(lambda torrents: added in torrents)
    subject.set_limit(added, 77_777)
    world.until(lambda torrents: torrents[added].up_limit == 77_777)
    subject.set_limit(added, 0)
    world.until(lambda torrents: torrents[added].up_limit == UNLIMITED)


def test_hashes_that_do_not_exist_are_ignored(subject: Subject, world: World) -> None:
    name = next(_names)
    added = subject.add(name, URLS)
    made_up = [f"{number:040x}" for number in range(1, 1500)]
    world.client.set_upload_limit(60_000, [*made_up, added])
    assert world.client.upload_limits([*made_up, added, NOWHERE]) == {added: 60_000}
    assert world.client.v1_hashes([*made_up, added, NOWHERE]) == {added: added}
    assert world.client.v1_hashes(None)[added] == added
    assert world.client.names([NOWHERE, added]) == {added: name}
    assert world.client.names([]) == {}


def test_a_removed_torrent_is_gone(subject: Subject, world: World) -> None:
    added, staying = subject.add(next(_names), URLS), subject.add(next(_names), URLS)
    world.until(lambda torrents: len(torrents) == 2)
    subject.remove(added)
    world.until(lambda torrents: set(torrents) == {staying})
    assert world.client.upload_limits([added]) == {}


def test_hinted_torrents_are_seen_to_come_and_go_between_full_observations(
    subject: Subject, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "INVENTORY_SHARE", 1e9)
    staying = subject.add(next(_names), URLS)
    world.until(lambda torrents: staying in torrents)
    added = subject.add(next(_names), URLS)
    _until(lambda: added in world.observe([added, NOWHERE]).torrents)
    assert world.last is not None
    assert not world.last.full
    assert set(world.torrents[added].urls) == set(URLS)
    subject.remove(added)
    _until(lambda: added in world.observe([added, staying]).removed)
    assert not world.last.full
    assert set(world.torrents) == {staying}


def test_a_full_observation_comes_when_asked_for(subject: Subject, world: World) -> None:
    added = subject.add(next(_names), URLS)
    world.until(lambda torrents: added in torrents)
    world.client.request_full()
    observation = world.observe()
    assert observation.full
    assert set(observation.torrents) == {added}


def test_a_restart_of_qbittorrent_is_survived_with_a_full_observation(subject: Subject, world: World) -> None:
    added = subject.add(next(_names), URLS)
    world.client.set_upload_limit(88_888, [added])
    world.until(lambda torrents: added in torrents and torrents[added].up_limit == 88_888)
    subject.stop()
    with pytest.raises(Unreachable):
        world.observe()
    subject.start()
    observation = world.observe()
    assert observation.full
    assert observation.torrents[added].up_limit == 88_888


def test_a_quick_restart_between_two_observations_is_noticed(subject: Subject, world: World) -> None:
    added = subject.add(next(_names), URLS)
    world.until(lambda torrents: added in torrents)
    subject.stop()
    subject.start()
    observation = world.observe()
    assert observation.full
    assert set(observation.torrents) == {added}


def test_the_global_limit_in_force_is_seen(subject: Subject, new_world: Callable[..., World]) -> None:
    assert new_world().observe().global_limit == UNLIMITED
    subject.set_global_limit(2048 * 1024)
    _until(lambda: new_world().observe().global_limit == 2048 * 1024)
    subject.use_alternative_limit(512 * 1024)
    _until(lambda: new_world().observe().global_limit == 512 * 1024)
    subject.use_alternative_limit(None)
    subject.set_global_limit(0)
    _until(lambda: new_world().observe().global_limit == UNLIMITED)


def test_a_change_of_the_global_limit_is_seen_by_a_running_client(subject: Subject, world: World) -> None:
    world.observe()
    subject.set_global_limit(1024 * 1024)
    if subject.version == "4.5.2":  # it takes a call of its own there, made every 30 s only
        assert world.observe().global_limit == UNLIMITED
        subject.set_global_limit(0)
        return
    _until(lambda: world.observe().global_limit == 1024 * 1024)
    subject.set_global_limit(0)
    _until(lambda: world.observe().global_limit == UNLIMITED)


def test_preferences_are_set_and_read_back(subject: Subject, world: World) -> None:
    program = """ /bin/programme "a=%K&b=ü%20" '%N' \\ """
    values = {
        "autorun_enabled": True,
        "autorun_program": program,
        "autorun_on_torrent_added_enabled": True,
        "autorun_on_torrent_added_program": "other ",
    }
    world.client.set_preferences({**values, "a setting that does not exist": 1})
    if subject.version != "4.5.2":
        values |= {name: value.strip() for name, value in values.items() if isinstance(value, str)}
    assert world.client.preferences([*values, "a setting that does not exist"]) == values
    for off in ({"autorun_enabled": False, "autorun_program": ""}, {"autorun_on_torrent_added_enabled": False}):
        world.client.set_preferences(off)
        values |= off
        assert world.client.preferences(list(values)) == values


def test_torrents_are_listed_for_people_with_urls_and_rates(subject: Subject, world: World) -> None:
    quiet, busy = subject.add(next(_names), URLS), subject.add(next(_names), URLS[:1])
    subject.upload(busy)

    def listed(*hashes: str) -> dict[str, ListedTorrent]:
        return {torrent.hash: torrent for torrent in world.client.listed(hashes)}

    _until(lambda: listed(busy)[busy].rate > 0)
    both = listed(quiet, busy)
    assert set(both) == {quiet, busy}
    assert set(both[quiet].urls) == set(URLS)
    assert both[quiet].rate == 0
    assert set(listed(NOWHERE, busy)) == {busy}
    assert listed() == {}


def test_http_basic_keeps_to_one_session(subject: Subject, new_world: Callable[..., World]) -> None:
    basic = new_world(auth="basic")
    if subject.version != "5.3.0":
        with pytest.raises(AuthRejected, match="Basic"):
            basic.observe()
        return
    other = new_world()
    other.observe()
    logins = other.client.stats.logins
    for _ in range(20):  # 5.3 keeps 15 sessions: one for each request would throw the other client out
        basic.observe()
    other.observe()
    assert other.client.stats.logins == logins


def test_http_basic_with_a_wrong_password_is_rejected(subject: Subject, new_world: Callable[..., World]) -> None:
    with pytest.raises(AuthRejected):
        new_world(auth="basic", password="wrong").observe()
    new_world().observe()


def test_an_api_key_lets_in_from_5_2_on(subject: Subject, new_world: Callable[..., World]) -> None:
    if subject.version != "5.3.0":
        with pytest.raises(AuthRejected, match="API key"):
            new_world(username=None, api_key="qbt_" + "x" * 28).observe()
        return
    added = subject.add(next(_names), URLS)
    world = new_world(username=None, api_key=subject.new_api_key())
    world.until(lambda torrents: added in torrents)
    world.client.set_upload_limit(99_999, [added])
    world.until(lambda torrents: torrents[added].up_limit == 99_999)
    with pytest.raises(AuthRejected, match="API key"):
        new_world(username=None, api_key="qbt_" + "x" * 28).observe()
