"""Every setting takes effect while the daemon runs: each has a proof here, and one without fails.

A proof changes a setting's file under a running daemon, and sees what it does differently then. Where that would take
hours, the very parts of a daemon that rests are asked, with the time passed in.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import math
import shutil
import socket
import ssl
import subprocess
import time
import typing
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
import structlog
from pydantic import BaseModel

from lab.processes import free_port
from qguardarr.adapters import logs
from qguardarr.adapters.notify import Notifier
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.systemd import Systemd
from qguardarr.adapters.watch import FileWatch
from qguardarr.app.daemon import Daemon, build
from qguardarr.app.settings import load_settings
from qguardarr.app.state_files import Files
from qguardarr.config import Config
from qguardarr.config.outline import LISTED
from qguardarr.core.allocate.demand import Demand
from qguardarr.core.allocate.shares import divide_cap
from qguardarr.core.measure.announce_budget import AnnounceBudget
from qguardarr.core.measure.burstiness import Backlog
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile.signature import marked
from qguardarr.engine.status import TrackerRow
from qguardarr.features.alerts import Alerts
from tests.support.api_client import KEY
from tests.support.daemon_process import DaemonProcess, until
from tests.support.fake_crossseed import FakeCrossSeed
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent, Fault
from tests.support.live_settings import CAP, PARKED, Live, MessageTarget, rule
from tests.support.samples import status

PROOFS: dict[str, Callable[..., None]] = {}
OTHER_KEY = "another-key-of-the-tests-0123456789"
DAY_S = 86400.0


def proves(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The function shows that these settings take effect. Its arguments are fixtures."""

    def note(proof: Callable[..., None]) -> Callable[..., None]:
        for name in names:
            assert name not in PROOFS
            PROOFS[name] = proof
        return proof

    return note


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of all settings; `[]` stands for a list."""
    for name, field in model.model_fields.items():
        if name == LISTED:  # names take effect at a restart; see test_several_servers.py
            continue
        path = prefix + (field.alias or name)
        kinds = list(_kinds(field.annotation))
        sections = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        for section in sections:
            yield from settings_of(section, f"{path}[]." if tuple in kinds else f"{path}.")
        if not sections or type(None) in kinds:
            yield path


def _kinds(annotation: Any) -> Iterator[Any]:
    yield typing.get_origin(annotation) or annotation
    for argument in typing.get_args(annotation):
        yield from _kinds(argument)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with FakeQBittorrent() as fake:
        fake.refresh_interval_ms = 500
        live = Live(tmp_path_factory.mktemp("reload"), fake).start()
        yield live
        live.daemon.kill()


@pytest.fixture
def live(daemon: Live) -> Iterator[Live]:
    """The one daemon, whatever the last proof left behind."""
    yield daemon
    fake = daemon.fake
    if not fake.serving:
        fake.start()
    fake.username, fake.password, fake.failed_logins = "admin", "a long secret password", 0


@pytest.fixture
def target(live: Live) -> Iterator[MessageTarget]:
    """Takes messages, the first one at once: while nobody was told, what the last proof sent holds up nothing."""
    live.use()
    made = MessageTarget()
    yield made
    made.close()


@pytest.fixture
def resting(tmp_path: Path) -> Iterator[Live]:
    """Like `live`, with a daemon that is not started: its parts are in this process."""
    root = logging.getLogger()
    handlers, level, noisy = root.handlers, root.level, logging.raiseExceptions
    with FakeQBittorrent() as fake:
        fake.add(FakeTorrent("1" * 40))
        yield Live(tmp_path, fake)
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers, logging.raiseExceptions = handlers, noisy
    root.setLevel(level)
    structlog.reset_defaults()


@contextlib.contextmanager
def resting_daemon(live: Live, changes: dict[str, Any]) -> Iterator[Daemon]:
    live.write(live.settings(changes))
    with contextlib.closing(Files(live.database)) as files:
        daemon = build(load_settings(live.file), live.file, files, FileWatch(live.file), Systemd({}, pid=0))
        yield daemon
        daemon.connections.shut()


def reload(live: Live, daemon: Daemon, changes: dict[str, Any]) -> None:
    live.write(live.settings(changes))
    daemon.reloader.reload()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Certificate and key for 127.0.0.1."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


# -- global -----------------------------------------------------------------------------------------------------------


@proves("global.update_interval")
def _(live: Live) -> None:
    live.use({"global.update_interval": 600})
    reads = live.fake.count("sync/maindata")
    live.use()
    live.fake.wait_for_request("sync/maindata", reads + 5, timeout_s=20.0)


@proves("global.match_mode")
def _(live: Live) -> None:
    rules = [rule("t1", max_upload_speed=5 * CAP), rule("t2"), rule("default", pattern=".*")]
    live.use({"trackers": rules})
    (torrent,) = live.torrents({"tracker": "t1 t2"})
    until(lambda: live.limits(torrent) == [marked(5 * CAP // 10)], "a limit of the first rule")
    live.use({"trackers": rules, "global.match_mode": "strictest"})
    until(lambda: live.limits(torrent) == [PARKED], "a limit of the strictest rule")


@proves("global.allocation_strategy")
def _(live: Live) -> None:
    live.use()
    swarms = ({"num_leechs": 1}, {"num_leechs": 40})
    few, many = live.torrents(*swarms)
    with live.uploading(few, many):
        until(lambda: min(live.limits(few, many)) > 0.4 * CAP, "equal shares")
        live.use({"global.allocation_strategy": "weighted"})
        until(lambda: live.limits(many)[0] > 1.8 * live.limits(few)[0] > 0, "shares by weight")


@proves("global.uplink")
def _(live: Live) -> None:
    live.use()
    (torrent,) = live.torrents({})
    with live.uploading(torrent):
        until(lambda: live.limits(torrent)[0] > 0.9 * CAP, "all of the cap")
        live.use({"global.uplink": "300 kB/s"})
        until(lambda: 0 < live.limits(torrent)[0] < 400_000, "no more than the line")


PARENT: dict[str, Any] = {"id": "both", "max_upload_speed": CAP}
"""An entry that others name as their parent."""


@proves("trackers[].parent", "trackers[].weight", "trackers[].rate")
def _(live: Live) -> None:
    """Two trackers have the cap of one, then share it by weight, then one has more of its own."""
    t1, t2 = live.torrents({"tracker": "t1"}, {"tracker": "t2"})
    default = rule("default", pattern=".*", max_upload_speed=-1)

    def use(first: dict[str, Any], second: dict[str, Any]) -> None:
        rules = [rule("t1", parent="both", **first), rule("t2", parent="both", **second)]
        live.use({"trackers": [PARENT, *rules, default]})

    with live.uploading(t1, t2):
        live.use()
        until(lambda: min(live.limits(t1, t2)) > 0.8 * CAP, "a cap for each")
        use({}, {})
        until(lambda: 0.3 * CAP < min(live.limits(t1, t2)) < 0.7 * CAP, "one cap for both")
        use({"rate": 0, "weight": 4}, {"rate": 0})
        until(lambda: live.limits(t1)[0] > 0.7 * CAP > 0.35 * CAP > live.limits(t2)[0] > 0, "shares by weight")
        use({"rate": CAP // 10}, {"rate": CAP // 10 * 9})
        until(lambda: live.limits(t2)[0] > 0.8 * CAP > 0.3 * CAP > live.limits(t1)[0] > 0, "rates of their own")


@proves("trackers[].when_busy")
def _(live: Live) -> None:
    (torrent,) = live.torrents({"tracker": "t1"})
    default = rule("default", pattern=".*", max_upload_speed=-1)
    with live.uploading(torrent):
        for when_busy in (False, True):
            group = rule("t1", max_upload_speed=CAP // 4, when_busy=when_busy)
            live.use({"trackers": [group, default], "global.uplink": CAP})
            if when_busy:
                until(lambda: live.limits(torrent)[0] > 0.8 * CAP, "all of the line, which nobody else wants")
            else:
                until(lambda: 0 < live.limits(torrent)[0] < 0.3 * CAP, "its cap")


def _now(zone: str = "UTC", **hours: int) -> str:
    """A time of day some hours from now."""
    return (datetime.now(ZoneInfo(zone)) + timedelta(**hours)).strftime("%H:%M")


def _today(**days: int) -> str:
    return (datetime.now(UTC) + timedelta(**days)).strftime("%a").lower()


@proves("global.uplink_schedule[].cap")
def _(live: Live) -> None:
    live.use()
    (torrent,) = live.torrents({})
    with live.uploading(torrent):
        until(lambda: live.limits(torrent)[0] > 0.9 * CAP, "all of the cap")
        live.use({"global.uplink_schedule": [{"cap": "300 kB/s"}]})
        until(lambda: 0 < live.limits(torrent)[0] < 400_000, "no more than the line")


@proves("global.uplink_schedule[].days", "global.uplink_schedule[].from", "global.uplink_schedule[].to")
def _(live: Live) -> None:
    """The other two thirds of a day, or other days, then now."""
    holds = {"days": "daily", "from": _now(hours=-6), "to": _now(hours=6), "cap": "300 kB/s"}
    (torrent,) = live.torrents({})
    with live.uploading(torrent):
        for other in ({"days": _today(days=3)}, {"from": _now(hours=2)}, {"to": _now(hours=-2)}):
            live.use({"global.timezone": "UTC", "global.uplink_schedule": [{**holds, **other}]})
            until(lambda: live.limits(torrent)[0] > 0.9 * CAP, "all of the cap")
            live.use({"global.timezone": "UTC", "global.uplink_schedule": [holds]})
            until(lambda: 0 < live.limits(torrent)[0] < 400_000, "no more than the line")


def _cap_by_schedule(live: Live, zone: str = "UTC", **window: Any) -> int | None:
    live.use({"trackers": [rule("t1", schedule=[window]), rule("default", pattern=".*")], "global.timezone": zone})
    return live.status.trackers[0].cap


@proves("global.timezone")
def _(live: Live) -> None:
    window = {"from": _now(hours=-2), "to": _now(hours=2), "cap": 5 * CAP}
    assert _cap_by_schedule(live, **window) == 5 * CAP
    assert _cap_by_schedule(live, "Asia/Tokyo", **window) == CAP


@proves("trackers[].schedule[].days", "trackers[].schedule[].from", "trackers[].schedule[].to")
def _(live: Live) -> None:
    holds = {"days": "daily", "from": _now(hours=-6), "to": _now(hours=6), "cap": 5 * CAP}
    assert _cap_by_schedule(live, **holds) == 5 * CAP
    for other in ({"days": _today(days=3)}, {"from": _now(hours=2)}, {"to": _now(hours=-2)}):
        assert _cap_by_schedule(live, **{**holds, **other}) == CAP


@proves("trackers[].schedule[].cap")
def _(live: Live) -> None:
    (torrent,) = live.torrents({})
    with live.uploading(torrent):
        assert _cap_by_schedule(live, cap=CAP // 2) == CAP // 2
        until(lambda: 0.4 * CAP < live.limits(torrent)[0] < 0.6 * CAP, "half the cap")
        assert live.status.trackers[0].cap_reason == "schedule: daily 00:00 to 24:00"
        live.use()
        until(lambda: live.limits(torrent)[0] > 0.9 * CAP, "all of the cap")


@proves("trackers[].schedule[].rate")
def _(live: Live) -> None:
    """What is guaranteed changes, and with it what a group gets beside another one."""
    first, second = live.torrents({}, {"tracker": "t2"})
    with live.uploading(first, second):
        for rate in (200_000, 700_000):
            window = {"rate": rate}
            groups = [rule("t1", rate=0, schedule=[window]), rule("t2", rate=0), rule("default", pattern=".*")]
            live.use({"trackers": groups, "global.uplink": CAP})
            until(lambda rate=rate: live.row("t1").guaranteed == rate, "what the window guarantees")
            assert live.row("t1").cap_reason == f"schedule: daily 00:00 to 24:00, rate {rate // 1000} kB/s"
            assert live.row("t1").cap == CAP
        until(lambda: live.effective("t1") >= 700_000 > live.effective("t2"), "it before the other one")


@proves("trackers[].schedule[].priority")
def _(live: Live) -> None:
    _cap_by_schedule(live, priority=7)
    assert live.status.trackers[0].priority == 7


def _with_quota(live: Live, **quota: Any) -> TrackerRow:
    live.use({"trackers": [rule("t1", quota=quota), rule("default", pattern=".*")], "global.timezone": "UTC"})
    return live.status.trackers[0]


@proves(
    *("trackers[].quota", "trackers[].quota.bytes", "trackers[].quota.per", "trackers[].quota.starts"),
    "trackers[].quota.pace",
)
def _(live: Live) -> None:
    live.use()
    assert live.status.trackers[0].quota is None
    now = datetime.now(UTC).isoformat()
    one = _with_quota(live, bytes="1 GB", per="1h", starts=now)
    assert one.quota is not None
    assert (one.cap, one.quota.bytes, one.quota.length_s) == (CAP, 10**9, 3600)
    for length, amount, rate in (("1h", 36, 10_000), ("1h", 72, 20_000), ("2h", 72, 10_000)):
        cap = _with_quota(live, bytes=f"{amount} MB", per=length, starts=now, pace=True).cap
        assert cap == pytest.approx(rate, rel=0.5)
    begins = [
        found.quota.start % 86_400 if (found := _with_quota(live, bytes="1 GB", per="day", starts=at)).quota else None
        for at in ("06:00", "07:30")
    ]
    assert begins == [6 * 3600, 7.5 * 3600]


@proves("trackers[].quota.then")
def _(live: Live) -> None:
    (torrent,) = live.torrents({"added_on": int(time.time())})
    with live.uploading(torrent):
        _with_quota(live, bytes="100 kB", per="day", then="20 kB/s")
        until(lambda: (quota := live.status.trackers[0].quota) and quota.used >= 100_000, "all to be used up")
        until(lambda: live.status.trackers[0].cap == 20_000, "a trickle")
        until(lambda: live.limits(torrent)[0] < 25_000, "its limit")
        row = _with_quota(live, bytes="100 kB", per="day", then="stop-raising")
        assert row.cap == CAP
        assert row.cap_reason.startswith("quota: ")
        live.next_cycle(3)
        assert live.limits(torrent)[0] < 25_000
        _with_quota(live, bytes="100 kB", per="day", then="unlimited")
        until(lambda: live.limits(torrent)[0] > 0.9 * CAP, "the cap of the file")


@proves(
    *("global.uplink_quota", "global.uplink_quota.bytes", "global.uplink_quota.per", "global.uplink_quota.starts"),
    *("global.uplink_quota.pace", "global.uplink_quota.then"),
)
def _(live: Live) -> None:
    (torrent,) = live.torrents({"added_on": int(time.time())})
    with live.uploading(torrent):
        live.use()
        until(lambda: live.limits(torrent)[0] > 0.9 * CAP, "all of the cap")
        live.use({"global.uplink_quota": {"bytes": "1 GB", "per": "month", "starts": 31, "pace": True}})
        until(lambda: 0 < live.limits(torrent)[0] < 50_000, "a paced line")
        live.use({"global.uplink_quota": {"bytes": "1 TB", "per": "day"}})
        until(lambda: live.limits(torrent)[0] > 0.9 * CAP, "all of the cap")
        live.use({"global.uplink_quota": {"bytes": "100 kB", "per": "day", "then": "30 kB/s"}})
        until(lambda: 0 < live.limits(torrent)[0] < 40_000, "a trickle")


@proves("global.idle_limit")
def _(live: Live) -> None:
    live.use()
    torrents = live.torrents({}, {})
    until(lambda: live.limits(*torrents) == [PARKED] * 2, "parked torrents")
    live.use({"global.idle_limit": 33_333})
    until(lambda: live.limits(*torrents) == [33_333] * 2, "the limit that was asked for")


@proves("global.respect_manual_limits")
def _(live: Live) -> None:
    live.use()
    lower, free = live.torrents({"up_limit": 20_000}, {})
    until(lambda: live.limits(lower, free) == [20_000, PARKED], "one parked, one left as it is")
    live.use({"global.respect_manual_limits": False})
    until(lambda: live.limits(lower) == [PARKED], "the other one parked, too")


@proves("global.foreign_limits")
def _(live: Live) -> None:
    live.use()
    (torrent,) = live.torrents({})
    until(lambda: live.limits(torrent) == [PARKED], "a parked torrent")
    live.set_by_hand(torrent, 1_000)
    until(lambda: live.status.set_by_hand == 1, "a limit that is respected")
    live.use({"global.foreign_limits": "ignore"})
    live.set_by_hand(torrent, 50_000)
    until(lambda: live.status.set_by_program == 1, "one that is not")
    until(lambda: live.limits(torrent) == [1_000], "the original as a bound")


@proves("global.away_after")
def _(resting: Live) -> None:
    with resting_daemon(resting, {}) as daemon:
        assert daemon.controller.policy.away_after_s is None
        reload(resting, daemon, {"global.away_after": 90})
        assert daemon.controller.policy.away_after_s == 90.0  # what comes of it: tests/loop/test_several.py


@proves("global.rollout_percentage")
def _(live: Live) -> None:
    live.use()
    torrents = live.torrents(*[{}] * 5)
    until(lambda: live.limits(*torrents) == [PARKED] * 5, "parked torrents")
    live.use({"global.rollout_percentage": 1})
    until(lambda: live.limits(*torrents).count(0) >= 4, "most to be let go")


@proves("global.dry_run")
def _(live: Live) -> None:
    live.use({"global.dry_run": True})
    torrents = live.torrents({}, {})
    until(lambda: live.status.planned == 2, "what would be done")
    assert live.limits(*torrents) == [0, 0]
    live.use()
    until(lambda: live.limits(*torrents) == [PARKED] * 2, "limits from the live run")
    live.use({"global.dry_run": True, "global.idle_limit": 5000})
    assert live.status.state == "observing"
    until(lambda: live.status.planned == 2, "what would be done")
    live.next_cycle(2)
    assert live.limits(*torrents) == [PARKED] * 2


@proves("global.dry_run_store_path")
def _(live: Live) -> None:
    first, second = live.folder / "first.json", live.folder / "deep" / "second.json"
    live.use({"global.dry_run": True, "global.dry_run_store_path": str(first)})
    (torrent,) = live.torrents({})
    until(lambda: first.exists() and json.loads(first.read_text()) == {torrent: PARKED}, "the file")
    live.use({"global.dry_run": True, "global.dry_run_store_path": str(second)})
    (torrent,) = live.torrents({})
    until(lambda: second.exists() and json.loads(second.read_text()) == {torrent: PARKED}, "the other file")


@proves("global.active_torrent_threshold_kb")
def _(live: Live) -> None:
    live.use()
    (torrent,) = live.torrents({})
    with live.uploading(torrent, rate=6_000):
        until(lambda: live.row("t1").rate > 5_000, "its rate")
        assert live.row("t1").active == 0
        live.use({"global.active_torrent_threshold_kb": 1})
        until(lambda: live.row("t1").active == 1, "it to count as active")


@proves("global.max_managed_torrents")
def _(live: Live) -> None:
    live.use()
    torrents = live.torrents({}, {})
    with live.uploading(*torrents):
        until(lambda: min(live.limits(*torrents)) > 0.3 * CAP, "a share for each")
        live.use({"global.max_managed_torrents": 1})
        until(lambda: min(live.limits(*torrents)) == PARKED < 0.5 * CAP < max(live.limits(*torrents)), "one too many")


@proves("global.max_api_calls_per_cycle")
def _(live: Live) -> None:
    originals = [300_000 + n for n in range(4)]

    def most_calls_in_a_cycle(changes: dict[str, Any]) -> int:
        """While all get their different originals back."""
        live.use()
        torrents = live.torrents(*({"up_limit": original} for original in originals))
        until(lambda: set(live.limits(*torrents)) == {PARKED}, "parked torrents")
        before = len(live.fake.requests)
        live.use({"trackers": [rule("t1", max_upload_speed=-1), rule("default", pattern=".*")], **changes})
        until(lambda: live.limits(*torrents) == originals, "the originals")
        most = calls = 0
        for request in live.fake.requests[before:]:
            calls = 0 if request.path == "sync/maindata" else calls + (request.path == "torrents/setUploadLimit")
            most = max(most, calls)
        return most

    assert most_calls_in_a_cycle({}) == 4
    assert most_calls_in_a_cycle({"global.max_api_calls_per_cycle": 1}) == 1


@proves("global.differential_threshold")
def _(resting: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's cycles divide caps with the new value, and that leads to another division."""
    used: list[float] = []

    def divide(demands: Sequence[Demand], capacity: float, *, differential_threshold: float, **rest: Any) -> float:
        used.append(differential_threshold)
        return divide_cap(demands, capacity, differential_threshold=differential_threshold, **rest)

    def divided(threshold: float) -> list[int]:
        """Two greedy torrents whose limits are a little unfair."""
        shared: dict[str, Any] = {
            "backlog": Backlog.LASTING,
            "bound": UNLIMITED,
            "demand_bound": math.inf,
            "weight": 1.0,
            "observed": True,
        }
        demands = [Demand(rate=float(limit), current=limit, **shared) for limit in (550_000, 450_000)]
        divide_cap(demands, CAP, idle_limit=1000.0, differential_threshold=threshold)
        return [demand.limit for demand in demands]

    monkeypatch.setattr("qguardarr.core.reconcile.active_limits.divide_cap", divide)
    with resting_daemon(resting, {}) as daemon:
        daemon.controller.cycle()
        before = used[-1]
        reload(resting, daemon, {"global.differential_threshold": 0.05})
        daemon.controller.cycle()
        assert divided(before) == [550_000, 450_000]
        assert divided(used[-1]) == [500_000, 500_000]


