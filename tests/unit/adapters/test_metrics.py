"""The metrics: numbers of the newest status, in both formats, with bounded labels and no secrets."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import threading

import msgspec
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from qguardarr import __version__
from qguardarr.adapters.metric_lines import LINES, TRACKER_LINES
from qguardarr.adapters.metrics import MOST_TRACKERS, OTHER, WEBHOOK_BUCKETS_S, Metrics
from qguardarr.engine.status import CrossSeedCounts, QuotaRow, Status, TrackerRow, WebhookCounts
from tests.support.samples import MB, parent_row, row, status

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
NOW = 2003.5

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def metrics_of(picture: Status | None) -> Metrics:
    return Metrics(lambda: picture, clock=lambda: NOW)


def families(metrics: Metrics, accept: str | None = None) -> list[Metric]:
    body, kind = metrics.render(accept)
    parse = parse_openmetrics if kind.startswith("application/openmetrics-text") else parse_text
    return list(parse(body.decode()))


def samples(metrics: Metrics, accept: str | None = None) -> Samples:
    found: Samples = {}
    for family in families(metrics, accept):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} is there twice: Prometheus would refuse all"
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"qguardarr_{name}", frozenset(labels.items())]


def has(found: Samples, name: str, **labels: str) -> bool:
    return (f"qguardarr_{name}", frozenset(labels.items())) in found


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("tracker_cap_bytes_per_second", "cap"),
        ("tracker_configured_cap_bytes_per_second", "configured"),
        ("tracker_effective_cap_bytes_per_second", "effective"),
        ("tracker_borrowed_bytes_per_second", "borrowed"),
        ("tracker_guaranteed_bytes_per_second", "guaranteed"),
        ("tracker_lent_bytes_per_second", "lent"),
        ("tracker_upload_10s_bytes_per_second", "rate_10s"),
        ("tracker_upload_60s_bytes_per_second", "rate_60s"),
        ("tracker_demand_bytes_per_second", "demand"),
        ("tracker_utilisation_ratio", "utilisation"),
        ("tracker_debt_bytes", "debt_bytes"),
        ("tracker_uploaded_bytes_total", "total_bytes"),
        ("tracker_usage_bytes_total", "usage_bytes"),
        ("tracker_over_cap_seconds_total", "over_cap_s"),
        ("tracker_torrents", "torrents"),
        ("tracker_active_torrents", "active"),
        ("tracker_hungry_torrents", "hungry"),
    ],
)
def test_a_number_of_a_tracker_is_exported(name: str, field: str) -> None:
    found = samples(metrics_of(status(trackers=(row("a", usage_bytes=5), row("b", **{field: 1234})))))
    assert value(found, name, tracker="b") == 1234
    assert value(found, name, tracker="a") != 1234


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("group_cap_bytes_per_second", "cap"),
        ("group_effective_cap_bytes_per_second", "effective"),
        ("group_guaranteed_bytes_per_second", "guaranteed"),
        ("group_borrowed_bytes_per_second", "borrowed"),
        ("group_lent_bytes_per_second", "lent"),
        ("group_upload_10s_bytes_per_second", "rate_10s"),
        ("group_upload_60s_bytes_per_second", "rate_60s"),
        ("group_demand_bytes_per_second", "demand"),
        ("group_utilisation_ratio", "utilisation"),
        ("group_debt_bytes", "debt_bytes"),
        ("group_uploaded_bytes_total", "total_bytes"),
        ("group_usage_bytes_total", "usage_bytes"),
        ("group_over_cap_seconds_total", "over_cap_s"),
    ],
)
def test_a_number_of_a_parent_and_of_the_line_is_exported(name: str, field: str) -> None:
    found = samples(metrics_of(status(parents=(parent_row("p", usage_bytes=5), parent_row("", **{field: 1234})))))
    assert value(found, name, group="") == 1234
    assert value(found, name, group="p") != 1234


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("torrents", {"torrents": 1234}),
        ("limited_torrents", {"limited": 1234}),
        ("planned_changes", {"planned": 1234}),
        ("deferred_changes", {"deferred": 1234}),
        ("limit_calls_total", {"written_calls": 1234}),
        ("limits_changed_total", {"written_limits": 1234}),
        ("limits_set_by_hand_total", {"set_by_hand": 1234}),
        ("qbittorrent_reads_total", {"reads": 1234}),
        ("qbittorrent_writes_total", {"writes": 1234}),
        ("qbittorrent_logins_total", {"logins": 1234}),
        ("qbittorrent_received_bytes_total", {"bytes_received": 1234}),
        ("cycles_total", {"cycle": 1234}),
        ("failed_cycles_total", {"failed_cycles": 1234}),
        ("last_cycle_timestamp_seconds", {"at": 1234.0}),
        ("last_cycle_age_seconds", {"at": NOW - 1234}),
        ("cycle_interval_seconds", {"interval_s": 1234.0}),
        ("webhook_events_total", {"webhook": WebhookCounts(received=1234)}),
        ("webhook_coalesced_total", {"webhook": WebhookCounts(coalesced=1234)}),
        ("webhook_dropped_total", {"webhook": WebhookCounts(dropped=1234)}),
        ("webhook_rejected_total", {"webhook": WebhookCounts(rejected=1234)}),
        ("webhook_queued", {"webhook": WebhookCounts(queued=1234)}),
        ("webhook_last_event_timestamp_seconds", {"webhook": WebhookCounts(last_at=1234.0)}),
        ("cross_seed_pending", {"cross_seed": CrossSeedCounts(pending=1234)}),
        ("cross_seed_forwarded_total", {"cross_seed": CrossSeedCounts(forwarded=1234)}),
        ("cross_seed_refused_total", {"cross_seed": CrossSeedCounts(refused=1234)}),
        ("cross_seed_expired_total", {"cross_seed": CrossSeedCounts(expired=1234)}),
        ("cross_seed_dropped_total", {"cross_seed": CrossSeedCounts(dropped=1234)}),
    ],
)
def test_a_number_of_the_status_is_exported(name: str, changes: dict[str, object]) -> None:
    assert value(samples(metrics_of(status(**changes))), name) == 1234


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("config_last_reload_successful", {"reload_error": "faulty"}, {}),
        ("overrides_active", {}, {"trackers": (row("a"), row("b", override_until=9999.0))}),
        ("troubles", {}, {"troubles": ("a full queue",)}),
        ("cross_seed_enabled", {}, {"cross_seed": CrossSeedCounts(enabled=True)}),
        ("cross_seed_failing", {}, {"cross_seed": CrossSeedCounts(problem="away")}),
    ],
)
def test_a_flag_is_0_or_1(name: str, before: dict[str, object], after: dict[str, object]) -> None:
    assert value(samples(metrics_of(status(**before))), name) == 0
    assert value(samples(metrics_of(status(**after))), name) == 1


def test_an_override_is_exported_for_its_tracker() -> None:
    found = samples(metrics_of(status(trackers=(row("a"), row("b", override_until=9999.0)))))
    assert value(found, "tracker_override_active", tracker="a") == 0
    assert value(found, "tracker_override_active", tracker="b") == 1


def test_all_of_the_table_is_exported() -> None:
    quota = QuotaRow(bytes=9, used=4, per="day", length_s=86400, start=0.0, end=86400.0, pace=True, forecast=None)
    trackers = (row("a", quota=quota, usage_bytes=5), row("b"))
    found = samples(metrics_of(status(webhook=WebhookCounts(last_at=1.0), trackers=trackers)))
    assert value(found, "tracker_quota_used_bytes", tracker="a") == 4
    assert not has(found, "tracker_quota_used_bytes", tracker="b")
    for line in LINES:
        assert has(found, line.name)
    for tracker_line in TRACKER_LINES:
        assert has(found, tracker_line.name, tracker="a")


@pytest.mark.parametrize("field", ["cap", "configured", "effective", "demand"])
def test_no_bound_is_infinite(field: str) -> None:
    found = samples(metrics_of(status(trackers=(row("a", **{field: None}),))))
    name = {"configured": "configured_cap", "effective": "effective_cap"}.get(field, field)
    assert value(found, f"tracker_{name}_bytes_per_second", tracker="a") == math.inf


def test_a_missing_number_is_absent() -> None:
    found = samples(metrics_of(status(trackers=(row("a", utilisation=None), row("b")))))
    assert not has(found, "tracker_utilisation_ratio", tracker="a")
    assert has(found, "tracker_utilisation_ratio", tracker="b")
    assert not has(found, "webhook_last_event_timestamp_seconds")


@pytest.mark.parametrize(
    ("name", "label", "now", "changes"),
    [
        ("state", "state", "holding", {}),
        ("state", "state", "failing", {"state": "failing"}),
        ("health", "status", "healthy", {}),
        ("health", "status", "degraded", {"troubles": ("a full queue",)}),
        ("health", "status", "unhealthy", {"at": NOW - 3600}),
        ("breaker_state", "state", "half-open", {"breaker": "half-open"}),
        ("problem", "kind", "UnsafePlan", {"problem_kind": "UnsafePlan"}),
        ("problem", "kind", "Unreachable", {"problem_kind": "Unreachable"}),
    ],
)
def test_one_state_of_several(name: str, label: str, now: str, changes: dict[str, object]) -> None:
    found = samples(metrics_of(status(**changes)))
    states = {dict(labels)[label]: number for (known, labels), number in found.items() if known == f"qguardarr_{name}"}
    assert len(states) > 2
    assert [state for state, number in states.items() if number == 1] == [now]
    assert set(states.values()) == {0, 1}


def test_without_a_problem_all_kinds_are_0() -> None:
    found = samples(metrics_of(status()))
    assert not any(number for (name, _), number in found.items() if name == "qguardarr_problem")


def test_the_age_is_never_negative() -> None:
    assert value(samples(metrics_of(status(at=NOW + 60))), "last_cycle_age_seconds") == 0


def test_versions() -> None:
    found = samples(metrics_of(status()))
    assert value(found, "build_info", version=__version__) == 1
    assert value(found, "qbittorrent_info", version="v5.1.0", webapi_version="2.11.4") == 1
    unknown = samples(metrics_of(status(qbittorrent_version=None, webapi_version="9" * 1000)))
    assert value(unknown, "qbittorrent_info", version="", webapi_version="9" * 40) == 1


def test_before_the_first_status_there_are_version_process_and_histograms() -> None:
    names = {name for name, _ in samples(metrics_of(None))}
    assert {
        "qguardarr_build_info",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
    } < (names)
    assert "qguardarr_torrents" not in names


def test_the_newest_status_is_exported() -> None:
    pictures = iter([status(torrents=1), status(torrents=2)])
    metrics = Metrics(lambda: next(pictures))
    assert [value(samples(metrics), "torrents") for _ in range(2)] == [1, 2]


# -- what is observed -------------------------------------------------------------------------------------------------


def test_durations_fall_into_buckets() -> None:
    metrics = metrics_of(status())
    for seconds in (0.0004, 0.0006, 0.0501, 3.0):
        metrics.observe_webhook(seconds)
    metrics.on_cycle(status(cycle_s=0.3))
    found = samples(metrics)
    bounds = [f"{bound:g}" if bound >= 0.001 else "0.0005" for bound in WEBHOOK_BUCKETS_S] + ["+Inf"]
    counts = [value(found, "webhook_duration_seconds_bucket", le=bound) for bound in bounds]
    assert counts == [1, 2, 2, 2, 2, 2, 2, 3, 4]
    assert value(found, "webhook_duration_seconds_sum") == pytest.approx(3.0511)
    assert value(found, "cycle_duration_seconds_count") == 1
    assert value(found, "cycle_duration_seconds_bucket", le="0.5") == 1
    assert value(found, "cycle_duration_seconds_bucket", le="0.25") == 0


def test_two_registries_are_independent() -> None:
    first, second = metrics_of(status()), metrics_of(status())
    first.on_cycle(status(cycle_s=1.0))
    assert value(samples(second), "cycle_duration_seconds_count") == 0


def test_threads_may_observe_while_others_read() -> None:
    metrics, rounds = metrics_of(status()), 500
    threads = [
        threading.Thread(target=lambda: [metrics.observe_webhook(0.001) for _ in range(rounds)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        samples(metrics)
    assert value(samples(metrics), "webhook_duration_seconds_count") == 4 * rounds


# -- labels -----------------------------------------------------------------------------------------------------------


def many(count: int, **changes: object) -> tuple[TrackerRow, ...]:
    return tuple(row(f"t{n}", **changes) for n in range(count))


def trackers_in(found: Samples, name: str) -> set[str]:
    return {dict(labels)["tracker"] for known, labels in found if known == f"qguardarr_{name}"}


def test_the_first_trackers_have_series_of_their_own() -> None:
    found = samples(metrics_of(status(trackers=many(MOST_TRACKERS))))
    assert len(trackers_in(found, "tracker_torrents")) == MOST_TRACKERS
    assert OTHER not in trackers_in(found, "tracker_torrents")


def test_further_trackers_are_summed() -> None:
    rows = (*many(MOST_TRACKERS), row("x", torrents=3, total_bytes=5.0), row("y", torrents=4, cap=None))
    found = samples(metrics_of(status(trackers=rows)))
    assert trackers_in(found, "tracker_torrents") == {f"t{n}" for n in range(MOST_TRACKERS)} | {OTHER}
    assert value(found, "tracker_torrents", tracker=OTHER) == 7
    assert value(found, "tracker_uploaded_bytes_total", tracker=OTHER) == 5e9 + 5
    assert value(found, "tracker_cap_bytes_per_second", tracker=OTHER) == math.inf
    assert value(found, "tracker_effective_cap_bytes_per_second", tracker=OTHER) == 2 * MB
    assert not has(found, "tracker_utilisation_ratio", tracker=OTHER)


def test_a_rule_named_other_is_part_of_the_sum() -> None:
    alone = samples(metrics_of(status(trackers=(row(OTHER, torrents=5),))))
    assert value(alone, "tracker_torrents", tracker=OTHER) == 5
    assert has(alone, "tracker_utilisation_ratio", tracker=OTHER)
    rows = (row(OTHER, torrents=5), *many(MOST_TRACKERS, torrents=1))
    found = samples(metrics_of(status(trackers=rows)))
    assert value(found, "tracker_torrents", tracker=OTHER) == 6


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
@pytest.mark.parametrize("id_", ['quo"te', "back\\slash", "line\nbreak", "größe \N{PILE OF POO}", " ", "{}=,"])
def test_ids_are_escaped(id_: str, accept: str | None) -> None:
    found = samples(metrics_of(status(trackers=(row(id_, torrents=77),))), accept)
    assert value(found, "tracker_torrents", tracker=id_) == 77


def test_no_text_but_ids_versions_and_states_is_shown() -> None:
    secret = "https://tracker.example/0123456789abcdef0123456789abcdef/announce"
    texts = [
        field.name
        for field in msgspec.structs.fields(Status)
        if field.type is str and field.name not in ("version", "state", "breaker", "problem_kind")
    ]
    picture = status(
        **dict.fromkeys(texts, secret),
        troubles=(secret,),
        notes=(secret,),
        trackers=(row("a", name=secret),),
        cross_seed=CrossSeedCounts(problem=secret),
    )
    assert "problem" in texts
    assert "qbittorrent_url" in texts
    assert msgspec.json.encode(picture).count(secret.encode()) == len(texts) + 4
    for accept in (None, OPENMETRICS):
        assert b"0123456789abcdef" not in metrics_of(picture).render(accept)[0]


# -- form -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "accept",
    [None, "", "*/*", "text/plain", "text/html", "text/plain; version=0.0.4", "application/json", ";;,,=", "\x00"],
)
def test_by_default_it_is_prometheus_text(accept: str | None) -> None:
    body, kind = metrics_of(status()).render(accept)
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert not body.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    "accept",
    [
        OPENMETRICS,
        "application/openmetrics-text",
        "Application/OpenMetrics-Text; version=none",
        "application/openmetrics-text; version=1.0.0; escaping=allow-utf-8",
    ],
)
def test_open_metrics_if_asked_for(accept: str) -> None:
    body, kind = metrics_of(status()).render(accept)
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body.endswith(b"# EOF\n")


def test_both_formats_have_the_same_numbers() -> None:
    metrics = metrics_of(status(trackers=(row("a"), row("b", cap=None, demand=None))))
    metrics.on_cycle(status(cycle_s=0.3))

    def lasting(found: Samples) -> Samples:
        return {key: number for key, number in found.items() if not key[0].startswith("process_")}

    assert lasting(samples(metrics)) == lasting(samples(metrics, OPENMETRICS))


def test_names_and_helps_follow_the_conventions() -> None:
    for family in families(metrics_of(status())):
        if not family.name.startswith("qguardarr_"):
            continue
        assert re.fullmatch(r"qguardarr_[a-z0-9_]+", family.name)
        assert not re.search(r"_(ms|kb|mb|bytes_s|s|kib|percent)(_|$)", family.name), family.name
        assert family.documentation[0].isupper() or family.documentation[0].isdigit(), family.name
        assert family.documentation.endswith("."), family.name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples), family.name
        elif family.type == "gauge":
            assert not family.name.endswith("_total"), family.name
    boundless = row("a", cap=None, configured=None, effective=None, demand=None)
    for line in TRACKER_LINES:
        assert ("+Inf" in line.help) == (line.read(boundless) == math.inf), line.name


def test_no_creation_time_is_exported() -> None:
    metrics = metrics_of(status())
    metrics.on_cycle(status(cycle_s=1.0))
    for accept in (None, OPENMETRICS):
        assert b"_created" not in metrics.render(accept)[0]


def test_the_library_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, qguardarr.adapters.metrics; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {"pydantic", "yaml", "typer", "rich", "apprise", "requests", "twisted"} & set(done.stdout.split())
