"""Features: one that fails stops no other; a reload prepares all of them before it changes any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from qguardarr.adapters import crossseed
from qguardarr.adapters.crossseed import CrossSeedForwarder
from qguardarr.adapters.sqlite.store import SqliteStore
from qguardarr.adapters.statusfile import StatusFile
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile.decide import Decision
from qguardarr.core.reconcile.plan import make_plan
from qguardarr.engine.settings import CrossSeedSettings, Settings
from qguardarr.engine.status import CrossSeedCounts, Status
from qguardarr.engine.triggers import Triggers
from qguardarr.errors import ConfigError
from qguardarr.features import upkeep
from qguardarr.features.dry_run import DryRunFile
from qguardarr.features.feature import Commit, Feature
from qguardarr.features.feature_set import FeatureSet
from qguardarr.features.history import History
from qguardarr.features.upkeep import WebhookQueue
from tests.support.samples import row, status


class Recorder(Feature):
    """Keeps what happens to it."""

    def __init__(self, name: str, happened: list[str], *, refuses: bool = False) -> None:
        self.name = name  # type: ignore[misc]
        self.fails = False
        self._happened = happened
        self._refuses = refuses

    def _note(self, what: str) -> None:
        self._happened.append(f"{self.name} {what}")
        if self.fails:
            raise ZeroDivisionError("a secret")

    def start(self) -> None:
        self._note("starts")

    def prepare(self, settings: Settings) -> Commit:
        if self._refuses:
            raise ConfigError("no")
        self._note("prepares")
        return lambda: self._note("takes up")

    def abandon(self) -> None:
        self._note("abandons")

    def on_cycle(self, status: Status) -> None:
        self._note("sees")

    def close(self) -> None:
        self._note("ends")


def features_of(*features: Feature) -> FeatureSet:
    made = FeatureSet()
    made.register(*features)
    return made


ANY = cast("Settings", None)


def test_they_start_in_order_and_end_in_reverse() -> None:
    happened: list[str] = []
    features = features_of(Recorder("a", happened), Recorder("b", happened))
    features.start()
    features.close()
    assert happened == ["a starts", "b starts", "b ends", "a ends"]


def test_a_feature_that_fails_stops_no_other_and_is_told_until_it_succeeds() -> None:
    happened: list[str] = []
    a, b = Recorder("a", happened), Recorder("b", happened)
    features = features_of(a, b)
    a.fails = True
    features.on_cycle(status())
    assert happened == ["a sees", "b sees"]
    assert list(features.problems()) == ["a: internal error (ZeroDivisionError); see the log"]
    a.fails = False
    features.on_cycle(status())
    assert list(features.problems()) == []


def test_a_feature_that_cannot_end_does_not_keep_the_others_from_it() -> None:
    happened: list[str] = []
    a, b = Recorder("a", happened), Recorder("b", happened)
    b.fails = True
    features_of(a, b).close()
    assert happened == ["b ends", "a ends"]


def test_all_are_prepared_before_any_takes_up() -> None:
    happened: list[str] = []
    commit = features_of(Feature(), Recorder("a", happened), Recorder("b", happened)).prepare(ANY)
    assert happened == ["a prepares", "b prepares"]
    commit()
    assert happened[2:] == ["a takes up", "b takes up"]


def test_what_was_prepared_is_abandoned_if_another_refuses() -> None:
    happened: list[str] = []
    features = features_of(Recorder("a", happened), Recorder("b", happened, refuses=True), Recorder("c", happened))
    with pytest.raises(ConfigError):
        features.prepare(ANY)
    assert happened == ["a prepares", "a abandons"]


# -- one by one -------------------------------------------------------------------------------------------------------


def test_dropped_events_are_told_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    triggers = Triggers(lambda: None, capacity=1)
    feature = WebhookQueue(triggers)
    triggers.put("add", "0" * 40)
    assert list(feature.problems()) == []
    triggers.put("add", "1" * 40)
    later = triggers.dropped_at + upkeep.REMEMBER_S
    monkeypatch.setattr(upkeep.time, "monotonic", lambda: later - 1.0)
    assert ["webhook: more events" in problem for problem in feature.problems()] == [True]
    monkeypatch.setattr(upkeep.time, "monotonic", lambda: later)
    assert list(feature.problems()) == []


@pytest.mark.parametrize(
    ("pending", "failed_s_ago", "told"), [(2, 1e6, True), (0, 10.0, True), (0, crossseed.REMEMBER_S + 1.0, False)]
)
def test_a_cross_seed_that_is_away_is_told_while_somebody_waits_or_it_is_news(
    monkeypatch: pytest.MonkeyPatch, pending: int, failed_s_ago: float, told: bool
) -> None:
    monkeypatch.setattr(crossseed.time, "monotonic", lambda: 1e7)
    forwarder = CrossSeedForwarder(cast("Any", None), CrossSeedSettings(url=None, api_key=None, timeout_s=1.0))
    forwarder.failed_at = 1e7 - failed_s_ago
    monkeypatch.setattr(forwarder, "counts", lambda: CrossSeedCounts(pending=pending, problem="no connection"))
    found = list(forwarder.problems())
    assert found == ([f"cross-seed: no connection ({pending} completions wait)"] if told else [])


def test_a_history_that_cannot_be_kept_is_told_until_it_is_kept(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    history = History(store)

    def after_cycle(at: float) -> list[str]:
        history.on_cycle(status(at=at, trackers=(row("a", total_bytes=at),)))
        return list(history.problems())

    assert after_cycle(1000.0) == []
    (tmp_path / "store.db").unlink(missing_ok=True)
    (tmp_path / "store.db").mkdir()
    assert after_cycle(1030.0)[0].startswith("the history of rates is not kept")
    (tmp_path / "store.db").rmdir()
    assert after_cycle(1090.0) == []
    history.close()
    store.close()


def dry_run_file(path: Path, *changes: Change) -> DryRunFile:
    plan = make_plan(changes, max_calls=100)
    decision = Decision(plan=plan, trackers=(), parents=(), effective={}, idle_limits={}, reasons={}, clean=())
    settings = cast("Settings", type("S", (), {"dry_run_path": str(path)}))
    return DryRunFile(settings, lambda: decision)


def test_a_dry_run_writes_its_limits_and_says_if_it_cannot(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "dry.json"
    feature = dry_run_file(path, Change("a", 1, 5000, 1, ""), Change("b", 1, UNLIMITED, 1, ""))
    path.mkdir(parents=True)
    feature.on_cycle(status(dry_run=True))
    assert "global.dry_run_store_path" in next(iter(feature.problems()))
    path.rmdir()
    feature.on_cycle(status(dry_run=True))
    assert list(feature.problems()) == []
    assert json.loads(path.read_text()) == {"a": 5000, "b": -1}


def test_nothing_is_written_beside_a_dry_run(tmp_path: Path) -> None:
    dry_run_file(tmp_path / "dry.json", Change("a", 1, 5000, 1, "")).on_cycle(status())
    assert list(tmp_path.iterdir()) == []


def test_a_status_that_cannot_be_published_is_told_until_it_can(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.mkdir()
    feature = StatusFile(path)
    feature.on_cycle(status())
    assert "sees old figures" in next(iter(feature.problems()))
    path.rmdir()
    feature.on_cycle(status())
    assert list(feature.problems()) == []