class SlowLists(FakeQBittorrent):
    """Takes half a second for a complete list: before 4.6 that is not asked for again within 50 s, unless one wants."""

    complete = 0

    def info(self, parameters: dict[str, str]) -> list[dict[str, Any]]:
        if not {"filter", "hashes"} & parameters.keys():
            self.complete += 1
            time.sleep(0.5)
        return super().info(parameters)


@proves("global.cache_ttl_seconds")
def _(live: Live) -> None:
    with SlowLists("4.5.2") as older:
        place = {"qbittorrent.url": older.url}
        live.use(place)
        lists = older.count("torrents/info")
        older.wait_for_request("torrents/info", lists + 4, timeout_s=20.0)
        assert older.complete == 1
        live.use({**place, "global.cache_ttl_seconds": 1})
        until(lambda: older.complete >= 4, "complete lists each second")


@proves("global.auto_unlimit_on_inactive")
def _(live: Live) -> None:
    live.use()
    torrents = live.torrents({}, {})
    until(lambda: live.limits(*torrents) == [PARKED] * 2, "parked torrents")
    live.use({"global.auto_unlimit_on_inactive": True})
    until(lambda: live.limits(*torrents) == [0, 0], "their own limits")


@proves("global.borrow_threshold_ratio")
def _(live: Live) -> None:
    """One is bound by hand, the other one too many: together they use 0.4 of the cap, and want more."""
    soft = {"global.allocation_strategy": "soft", "global.max_managed_torrents": 1}
    live.use(soft)
    bound, held = live.torrents({"up_limit": 300_000}, {})
    with live.uploading(bound, held):
        until(lambda: live.row("t1").hungry == 2 and live.row("t1").rate > 0.35 * CAP, "0.4 of the cap in use")
        live.next_cycle(2)
        assert live.effective() == CAP
        live.use({**soft, "global.borrow_threshold_ratio": 0.1})
        until(lambda: live.effective() > 1.4 * CAP, "borrowing")


