"""Windows of schedules, as people write them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from qguardarr.core.model import UNLIMITED
from qguardarr.core.timed import Quota, Window
from qguardarr.errors import ConfigError
from tests.support.configs import loads
from tests.support.guard_loop import MB

FILE = """\
trackers:
  - id: a
    pattern: a
    max_upload_speed: 10 MB/s
    schedule:
      - {window}
  - {{id: rest, pattern: '.*', max_upload_speed: -1}}
"""


def schedule(window: str) -> tuple[Window, ...]:
    return loads(FILE.format(window=window), environment={}).policy().classes[0].schedule


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('{days: mon-fri, from: "08:00", to: "18:00", cap: 2 MB/s}', {"days": 31, "start": 480, "end": 1080}),
        ('{from: "22:30", to: "6:00", cap: 2 MB/s}', {"start": 1350, "end": 360}),
        ("{days: 'sat, sun', cap: 2 MB/s}", {"days": 96}),
        ("{days: [Saturday, sun], cap: 2 MB/s}", {"days": 96}),
        ("{days: fri-mon, cap: 2 MB/s}", {"days": 0b111_0001}),
        ("{days: daily, cap: 2 MB/s}", {}),
        ('{from: "12:00", cap: 2 MB/s}', {"start": 720}),
        ('{to: "00:00", cap: 2 MB/s}', None),
        ('{from: "12:00", to: "00:00", cap: 2 MB/s}', {"start": 720, "end": 1440}),
        ('{from: "24:00", to: "01:00", cap: 2 MB/s}', {"start": 0, "end": 60}),
    ],
)
def test_what_windows_mean(written: str, meant: dict[str, Any] | None) -> None:
    if meant is None:
        with pytest.raises(ConfigError, match="begins and ends at the same time"):
            schedule(written)
        return
    assert schedule(written) == (Window(**{"cap": 2 * MB, **meant}),)


def test_a_window_may_change_the_priority_alone_and_lift_a_cap() -> None:
    assert schedule("{days: sun, priority: 9}") == (Window(days=64, priority=9),)
    assert schedule("{cap: unlimited}") == (Window(cap=UNLIMITED),)
    assert schedule("{rate: 0}") == (Window(rate=0),)
    assert schedule("{cap: 2 MB/s, rate: 1 MB/s}") == (Window(cap=2 * MB, rate=MB),)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{days: mon-fri}", "trackers[0].schedule[0]: changes nothing. hint: add a cap"),
        ("{days: monday-fun, cap: 2 MB/s}", "schedule[0].days: is not a set of days. hint: write 'daily'"),
        ("{days: monkey, cap: 2 MB/s}", "schedule[0].days: is not a set of days"),
        ("{days: mon-fri-sat, cap: 2 MB/s}", "schedule[0].days: is not a set of days"),
        ("{days: 5, cap: 2 MB/s}", "schedule[0].days: is not a set of days"),
        (
            "{from: 18:00, cap: 2 MB/s}",
            'schedule[0].from: is not a time of day. hint: write it in quotes, from "00:00"',
        ),
        ('{from: "25:00", cap: 2 MB/s}', "schedule[0].from: is not a time of day"),
        ('{to: "24:01", cap: 2 MB/s}', "schedule[0].to: is not a time of day"),
        ('{to: "8", cap: 2 MB/s}', "schedule[0].to: is not a time of day"),
        ("{cap: 2}", "schedule[0].cap: 2 has no unit"),
        ("{rate: unlimited}", "schedule[0].rate: "),
        (
            "{rate: 3 MB/s, cap: 2 MB/s}",
            "schedule[0].rate: is more than the cap in this window (2 MB/s). hint: lower it",
        ),
        ("{rate: 11 MB/s}", "schedule[0].rate: is more than max_upload_speed (10 MB/s)"),
        ("{until: 3, cap: 2 MB/s}", "schedule[0].until: is not a setting"),
    ],
)
def test_faults_say_where_and_what_to_do(written: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        schedule(written)
    assert words in str(caught.value)
    assert ":6: " in str(caught.value)


def test_the_line_has_a_schedule_of_its_own() -> None:
    text = "global: {uplink_schedule: [{to: '07:00', cap: 80 Mbit/s}], timezone: Europe/Berlin}\n"
    policy = loads(text + FILE.format(window="{cap: 2 MB/s}"), environment={}).policy()
    assert policy.line.schedule == (Window(end=420, cap=10 * MB),)
    assert policy.timezone == "Europe/Berlin"


def test_it_may_come_from_a_variable() -> None:
    variables = {"QGUARDARR__GLOBAL__UPLINK_SCHEDULE": '[{"from": "22:00", "to": "07:00", "cap": "80 Mbit/s"}]'}
    policy = loads(FILE.format(window="{cap: 2 MB/s}"), environment=variables).policy()
    assert policy.uplink_schedule == (Window(start=1320, end=420, cap=10 * MB),)


def test_an_unknown_time_zone_is_a_fault() -> None:
    with pytest.raises(ConfigError, match=r"no time zone that this machine knows.*Europe/Berlin"):
        loads("global: {timezone: Mars/Olympus}\n" + FILE.format(window="{cap: 2 MB/s}"), environment={})


def test_the_configuration_that_is_shown_says_it_as_people_do() -> None:
    config = loads(FILE.format(window='{days: mon-fri, from: "08:00", to: "18:00", cap: 2 MB/s}'), environment={})
    shown = config.model_dump(by_alias=True)["trackers"][0]["schedule"]
    assert shown == (
        {"days": "mon-fri", "from": "08:00", "to": "18:00", "cap": 2 * MB, "rate": None, "priority": None},
    )
    del shown[0]["rate"], shown[0]["priority"]
    again = yaml.safe_dump(shown[0], default_flow_style=True).strip()
    assert schedule(again) == config.policy().classes[0].schedule


QUOTA = "trackers: [{{id: a, pattern: '.*', max_upload_speed: 10 MB/s, quota: {quota}}}]\n"


def quota(written: str) -> Quota | None:
    return loads(QUOTA.format(quota=written), environment={}).policy().classes[0].quota


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{bytes: 500 GB, per: month}", {"bytes": 500 * 10**9, "per": "month", "starts": 1, "then": 10_000}),
        ("{bytes: 1.5 TiB, per: month, starts: 15, pace: true}", {"bytes": 3 * 2**39, "starts": 15, "pace": True}),
        ("{bytes: 1 GB, per: week, starts: Wed}", {"per": "week", "starts": 2 * 1440}),
        ('{bytes: 1 GB, per: day, starts: "06:30"}', {"per": "day", "starts": 390}),
        ("{bytes: 1 GB, per: hour, then: 20 kB/s}", {"per": "hour", "starts": 0, "then": 20_000}),
        ("{bytes: 1 GB, per: 10m, then: stop-raising}", {"per": "every", "length_s": 600, "then": None}),
        ("{bytes: 1 GB, per: 30d, then: unlimited}", {"length_s": 30 * 86_400, "then": UNLIMITED}),
        ('{bytes: 1 GB, per: 1h, starts: "2026-11-30T18:00+01:00"}', {"starts": 1796058000}),
    ],
)
def test_what_quotas_mean(written: str, meant: dict[str, Any]) -> None:
    found = quota(written)
    assert found is not None
    assert {key: getattr(found, key) for key in meant} == meant


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{bytes: 500, per: month}", "quota.bytes: is not an amount of bytes. hint: write '500 GB'"),
        ("{bytes: 500 Gbit, per: month}", "quota.bytes: is not an amount of bytes"),
        ("{bytes: 0 GB, per: month}", "quota.bytes: must be from 1 B to 1000 PB"),
        ("{bytes: 1 GB}", "quota.per: is missing"),
        ("{bytes: 1 GB, per: year}", "quota.per: is not a period. hint: write hour, day, week, month"),
        ("{bytes: 1 GB, per: 0m}", "quota.per: is not a period"),
        ("{bytes: 1 GB, per: month, starts: 32}", "quota: 'starts' does not fit 'per'. hint: write a day of the month"),
        ("{bytes: 1 GB, per: week, starts: 3}", "hint: write a day, such as mon"),
        ("{bytes: 1 GB, per: day, starts: 3}", "hint: write a time of day in quotes"),
        ("{bytes: 1 GB, per: hour, starts: 3}", "hint: remove it"),
        ("{bytes: 1 GB, per: 10m, starts: soon}", "hint: write a local time in quotes"),
        ("{bytes: 1 GB, per: day, then: 5}", "quota.then: 5 has no unit"),
        ("{bytes: 1 GB, per: day, then: stop}", "quota.then: 'stop' is not known here. hint: write a speed such as"),
        ("{bytes: 1 GB, per: day, then: null}", "quota.then: is not known here. hint: write a speed such as"),
        ("{bytes: 1 GB, per: month, starts: true}", "quota.starts: is no start of a period. hint: put a date"),
        ("{bytes: 1 GB, per: 30d, starts: 2026-11-30}", "quota.starts: is no start of a period. hint: put a date"),
        ("{bytes: 1 GB, per: week, starts: month}", "hint: write a day, such as mon"),
    ],
)
def test_faults_of_quotas_say_where_and_what_to_do(written: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        quota(written)
    assert words in str(caught.value)


def test_a_quota_that_is_shown_reads_as_the_same() -> None:
    config = loads(QUOTA.format(quota="{bytes: 2 GiB, per: 90m, pace: true, then: stop-raising}"), environment={})
    shown = config.model_dump(by_alias=True)["trackers"][0]["quota"]
    assert shown == {"bytes": "2147483648 B", "per": "90m", "starts": None, "pace": True, "then": "stop-raising"}
    del shown["starts"]
    assert quota(yaml.safe_dump(shown, default_flow_style=True).strip()) == config.policy().classes[0].quota
