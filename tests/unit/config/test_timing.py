"""Windows of schedules, as people write them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from qguardarr.core.model import UNLIMITED
from qguardarr.core.timed import Window
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