@proves("global.max_borrow_fraction")
def _(live: Live) -> None:
    soft = {"global.allocation_strategy": "soft", "global.smoothing_alpha": 1.0}
    live.use(soft)
    (torrent,) = live.torrents({})
    with live.uploading(torrent):
        until(lambda: live.effective() == 1.5 * CAP, "half borrowed")
        live.use({**soft, "global.max_borrow_fraction": 1.0})
        until(lambda: live.effective() == 2.0 * CAP, "twice the cap")


@proves("global.smoothing_alpha", "global.min_effective_delta")
def _(live: Live) -> None:
    """With these the rise to the half that may be borrowed takes over a minute, and at once (or in a few cycles)."""
    slow = {"global.allocation_strategy": "soft", "global.smoothing_alpha": 0.01, "global.min_effective_delta": 0.05}

    def rises_at_once(changes: dict[str, Any]) -> None:
        live.use({**slow, **changes})
        (torrent,) = live.torrents({})
        live.next_cycle()  # with the cap as it is
        with live.uploading(torrent):
            until(lambda: live.effective() == 1.5 * CAP, "half borrowed")

    live.use(slow)
    (torrent,) = live.torrents({})
    live.next_cycle()
    with live.uploading(torrent):
        until(lambda: live.effective() > CAP, "the beginning of a rise")
        live.next_cycle(3)
        assert live.effective() < 1.1 * CAP
    rises_at_once({"global.smoothing_alpha": 1.0})
    rises_at_once({"global.min_effective_delta": 1.0})


