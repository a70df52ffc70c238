"""Metrics for Prometheus: the newest `Status`, rendered at each scrape.

Only durations of cycles and webhooks, which no `Status` holds, are counted here. The one label of a tracker is the id
of its rule.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, get_args, get_type_hints

import prometheus_client
from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from qguardarr import __version__
from qguardarr.adapters.metric_lines import LINES, PARENT_LINES, TRACKER_LINES, Line
from qguardarr.engine.health import Health, health
from qguardarr.engine.instance_row import InstanceRow
from qguardarr.engine.status import ParentRow, State, Status, TrackerRow
from qguardarr.errors import QguardarrError
from qguardarr.features.feature import Feature

MOST_TRACKERS: Final = 200
"""Trackers with series of their own; the rest is summed under `OTHER`. A tracker has 20 series."""
OTHER: Final = "other"

CYCLE_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
WEBHOOK_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)

_LONGEST_VERSION: Final = 40
_BREAKER_STATES: Final = ("closed", "open", "half-open")
_HEALTH: Final[tuple[str, ...]] = get_args(get_type_hints(Health)["status"])

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call] # one series more for each histogram, for nothing


class Metrics(Feature):
    """Render the current status and the observed durations. Usable from any thread."""

    name = "metrics"

    def __init__(self, look: Callable[[], Status | None], *, clock: Callable[[], float] = time.time) -> None:
        """Register all metrics. `look` returns the newest status, or None before the first; `clock`: Unix time, s."""
        self._registry = CollectorRegistry()
        self._registry.register(_StatusCollector(look, clock))
        self._cycle = Histogram(
            "qguardarr_cycle_duration_seconds",
            "How long control cycles took.",
            buckets=CYCLE_BUCKETS_S,
            registry=self._registry,
        )
        self._webhook = Histogram(
            "qguardarr_webhook_duration_seconds",
            "How long the webhook took to answer.",
            buckets=WEBHOOK_BUCKETS_S,
            registry=self._registry,
        )
        ProcessCollector(registry=self._registry)

    def on_cycle(self, status: Status) -> None:
        self._cycle.observe(status.cycle_s)

    def observe_webhook(self, seconds: float) -> None:
        """Count a request to the webhook that was answered within this time."""
        self._webhook.observe(seconds)

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """Return body and content type: OpenMetrics if the header `Accept` names it, else Prometheus' text format."""
        # The library's own choice raises for a malformed version, and strangers write that header.
        if accept is not None and "application/openmetrics-text" in accept.lower():
            # All names are plain: this way of escaping changes nothing, and the default takes three times as long.
            body: bytes = openmetrics.generate_latest(self._registry, openmetrics.ALLOWUTF8)  # type: ignore[no-untyped-call]
            return body, openmetrics.CONTENT_TYPE_LATEST
        return exposition.generate_latest(self._registry), exposition.CONTENT_TYPE_PLAIN_0_0_4


class _StatusCollector(Collector):
    """Read the newest status at scrape time, so that no number is kept twice."""

    def __init__(self, look: Callable[[], Status | None], clock: Callable[[], float]) -> None:
        self._look = look
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        yield InfoMetricFamily("qguardarr_build", "Version of Qguardarr.", value={"version": __version__})
        status = self._look()
        if status is not None:
            yield from _overall(status, self._clock())
            yield from _by_tracker(status.trackers)
            yield from _by_group(status.parents)
            if len(status.instances) > 1:
                yield from _by_instance(status.instances)


def _overall(status: Status, now: float) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "qguardarr_qbittorrent",
        "Versions of qBittorrent and of its Web API, empty while unknown.",
        value={"version": _label(status.qbittorrent_version), "webapi_version": _label(status.webapi_version)},
    )
    yield _one_of("health", "status", "1 for whether caps are held.", _HEALTH, health(status, now).status)
    yield _one_of("state", "state", "1 for what the guard is doing.", State, status.state)
    yield _one_of(
        "breaker_state",
        "state",
        "1 for the state of the circuit breaker; open: qBittorrent is left alone for a while.",
        _BREAKER_STATES,
        status.breaker,
    )
    yield _one_of("problem", "kind", "1 for the error that keeps caps from being held.", _KINDS, status.problem_kind)
    yield GaugeMetricFamily(
        "qguardarr_last_cycle_age_seconds", "Time since the last cycle ended.", value=max(0.0, now - status.at)
    )
    for line in LINES:
        family = _family(line)
        if (value := line.read(status)) is not None:
            family.add_metric((), value)
        yield family


def _by_tracker(rows: Sequence[TrackerRow]) -> Iterator[Metric]:
    single, rest = list(rows), []
    if len(rows) > MOST_TRACKERS:
        single = [row for row in rows[:MOST_TRACKERS] if row.id != OTHER]
        rest = [row for row in rows[:MOST_TRACKERS] if row.id == OTHER] + list(rows[MOST_TRACKERS:])
    for line in TRACKER_LINES:
        family = _family(line, "tracker")
        for row in single:
            if (value := line.read(row)) is not None:
                family.add_metric((row.id,), value)
        if rest and line.summed:
            family.add_metric((OTHER,), sum(value for row in rest if (value := line.read(row)) is not None))
        yield family


def _by_group(rows: Sequence[ParentRow]) -> Iterator[Metric]:
    for line in PARENT_LINES:
        family = _family(line, "group")
        for row in rows[-MOST_TRACKERS:]:  # the line is the last
            if (value := line.read(row)) is not None:
                family.add_metric((row.id,), value)
        yield family


def _by_instance(rows: Sequence[InstanceRow]) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "qguardarr_instance_up", "1 if one of several qBittorrents answers, 0 if it is away.", labels=("instance",)
    )
    torrents = GaugeMetricFamily(
        "qguardarr_instance_torrents", "Torrents of one of several qBittorrents.", labels=("instance",)
    )
    limited = GaugeMetricFamily(
        "qguardarr_instance_limited_torrents", "Those of them whose limit is ours now.", labels=("instance",)
    )
    for row in rows:
        up.add_metric((row.name,), row.state == "read")
        torrents.add_metric((row.name,), row.torrents)
        limited.add_metric((row.name,), row.limited)
    yield from (up, torrents, limited)


def _family(line: Line[Any], *labels: str) -> GaugeMetricFamily | CounterMetricFamily:
    family = CounterMetricFamily if line.name.endswith("_total") else GaugeMetricFamily
    return family(f"qguardarr_{line.name}", line.help, labels=labels)


def _one_of(name: str, label: str, text: str, known: Iterable[str], now: str) -> Metric:
    """Return a series for each known state: 1 for `now`, 0 for the others."""
    family = GaugeMetricFamily(f"qguardarr_{name}", text, labels=(label,))
    for state in known:
        family.add_metric((state,), state == now)
    return family


def _label(value: str | None) -> str:
    """Bound a text that comes from qBittorrent."""
    return (value or "")[:_LONGEST_VERSION]


def _kinds(error: type[QguardarrError]) -> Iterator[str]:
    yield error.__name__
    for kind in error.__subclasses__():
        yield from _kinds(kind)


_KINDS: Final = tuple(_kinds(QguardarrError))