@proves("global.host", "global.port")
def _(live: Live) -> None:
    live.use()
    live.soon(lambda: live.api().get("/stats").status == 200, "the API")
    live.use({"global.host": "0.0.0.0"})
    live.soon(lambda: _reaches("127.0.0.2", live.port) and _reaches("127.0.0.1", live.port), "the API on all addresses")
    live.use({"global.host": "127.0.0.2"})
    live.soon(lambda: _reaches("127.0.0.2", live.port) and not _reaches("127.0.0.1", live.port), "the API on one")
    other = free_port()
    live.use({"global.port": other})
    live.soon(lambda: live.api(other).get("/stats").status == 200, "the API on another port")
    until(lambda: not _reaches("127.0.0.2", live.port), "the old port to be free")
    live.use()
    live.soon(lambda: live.api().get("/stats").status == 200, "the API where it was")


def _reaches(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 2.0).close()
    except OSError:
        return False
    return True


# -- qbittorrent ------------------------------------------------------------------------------------------------------


@proves("qbittorrent.url", "qbittorrent.port")
def _(live: Live) -> None:
    live.use()
    with FakeQBittorrent(prefix="/behind") as other:
        live.use({"qbittorrent.url": other.url})
        other.wait_for_request("sync/maindata", 2, timeout_s=20.0)
        assert live.status.qbittorrent_url == other.url
    with FakeQBittorrent() as other:
        live.use({"qbittorrent.url": None, "qbittorrent.host": "127.0.0.1", "qbittorrent.port": other.port})
        other.wait_for_request("sync/maindata", 2, timeout_s=20.0)


@proves("qbittorrent.host")
def _(live: Live) -> None:
    def host() -> str:
        return live.fake.requests[-1].headers["host"]

    place = {"qbittorrent.url": None, "qbittorrent.port": live.fake.port}
    live.use({**place, "qbittorrent.host": "127.0.0.1"})
    until(lambda: host() == f"127.0.0.1:{live.fake.port}", "requests to the address")
    live.use({**place, "qbittorrent.host": "localhost"})
    until(lambda: host() == f"localhost:{live.fake.port}", "requests to the name")


@proves("qbittorrent.username", "qbittorrent.password")
def _(live: Live) -> None:
    def login() -> tuple[str, str]:
        form = [request.form for request in live.fake.requests if request.path == "auth/login"][-1]
        return form["username"], form["password"]

    live.use()
    live.fake.username = "other"
    live.use({"qbittorrent.username": "other"})
    until(lambda: login() == ("other", "a long secret password"), "a login with the other name")
    live.fake.password = "another long password"
    live.use({"qbittorrent.username": "other", "qbittorrent.password": "another long password"})
    until(lambda: login() == ("other", "another long password"), "a login with the other password")
    live.daemon.wait_for_state("holding")


@proves("qbittorrent.api_key", "qbittorrent.auth")
def _(live: Live) -> None:
    first, second = "qbt_" + 28 * "A", "qbt_" + 28 * "B"
    with FakeQBittorrent("5.3.0", api_key=first) as newer:

        def authorization() -> str:
            return next(r for r in reversed(newer.requests) if "maindata" in r.path).headers.get("authorization", "")

        keyed = {"qbittorrent.url": newer.url, "qbittorrent.username": None, "qbittorrent.password": None}
        live.use({**keyed, "qbittorrent.api_key": first})
        until(lambda: authorization() == f"Bearer {first}", "requests with the key")
        newer.api_key = second
        live.use({**keyed, "qbittorrent.api_key": second})
        until(lambda: authorization() == f"Bearer {second}", "requests with the other key")
        live.use({"qbittorrent.url": newer.url})
        until(lambda: authorization() == "", "requests with a cookie")
        seen = len(newer.requests)
        live.use({"qbittorrent.url": newer.url, "qbittorrent.auth": "basic"})
        sent = [request.headers.get("authorization", "") for request in newer.requests[seen:]]
        assert any(header.startswith("Basic ") for header in sent)


@proves("qbittorrent.timeout")
def _(live: Live) -> None:
    live.use({"qbittorrent.timeout": 0.5})
    live.fake.fail_next("sync/maindata", Fault.HANG)
    live.daemon.wait_for_log("gave no answer within 0.5 s")
    live.daemon.wait_for_state("holding")


@proves("qbittorrent.verify_tls", "qbittorrent.ca_file")
def _(live: Live, certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    fake = FakeQBittorrent()
    fake.tls = context
    with fake:
        place = {"qbittorrent.url": fake.url.replace("http:", "https:")}
        for trusted in ({"qbittorrent.verify_tls": False}, {"qbittorrent.ca_file": str(certificate[0])}):
            live.use(place)
            until(lambda: "certificate" in live.status.problem, "the certificate to be refused")
            reads = fake.count("sync/maindata")
            live.use({**place, **trusted})
            fake.wait_for_request("sync/maindata", reads + 1, timeout_s=20.0)
            live.daemon.wait_for_state("holding")


def test_a_ca_file_that_was_renewed_is_read_again(live: Live, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    fake = FakeQBittorrent()
    fake.tls = context
    old, _ = make_certificate(tmp_path)
    with fake:
        live.use({"qbittorrent.url": fake.url.replace("http:", "https:"), "qbittorrent.ca_file": str(old)})
        until(lambda: "certificate" in live.status.problem, "the certificate to be refused")
        old.write_bytes(certificate[0].read_bytes())
        assert live.api().post("/config/reload").status == 200
        until(lambda: live.status.problem == "", "the other certificate")
        assert fake.count("sync/maindata") > 0


# -- trackers ---------------------------------------------------------------------------------------------------------


@proves("trackers[].id", "trackers[].name")
def _(live: Live) -> None:
    live.use()
    rest = [rule("t2"), rule("default", pattern=".*", max_upload_speed=-1)]
    live.use({"trackers": [rule("t1", id="renamed", name="The first"), *rest]})
    live.soon(lambda: live.api().get("/stats/trackers").json()["renamed"]["name"] == "The first", "the other names")
    assert "t1" not in live.api().get("/stats/trackers").json()
    (torrent,) = live.torrents({})
    page = f"/api/v1/journal?hash={torrent}"
    live.soon(lambda: "The first" in str(live.api().get(page).json()), "the name as a reason")


@proves("trackers[].pattern", "trackers[].max_upload_speed")
def _(live: Live) -> None:
    live.use()
    one, two = live.torrents({}, {"tracker": "elsewhere"})
    until(lambda: live.limits(one, two) == [PARKED, 0], "a limit for one of them")
    rest = [rule("t2"), rule("default", pattern=".*", max_upload_speed=-1)]
    live.use({"trackers": [rule("t1", pattern="t1|elsewhere"), *rest]})
    until(lambda: live.limits(one, two) == [PARKED, PARKED], "a limit for both")
    live.use({"trackers": [rule("t1", max_upload_speed="10 MB/s"), *rest]})
    until(lambda: live.limits(one, two) == [marked(CAP), 0], "ten times as much, and for one")


_DAY_AGO: Final = int(time.time() - DAY_S)
CONDITIONS: Final[list[tuple[str, object, dict[str, Any], dict[str, Any]]]] = [
    ("category", "movies", {"category": "movies/uhd"}, {"category": "tv"}),
    ("tags", ["keep", "gold"], {"tags": "gold, slow"}, {"tags": "slow"}),
    ("private", True, {"private": True}, {"private": False}),
    ("ratio", {"above": 1}, {"ratio": 1.5}, {"ratio": 0.5}),
    ("ratio", {"below": 1}, {"ratio": 0.5}, {"ratio": 1.5}),
    ("age", {"above": "2d"}, {"added_on": _DAY_AGO - 2 * int(DAY_S)}, {"added_on": _DAY_AGO}),
    ("age", {"below": "2d"}, {"added_on": _DAY_AGO}, {"added_on": _DAY_AGO - 2 * int(DAY_S)}),
    ("size", {"above": "1 GiB"}, {"size": 2**30}, {"size": 2**30 - 1}),
    ("size", {"below": "1 GiB"}, {"size": 2**30 - 1}, {"size": 2**30}),
    ("state", "seeding", {"state": "stalledUP"}, {"state": "stalledDL", "progress": 0.5}),
    ("torrent_name", r"S\d\dE\d\d", {"name": "A.Show.s01e02"}, {"name": "A film"}),
]
"""A condition, its value, a torrent that fulfils it, and one that does not."""


_BOUNDS: Final = [f"{key}{bound}" for key in ("ratio", "age", "size") for bound in ("", ".above", ".below")]
_SELECTING: Final = ["category", "tags", "private", *_BOUNDS, "state", "torrent_name"]


@proves("trackers[].not[].pattern", *(f"trackers[].{place}{key}" for place in ("", "not[].") for key in _SELECTING))
def _(live: Live) -> None:
    """A rule for each condition, and one that leaves out what fulfils it: each gets one of two torrents."""
    live.use()
    rest = rule("default", pattern=".*", max_upload_speed=-1)
    only = [rule(f"o{chr(97 + n)}", **{key: value}) for n, (key, value, *_) in enumerate(CONDITIONS)]
    without = [rule(f"q{chr(97 + n)}", **{"not": {key: value}}) for n, (key, value, *_) in enumerate(CONDITIONS)]
    pattern = rule("p0", **{"not": {"pattern": "elsewhere"}})
    shown = [
        {"tracker": f"{kind}{chr(97 + n)}", **torrent}
        for n, c in enumerate(CONDITIONS)
        for kind in "oq"
        for torrent in c[2:]
    ]
    live.torrents(*shown, {"tracker": "p0"}, {"tracker": "p0 elsewhere"})
    live.use({"trackers": [*only, *without, pattern, rest]})
    live.next_cycle()
    counts = {row.id: row.torrents for row in live.status.trackers}
    assert counts == {**{row["id"]: 1 for row in (*only, *without, pattern)}, "default": len(shown) // 2 + 1}


@proves("trackers[].instance", "trackers[].not[].instance")
def _(tmp_path: Path) -> None:
    with FakeQBittorrent() as home, FakeQBittorrent() as box:
        live = Live(tmp_path, home)
        live.base["qbittorrent"] = [
            {"name": name, "url": fake.url, "username": fake.username, "password": fake.password}
            for name, fake in (("home", home), ("box", box))
        ]
        home.add(FakeTorrent("1" * 40), FakeTorrent("2" * 40))
        box.add(FakeTorrent("3" * 40))
        live.write(live.settings({}))
        live.start()
        try:
            rest = rule("default", pattern=".*", max_upload_speed=-1)
            for condition, count in (
                ({"instance": "home"}, 2),
                ({"instance": ["box"]}, 1),
                ({"instance": ["box", "home"]}, 3),
                ({"not": {"instance": "box"}}, 2),
            ):
                live.use({"trackers": [{"id": "here", "max_upload_speed": CAP, **condition}, rest]})
                until(lambda count=count: live.row("here").torrents == count, f"{condition} to be heeded")
        finally:
            live.daemon.kill()


@proves("trackers[].priority")
def _(live: Live) -> None:
    soft: dict[str, Any] = {
        "global.allocation_strategy": "soft",
        "global.max_borrow_fraction": 1.0,
        "global.smoothing_alpha": 1.0,
    }

    def use(first: int, second: int) -> None:
        lender = [rule("t3"), rule("default", pattern=".*", max_upload_speed=-1)]
        live.use({**soft, "trackers": [rule("t1", priority=first), rule("t2", priority=second), *lender]})

    use(1, 9)
    torrents = live.torrents({}, {"tracker": "t2"}, {"tracker": "t3"})
    with live.uploading(*torrents[:2]):
        until(lambda: (live.effective("t1"), live.effective("t2")) == (CAP, 2 * CAP), "the second to borrow all")
        use(9, 1)
        until(lambda: (live.effective("t1"), live.effective("t2")) == (2 * CAP, CAP), "the first to borrow all")


@proves("trackers[].overspeed", "trackers[].overspeed.limit", "trackers[].overspeed.margin")
def _(live: Live) -> None:
    rest = [rule("t2"), rule("default", pattern=".*", max_upload_speed=-1)]

    def use(overspeed: object) -> None:
        live.use({"trackers": [rule("t1", max_upload_speed=-1, overspeed=overspeed), *rest]})

    use("1 MB/s")
    (torrent,) = live.torrents({})
    until(lambda: live.limits(torrent) == [marked(950_000)], "the bound of a torrent without a cap")
    use({"limit": "2 MB/s", "margin": "10 %"})
    until(lambda: live.limits(torrent) == [marked(1_800_000)], "the other bound")
    use(None)
    until(lambda: live.limits(torrent) == [0], "no bound")


@proves("trackers[].overspeed.mode")
def _(resting: Live) -> None:
    """What a torrent left unused for an hour it may use later, or not."""
    limits = []

    def note(daemon: Daemon) -> None:
        overspeed = daemon.controller.policy.classes[0].overspeed
        assert overspeed is not None
        budget = AnnounceBudget(0.0, 0, overspeed, announced=True)
        budget.observe(1.5, 0, 4598, overspeed, limit=overspeed.steady, backlogged=False)
        budget.observe(3600.0, 0, 1000, overspeed, limit=overspeed.steady, backlogged=True)
        limits.append(budget.limit / overspeed.steady)

    def rules(mode: str) -> dict[str, Any]:
        overspeed = {"limit": "1 MB/s", "mode": mode}
        rest = [rule("t2"), rule("default", pattern=".*", max_upload_speed=-1)]
        return {"trackers": [rule("t1", overspeed=overspeed), *rest]}

    with resting_daemon(resting, rules("steady")) as daemon:
        note(daemon)
        reload(resting, daemon, rules("saved"))
        note(daemon)
    assert limits[0] == 1.0
    assert 2.0 < limits[1] <= 3.0


@proves("trackers[].tiers[].above_ratio", "trackers[].tiers[].above_age", "trackers[].tiers[].cap")
def _(live: Live) -> None:
    rest = [rule("t2"), rule("default", pattern=".*", max_upload_speed=-1)]

    def use(*tiers: object) -> None:
        live.use({"trackers": [rule("t1", max_upload_speed=-1, tiers=list(tiers)), *rest]})

    use({"above_ratio": 2, "cap": "50 kB/s"}, {"above_age": "30d", "cap": "20 kB/s"})
    now = int(time.time())
    young = {"ratio": 2.5, "added_on": now - 86400}
    few, many, old = live.torrents({**young, "ratio": 1.0}, young, {**young, "added_on": now - 40 * 86400})
    until(lambda: live.limits(few, many, old) == [0, marked(50_000), marked(20_000)], "caps of those that hold")
    use({"above_ratio": 3, "cap": "50 kB/s"})
    until(lambda: live.limits(few, many, old) == [0, 0, 0], "no bounds")


# -- rollback ---------------------------------------------------------------------------------------------------------


@proves("rollback.database_path")
def _(live: Live) -> None:
    """Refused with a reason, with all else in the file; taken up at a restart, with the files where they are then."""
    live.use()
    (torrent,) = live.torrents({"up_limit": 5_000_000})
    until(lambda: live.limits(torrent) == [PARKED], "a parked torrent")
    old, new = live.database, live.folder / "elsewhere" / "journal.db"
    content = live.settings({"rollback.database_path": str(new), "global.idle_limit": 7000})
    live.write(content)
    until(lambda: "takes effect at a restart" in live.status.reload_error, "the reason in the status")
    assert str(old) in live.status.reload_error
    answer = live.api().post("/config/reload", {})
    assert (answer.status, "takes effect at a restart" in answer.body.decode()) == (422, True)
    assert "takes effect at a restart" in live.api().get("/health").body.decode()
    live.next_cycle(2)
    assert live.limits(torrent) == [PARKED]
    assert not new.parent.exists()
    live.daemon.end()
    old.parent.rename(new.parent)
    live.database = new
    live.daemon = DaemonProcess(live.config, new)
    live.daemon.wait_for_state("holding")
    until(lambda: live.limits(torrent) == [7000], "the work to go on")
    with contextlib.closing(SqliteJournal(new)) as journal:
        assert journal.touched()[torrent].original == 5_000_000
    live.daemon.end()
    new.parent.rename(old.parent)
    live.write(live.settings({}))
    live.database = old
    live.start()


@proves("rollback.retention_days", "rollback.track_all_changes")
def _(resting: Live) -> None:
    for setting in ({"rollback.retention_days": 1}, {"rollback.track_all_changes": False}):
        three_days_ago = SqliteJournal(resting.database, now=lambda: time.time() - 3 * DAY_S)
        three_days_ago.applied(three_days_ago.intend([Change("2" * 40, 9, 5, 9, "")]))
        three_days_ago.restored(["2" * 40])
        three_days_ago.close()
        with resting_daemon(resting, {}) as daemon:

            def kept(daemon: Daemon = daemon) -> bool:
                daemon.controller.upkeep.pruned_at = -1e9  # it is time
                daemon.controller.cycle()
                return any(line.hash == "2" * 40 for line in daemon.files.journal.history())

            assert kept()
            reload(resting, daemon, setting)
            assert not kept()


@proves("rollback.on_shutdown")
def _(tmp_path: Path) -> None:
    with FakeQBittorrent() as fake:
        live = Live(tmp_path, fake).start()
        try:
            (torrent,) = live.torrents({"up_limit": 5_000_000})
            until(lambda: live.limits(torrent) == [PARKED], "a parked torrent")
            live.use({"rollback.on_shutdown": "restore"})
            assert live.daemon.end() == 0
            assert live.limits(torrent) == [5_000_000]
        finally:
            live.daemon.kill()


# -- logging ----------------------------------------------------------------------------------------------------------


@proves("logging.level")
def _(live: Live) -> None:
    def pause(reason: str) -> None:
        live.soon(lambda: live.api().post("/api/v1/pause", {"reason": reason}).status == 200, "the API")
        assert live.api().post("/api/v1/resume").status == 200

    live.use()
    pause("as usual")
    live.daemon.wait_for_log("as usual")
    live.use({"logging.level": "ERROR"})
    pause("in silence")
    live.use()
    pause("as before")
    live.daemon.wait_for_log("as before")
    assert "in silence" not in live.daemon.log


@proves("logging.format", "logging.file")
def _(live: Live) -> None:
    first, second = live.folder / "first.log", live.folder / "below" / "second.log"
    live.use({"logging.file": str(first)})
    until(lambda: "reloaded" in first.read_text(), "lines in the file")
    assert "{" not in first.read_text()
    live.use({"logging.file": str(second), "logging.format": "json"})
    until(lambda: "reloaded" in second.read_text(), "lines in the other file")
    assert all(json.loads(line) for line in second.read_text().splitlines())
    assert len(live.daemon.log) > 0


@proves("logging.max_size_mb", "logging.backup_count")
def _(live: Live) -> None:
    def rolled(changes: dict[str, Any]) -> list[str]:
        """The files, after lines were written to one that has 3 MiB."""
        folder = live.folder / f"rolled{time.monotonic_ns()}"
        folder.mkdir()
        file = folder / "a.log"
        file.write_bytes(3 * 1024 * 1024 * b"x")
        live.use({"logging.file": str(file), **changes})
        until(lambda: b"serving" in file.read_bytes(), "lines in the file")
        return sorted(path.name for path in folder.iterdir())

    assert rolled({}) == ["a.log"]
    assert rolled({"logging.max_size_mb": 2}) == ["a.log", "a.log.1"]
    assert rolled({"logging.max_size_mb": 2, "logging.backup_count": 0}) == ["a.log"]
    assert logs.warning() == ""


# -- auth, http -------------------------------------------------------------------------------------------------------


@proves("auth", "http.allowed_hosts")
def _(live: Live) -> None:
    live.use()
    live.soon(lambda: live.api(key=None).get("/stats").status == 401, "a key to be asked for")
    live.use({"auth": "none"})
    live.soon(lambda: live.api(key=None).get("/stats").status == 200, "nobody to be asked")
    public = {"Host": "guard.example.org"}
    assert live.api(key=None).get("/stats", headers=public).status == 403
    live.use({"auth": "none", "http.allowed_hosts": ["guard.example.org"]})
    live.soon(lambda: live.api(key=None).get("/stats", headers=public).status == 200, "the name to be allowed")


@proves("auth.api_key")
def _(live: Live) -> None:
    live.use()
    live.soon(lambda: live.api(key=KEY).get("/stats").status == 200, "the key to be right")
    live.use({"auth.api_key": OTHER_KEY})
    live.soon(lambda: live.api(key=OTHER_KEY).get("/stats").status == 200, "the other key to be right")
    assert live.api(key=KEY).get("/stats").status == 401


@proves("auth.username", "auth.password")
def _(live: Live) -> None:
    def login(username: str, password: str) -> int:
        body = {"username": username, "password": password}
        return live.api(key=None).post("/api/v1/session", body).status

    live.use({"auth.username": "first", "auth.password": "first password"})
    live.soon(lambda: login("first", "first password") == 200, "a login")
    live.use({"auth.username": "second", "auth.password": "first password"})
    live.soon(lambda: login("second", "first password") == 200, "a login with the other name")
    live.use({"auth.username": "second", "auth.password": "second password"})
    live.soon(lambda: login("second", "second password") == 200, "a login with the other password")
    assert login("second", "first password") == 401
    assert login("first", "first password") == 401


@proves("auth.forward_header")
def _(live: Live) -> None:
    def named(header: str) -> int:
        return live.api(key=None).get("/stats", headers={header: "ada"}).status

    proxy = {"http.trusted_proxies": ["127.0.0.1"]}
    live.use({"auth.forward_header": "Remote-User", **proxy})
    live.soon(lambda: named("Remote-User") == 200, "a person whom the proxy names")
    assert named("X-WEBAUTH-USER") == 401
    live.use({"auth.forward_header": "X-WEBAUTH-USER", **proxy})
    live.soon(lambda: named("X-WEBAUTH-USER") == 200, "the other header")
    assert named("Remote-User") == 401
    live.use(proxy)
    live.soon(lambda: named("X-WEBAUTH-USER") == 401, "no header")


@proves("http.base_path")
def _(live: Live) -> None:
    live.use()
    live.soon(lambda: live.api().get("/guard/health/live").status == 404, "no prefix")
    live.use({"http.base_path": "/guard"})
    live.soon(lambda: live.api().get("/guard/health/live").status == 200, "the prefix")


@proves("http.trusted_proxies")
def _(live: Live) -> None:
    def refused_address(address: str) -> None:
        """Where a refused request came from, says the log."""
        sent = {"X-Forwarded-For": address}
        live.soon(lambda: live.api(key="wrong").get("/stats", headers=sent).status == 401, "a refusal")

    live.use()
    refused_address("203.0.113.7")
    live.daemon.wait_for_log("api_key_refused")
    live.use({"http.trusted_proxies": ["127.0.0.1"]})
    refused_address("203.0.113.8")
    live.daemon.wait_for_log("203.0.113.8")
    assert "203.0.113.7" not in live.daemon.log


@proves("http.metrics")
def _(live: Live) -> None:
    live.use()
    live.soon(lambda: live.api(key=None).get("/metrics").status == 401, "metrics with a key")
    live.use({"http.metrics": "open"})
    live.soon(lambda: live.api(key=None).get("/metrics").status == 200, "metrics for all")


# -- notifications ----------------------------------------------------------------------------------------------------


def _telling(target: MessageTarget, **changes: Any) -> dict[str, Any]:
    told = {"urls": [target.url], "events": ["qbittorrent_lost"], "after": 0, **changes}
    return {f"notifications.{name}": value for name, value in told.items()}


@proves("notifications.urls")
def _(live: Live, target: MessageTarget) -> None:
    with contextlib.closing(MessageTarget()) as other:
        live.use(_telling(other, events=["plan_refused"]))
        live.use(_telling(target))
        live.fake.stop()
        until(lambda: "Qguardarr: qBittorrent cannot be used" in target.titles, "to be told")
        assert other.titles == []


@proves("notifications.events")
def _(live: Live, target: MessageTarget) -> None:
    with contextlib.closing(MessageTarget()) as other:
        live.use(_telling(other, events=["plan_refused"]))
        live.fake.stop()
        live.daemon.wait_for_state("failing")
        live.next_cycle()
        live.use(_telling(target))
        until(lambda: "Qguardarr: qBittorrent cannot be used" in target.titles, "to be told")
        assert other.titles == []


@proves("notifications.after")
def _(live: Live, target: MessageTarget) -> None:
    live.use(_telling(target, events=["plan_refused"]))
    live.use(_telling(target, after=86400))
    live.fake.stop()
    live.daemon.wait_for_state("failing")
    live.next_cycle()
    assert target.titles == []
    live.use(_telling(target))
    until(lambda: "Qguardarr: qBittorrent cannot be used" in target.titles, "to be told")


@proves("notifications.repeat")
def _(resting: Live) -> None:
    """The rules are asked, hours ahead."""
    settings, lost = [], status(state="failing", problem="gone", problem_kind="Unreachable")
    for repeat in (3600, 60):
        resting.write(resting.settings({"notifications.after": 0, "notifications.repeat": repeat}))
        settings.append(load_settings(resting.file))
    with contextlib.closing(Alerts(settings[0], Notifier([]))) as alerts:
        assert len(alerts.rules.due(lost, 1000.0)) == 1
        assert alerts.rules.due(lost, 1120.0) == []
        alerts.prepare(settings[1])()
        assert len(alerts.rules.due(lost, 1121.0)) == 1


# -- cross-seed -------------------------------------------------------------------------------------------------------


def _completes(live: Live, number: int) -> str:
    torrent = f"{number:040x}"
    live.soon(
        lambda: live.api().post("/webhook", {"event": "complete", "hash": torrent}).status == 202, "a completed torrent"
    )
    return torrent


@proves("cross_seed.enabled", "cross_seed.url", "cross_seed.api_key")
def _(live: Live) -> None:
    with FakeCrossSeed() as first, FakeCrossSeed(OTHER_KEY) as second:
        setting = {"cross_seed.enabled": False, "cross_seed.url": first.url, "cross_seed.api_key": first.key}
        live.use(setting)
        _completes(live, 0xA1)
        live.use({**setting, "cross_seed.enabled": True})
        torrent = _completes(live, 0xA2)
        first.wait_for_searches(1)
        assert first.searches == [torrent]
        live.use({**setting, "cross_seed.enabled": True, "cross_seed.url": second.url})
        torrent = _completes(live, 0xA3)
        second.wait_for_calls(1)
        assert second.calls[0].headers["x-api-key"] == first.key
        assert second.searches == []
        live.use({"cross_seed.enabled": True, "cross_seed.url": second.url, "cross_seed.api_key": OTHER_KEY})
        second.wait_for_searches(1)
        assert second.searches == [torrent]


@proves("cross_seed.timeout")
def _(live: Live) -> None:
    with FakeCrossSeed() as fake:
        fake.indexed.clear()
        setting = {"cross_seed.enabled": True, "cross_seed.url": fake.url, "cross_seed.api_key": fake.key}
        live.use(setting)
        _completes(live, 0xB1)
        fake.wait_for_calls(1)
        live.use({**setting, "cross_seed.timeout": 0.5})
        until(lambda: "no answer within 0.5 s" in live.status.cross_seed.problem, "it to be given up")


# -- the tests --------------------------------------------------------------------------------------------------------


def _names_by_proof() -> list[tuple[str, ...]]:
    return [tuple(name for name in PROOFS if PROOFS[name] is proof) for proof in dict.fromkeys(PROOFS.values())]


def test_every_setting_has_a_proof() -> None:
    """And nothing else has: each proof below runs once, also if it is one of several settings."""
    assert sorted(PROOFS) == sorted(settings_of(Config))


@pytest.mark.parametrize("names", _names_by_proof(), ids=" ".join)
def test_takes_effect(names: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    proof = PROOFS[names[0]]
    proof(*(request.getfixturevalue(argument) for argument in inspect.signature(proof).parameters))
