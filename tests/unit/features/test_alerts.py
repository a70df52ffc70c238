"""Which notifications are due: conditions that last, come back, flap, or come all together. Time is passed in."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Any

import pytest

from qguardarr.alert_events import ALERT_EVENTS as EVENTS
from qguardarr.engine.feature_ports import Notification
from qguardarr.engine.status import Status
from qguardarr.features.alerts import COMES_BACK_S, ERRORS, ERRORS_WITHIN_S, QUIET_S, TOGETHER_S, AlertRules
from tests.support.samples import MB, parent_row, row, status

AFTER_S, REPEAT_S, STEP_S = 60.0, 6 * 3600.0, 2.0

LOST = {"state": "failing", "problem_kind": "Unreachable", "problem": "no connection to qBittorrent"}
FOREIGN: dict[str, Any] = {"foreign": "another program sets upload limits: 60 torrents to unlimited, 3 times."}
REFUSED = {"state": "failing", "problem_kind": "UnsafePlan", "problem": "the plan would lift 90 of 100 limits"}
OVER = {"trackers": (row("a", rate_60s=1.5 * MB),)}


class Watch:
    """Shows one status each two seconds, and keeps the notifications that are due."""

    def __init__(
        self, events: Collection[str] = EVENTS, after_s: float = AFTER_S, repeat_s: float = REPEAT_S, start: float = 7.0
    ) -> None:
        self.rules = AlertRules(events, after_s, repeat_s)
        self.now = start
        self.told: list[tuple[float, Notification]] = []
        self.show(status())

    def show(self, seen: Status) -> list[Notification]:
        due = self.rules.due(seen, self.now)
        self.told += [(self.now, notification) for notification in due]
        return due

    def last(self, seconds: float, **changes: Any) -> list[Notification]:
        """Show the same status for that long; return the notifications that came."""
        seen, end, due = status(**changes), self.now + seconds, []
        while self.now < end:
            self.now += STEP_S
            due += self.show(seen)
        return due


def heads(told: list[Notification]) -> list[tuple[str, str]]:
    return [(notification.event, notification.severity) for notification in told]


CONDITIONS = [
    pytest.param("over_cap", OVER, "warning", id="over_cap"),
    pytest.param("qbittorrent_lost", LOST, "failure", id="qbittorrent_lost"),
    pytest.param("breaker_open", LOST | {"breaker": "open"}, "failure", id="breaker_open"),
    pytest.param("plan_refused", REFUSED, "failure", id="plan_refused"),
]


@pytest.mark.parametrize(("event", "changes", "severity"), CONDITIONS)
def test_what_lasts_is_told_once_and_its_end_once(event: str, changes: dict[str, Any], severity: str) -> None:
    watch = Watch([event])
    assert watch.last(AFTER_S, **changes) == []
    assert heads(watch.last(3600, **changes)) == [(event, severity)]
    assert heads(watch.last(3600)) == [(event, "success")]
    assert watch.last(3600) == []


@pytest.mark.parametrize(("event", "changes", "severity"), CONDITIONS)
def test_what_does_not_last_is_not_told(event: str, changes: dict[str, Any], severity: str) -> None:
    watch = Watch([event])
    for _ in range(20):
        watch.last(AFTER_S - 10, **changes)
        watch.last(10)
    assert watch.told == []


@pytest.mark.parametrize(("event", "changes", "severity"), CONDITIONS)
def test_it_is_told_again_while_it_lasts(event: str, changes: dict[str, Any], severity: str) -> None:
    watch = Watch([event], repeat_s=1000)
    told = watch.last(3500, **changes)
    assert heads(told) == [(event, severity)] * 4
    assert ["still" in notification.title for notification in told] == [False, True, True, True]
    times = [at for at, _ in watch.told]
    assert all(1000 <= later - earlier <= 1002 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize(("event", "changes", "severity"), CONDITIONS)
def test_what_is_not_wanted_is_not_told(event: str, changes: dict[str, Any], severity: str) -> None:
    watch = Watch([other for other in EVENTS if other not in (event, "qbittorrent_lost")])
    assert watch.last(3600, **changes) == []


def test_without_delay_it_is_told_at_once() -> None:
    watch = Watch(after_s=0)
    assert heads(watch.show(status(**LOST))) == [("qbittorrent_lost", "failure")]
    assert watch.last(TOGETHER_S - STEP_S) == []
    assert heads(watch.last(2 * STEP_S)) == [("qbittorrent_lost", "success")]


def test_what_lasts_is_told_to_those_who_come_later() -> None:
    watch = Watch([event for event in EVENTS if event != "errors"], after_s=0)
    assert heads(watch.show(status(**LOST))) == [("qbittorrent_lost", "failure")]
    assert watch.last(3600, **LOST) == []
    watch.rules.notify_again()
    assert heads(watch.last(3600, **LOST)) == [("qbittorrent_lost", "failure")]


def test_a_short_gap_is_no_end() -> None:
    watch = Watch()
    watch.last(AFTER_S + 2, **LOST)
    for _ in range(20):
        watch.last(AFTER_S - 10)
        watch.last(10, **LOST)
    assert heads([told for _, told in watch.told]) == [("qbittorrent_lost", "failure")]
    assert "21 min" in watch.last(2 * AFTER_S)[0].body  # until it went away


@pytest.mark.parametrize("period_s", [QUIET_S + 5, 200.0, COMES_BACK_S / 2])
def test_a_condition_that_comes_and_goes_is_told_eight_times_an_hour_at_most(period_s: float) -> None:
    watch = Watch(["qbittorrent_lost"], after_s=0)
    for _ in range(int(3 * 3600 / (2 * period_s))):
        watch.last(period_s, **LOST)
        watch.last(period_s)
    assert 1 <= len(watch.told) <= 3 * 8
    severities = [notification.severity for _, notification in watch.told]
    assert severities[::2] == ["failure"] * len(severities[::2]), "its beginning and its end in turns"


def test_a_condition_that_comes_back_and_stays_is_told_by_and_by() -> None:
    watch = Watch(["qbittorrent_lost"], after_s=0)
    watch.last(100, **LOST)
    watch.last(100)
    assert [told.severity for _, told in watch.told] == ["failure", "success"]
    ended = watch.told[-1][0]
    assert heads(watch.last(2 * COMES_BACK_S, **LOST)) == [("qbittorrent_lost", "failure")]
    assert watch.told[-1][0] - ended == pytest.approx(COMES_BACK_S, abs=STEP_S)


def test_while_nobody_can_say_is_no_quiet_time() -> None:
    watch = Watch()
    watch.last(200, **OVER)
    for _ in range(5):
        watch.last(AFTER_S - 10)
        assert watch.last(100, state="failing") == []
    assert heads(watch.last(AFTER_S + 10)) == [("over_cap", "success")]


# -- one by one -------------------------------------------------------------------------------------------------------


def test_each_tracker_is_told_by_itself() -> None:
    watch = Watch()
    a, b = row("a", rate_60s=1.5 * MB), row("b", name="The B", rate_60s=1.234 * MB)
    assert "A is over its cap" in watch.last(70, trackers=(a, row("b")))[0].title
    told = watch.last(200, trackers=(a, b))
    assert [notification.event for notification in told] == ["over_cap"]
    assert "The B is over its cap" in told[0].title
    assert "1.23 MB/s" in told[0].body
    assert "may use 1 MB/s" in told[0].body
    assert "23% more" in told[0].body
    assert "60 s" in told[0].body
    told = watch.last(200, trackers=(a, row("b", name="The B")))
    assert [notification.title for notification in told] == ["Qguardarr: The B is within its cap again"]


@pytest.mark.parametrize(("times", "told"), [(1.0, 0), (1.019, 0), (1.021, 1)])
def test_two_percent_over_is_over(times: float, told: int) -> None:
    assert len(Watch().last(200, trackers=(row("a", rate_60s=times * MB),))) == told


def test_what_is_borrowed_may_be_used() -> None:
    assert Watch().last(200, trackers=(row("a", rate_60s=1.5 * MB, effective=1.5 * MB, borrowed=0.5 * MB),)) == []


def test_a_lowered_cap_is_not_exceeded_by_what_was_uploaded_before() -> None:
    watch = Watch(after_s=10)
    watch.last(100, trackers=(row("a", cap=10 * MB, effective=10.0 * MB, rate_60s=10.0 * MB),))
    for seconds in range(0, 60, 2):  # the rate over 60 s falls slowly
        watch.last(STEP_S, trackers=(row("a", rate_60s=(10 - 9 * seconds / 60) * MB),))
    assert watch.told == []
    assert len(watch.last(100, trackers=(row("a", rate_60s=10.0 * MB),))) == 1


@pytest.mark.parametrize("state", ["paused", "observing", "failing", "starting"])
def test_only_who_holds_caps_can_exceed_them(state: str) -> None:
    assert Watch(["over_cap"]).last(3600, state=state, **OVER) == []


def test_a_pause_is_no_end() -> None:
    watch = Watch()
    watch.last(200, **OVER)
    assert watch.last(3600, state="paused") == []
    assert watch.last(3600, state="paused", **OVER) == []
    assert heads(watch.last(200)) == [("over_cap", "success")]


@pytest.mark.parametrize("rows", [(), (row("a", cap=None, effective=None, rate_60s=9.0 * MB),)])
def test_a_rule_or_cap_that_is_gone_ends_it(rows: tuple[Any, ...]) -> None:
    watch = Watch()
    watch.last(200, **OVER)
    told = watch.last(200, trackers=rows)
    assert heads(told) == [("over_cap", "success")]
    assert "has no cap any more" in told[0].title
    assert watch.last(3600, trackers=rows) == []


def test_rules_that_come_and_go_are_forgotten() -> None:
    watch = Watch()
    for n in range(300):
        watch.last(STEP_S, trackers=(row(f"rule-{n}", rate_60s=2.0 * MB),))
    assert watch.rules.remembered < 10


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("Unreachable", "See whether it runs"),
        ("AuthRejected", "Mend user name"),
        ("Banned", "ban"),
        ("Refused", "version"),
    ],
)
def test_a_lost_qbittorrent_is_told_with_what_to_do(kind: str, advice: str) -> None:
    told = Watch().last(200, state="failing", problem_kind=kind, problem="it is so")
    assert heads(told) == [("qbittorrent_lost", "failure")]
    assert told[0].body.startswith("For 60 s nothing could be read: it is so. Limits stay")
    assert advice in told[0].body


@pytest.mark.parametrize("kind", ["UnsafePlan", "JournalError", "Busy"])
def test_who_answers_is_back_whatever_else_is_wrong(kind: str) -> None:
    watch = Watch(["qbittorrent_lost"])
    watch.last(200, **LOST)
    told = watch.last(200, state="failing", problem_kind=kind, problem="something else")
    assert heads(told) == [("qbittorrent_lost", "success")]
    assert "adapted" not in told[0].body


def test_a_defect_says_nothing_about_qbittorrent() -> None:
    watch = Watch(["qbittorrent_lost"])
    watch.last(200, **LOST)
    assert watch.last(3600, state="failing", problem_kind="QguardarrError", problem="internal error") == []
    told = watch.last(200)
    assert heads(told) == [("qbittorrent_lost", "success")]
    assert "Limits are adapted again." in told[0].body


def test_an_outage_is_told_once_by_its_name() -> None:
    watch = Watch()
    assert heads(watch.last(3600, **LOST, breaker="open")) == [("qbittorrent_lost", "failure")]
    assert heads(watch.last(3600)) == [("qbittorrent_lost", "success")]


def test_a_breaker_that_tries_again_is_not_closed() -> None:
    watch = Watch(["breaker_open"])
    for n in range(300):
        watch.last(STEP_S, **LOST, breaker="half-open" if n % 5 == 0 else "open")
    assert heads([told for _, told in watch.told]) == [("breaker_open", "failure")]


def test_an_outage_neither_ends_nor_begins_a_refused_plan() -> None:
    watch = Watch(["plan_refused"])
    watch.last(200, **REFUSED)
    assert watch.last(3600, **LOST) == []
    assert heads(watch.last(200)) == [("plan_refused", "success")]


# -- limits set by hand -----------------------------------------------------------------------------------------------


def test_limits_set_by_hand_are_counted_and_told_together() -> None:
    watch = Watch()
    for count in range(4, 10):
        assert watch.last(STEP_S, set_by_hand=count) == []
    told = watch.last(200, set_by_hand=9)
    assert heads(told) == [("manual_limit", "info")]
    assert "6 upload limits were changed by hand" in told[0].title
    assert watch.last(REPEAT_S - 300, set_by_hand=10) == []
    told = watch.last(600, set_by_hand=11)
    assert "2 upload limits were" in told[0].title
    assert watch.last(2 * REPEAT_S, set_by_hand=11) == []


def test_they_are_told_although_more_and_more_follow() -> None:
    watch = Watch()
    for count in range(4, 4 + int(AFTER_S / STEP_S) + 2):
        watch.last(STEP_S, set_by_hand=count)
    assert heads([told for _, told in watch.told]) == [("manual_limit", "info")]


def test_one_limit_set_by_hand() -> None:
    assert "1 upload limit was" in Watch().last(200, set_by_hand=4)[0].title


def test_what_was_found_before_the_first_look_is_not_told() -> None:
    assert Watch().last(3600, set_by_hand=3) == []


def test_a_count_that_starts_over_is_nothing_new() -> None:
    watch = Watch()
    assert watch.last(3600, set_by_hand=0) == []
    assert len(watch.last(3600, set_by_hand=1)) == 1


# -- another program --------------------------------------------------------------------------------------------------


def test_another_program_is_told_once_while_it_goes_on_and_when_it_stops() -> None:
    watch = Watch()
    assert heads(watch.last(3600, **FOREIGN)) == [("foreign_limits", "warning")]
    assert "60 torrents to unlimited" in watch.told[-1][1].body
    assert heads(watch.last(600)) == [("foreign_limits", "success")]


def test_an_outage_does_not_end_it() -> None:
    watch = Watch(["foreign_limits"])
    watch.last(200, **FOREIGN)
    assert watch.last(3600, **FOREIGN, **LOST) == []


# -- many errors ------------------------------------------------------------------------------------------------------


def fail_now_and_then(watch: Watch, times: int, *, every_s: float, lasting_s: float = STEP_S, failed: int = 7) -> int:
    """`times` rows of failed cycles, after `failed` of them; the count at the end."""
    for _ in range(times):
        end = watch.now + lasting_s
        while watch.now < end:
            failed += 1
            watch.last(STEP_S, state="failing", problem_kind="Busy", problem="it is busy", failed_cycles=failed)
        watch.last(every_s, failed_cycles=failed)
    return failed


def test_many_failures_with_successes_between_them_are_told() -> None:
    watch = Watch()
    fail_now_and_then(watch, 25, every_s=28)
    (told,) = [told for _, told in watch.told]
    assert (told.event, told.severity) == ("errors", "warning")
    assert "it is busy" in told.body
    over = watch.last(ERRORS_WITHIN_S + 100, failed_cycles=32)
    assert heads(over) == [("errors", "success")]


def test_few_failures_are_not_told() -> None:
    watch = Watch()
    fail_now_and_then(watch, 60, every_s=ERRORS_WITHIN_S / (ERRORS - 2))
    assert watch.told == []


@pytest.mark.parametrize("outages", [1, 2])
def test_an_outage_or_two_are_not_many_errors(outages: int) -> None:
    watch = Watch(["errors"])
    failed = fail_now_and_then(watch, outages, every_s=150, lasting_s=100)
    watch.last(3600, failed_cycles=failed)
    assert watch.told == []


def test_an_outage_does_not_end_many_errors() -> None:
    watch = Watch(["errors"])
    failed = fail_now_and_then(watch, 25, every_s=28)
    fail_now_and_then(watch, 1, every_s=STEP_S, lasting_s=2 * ERRORS_WITHIN_S, failed=failed)
    assert heads([told for _, told in watch.told]) == [("errors", "warning")]


def test_few_failures_in_a_row_that_is_not_over_do_not_end_many_errors() -> None:
    watch = Watch(["errors"])
    failed = fail_now_and_then(watch, 25, every_s=28)
    watch.now += ERRORS_WITHIN_S
    for n in range(1, 10):  # cycles that take long
        watch.now += 3 * AFTER_S
        watch.show(status(state="failing", problem_kind="Busy", problem="it is busy", failed_cycles=failed + n))
    assert heads([told for _, told in watch.told]) == [("errors", "warning")]


@pytest.mark.parametrize(("id_", "name"), [("all", "ALL"), ("", "The line")])
def test_a_group_of_trackers_over_its_cap_is_told(id_: str, name: str) -> None:
    watch = Watch()
    (told,) = watch.last(3600, parents=(parent_row(id_, rate_60s=13.0 * MB),))
    assert told.title == f"Qguardarr: {name} is over its cap"
    (told,) = watch.last(3600, parents=(parent_row(id_),))
    assert told.title == f"Qguardarr: {name} is within its cap again"


# -- many at a time ---------------------------------------------------------------------------------------------------


def over_caps(count: int) -> tuple[Any, ...]:
    return tuple(row(f"t{n}", rate_60s=2.0 * MB) for n in range(count))


def test_many_trackers_over_their_caps_make_one_message() -> None:
    watch = Watch()
    (told,) = watch.last(3600, trackers=over_caps(25))
    assert told.title == "Qguardarr: T0 is over its cap, and 24 more"
    assert "Also: T1 is over its cap. T2" in told.body
    assert told.body.endswith("And 15 more.")
    (told,) = watch.last(3600, trackers=tuple(row(f"t{n}") for n in range(25)))
    assert (told.title, told.severity) == ("Qguardarr: T0 is within its cap again, and 24 more", "success")


def test_trackers_that_follow_one_by_one_are_told_together() -> None:
    watch = Watch()
    for count in range(1, 31):
        watch.last(STEP_S, trackers=over_caps(count))
    watch.last(300, trackers=over_caps(30))
    assert [told.event for _, told in watch.told] == ["over_cap"] * 2
    assert watch.told[1][0] - watch.told[0][0] == pytest.approx(TOGETHER_S, abs=STEP_S)
    assert watch.told[1][1].title.endswith("and 28 more")


def test_a_beginning_is_not_lost_among_ends() -> None:
    watch = Watch()
    watch.last(200, trackers=over_caps(3))
    told = watch.last(200, trackers=(*(row(f"t{n}") for n in range(3)), row("new", rate_60s=2.0 * MB)))
    assert (told[0].title, told[0].severity) == ("Qguardarr: NEW is over its cap, and 3 more", "warning")


def test_one_kind_of_event_does_not_hold_up_another() -> None:
    watch = Watch(after_s=0)
    watch.last(10, trackers=over_caps(2))
    assert heads(watch.last(10, **LOST)) == [("qbittorrent_lost", "failure")]


@pytest.mark.slow
def test_there_is_never_a_storm() -> None:
    watch = Watch(after_s=0, repeat_s=60)
    for n in range(600):
        watch.last(40, trackers=over_caps(30) if n % 3 else (), set_by_hand=3 + n)
    for event in ("over_cap", "manual_limit"):
        times = [at for at, told in watch.told if told.event == event]
        assert all(later - earlier >= TOGETHER_S for earlier, later in itertools.pairwise(times))


# -- settings ---------------------------------------------------------------------------------------------------------


def test_other_settings_leave_what_was_told_known() -> None:
    watch = Watch()
    watch.last(200, **LOST)
    watch.rules.configure(["qbittorrent_lost"], 600.0, 1000.0)
    assert len(watch.last(950, **LOST)) == 1  # again, after the new time
    assert watch.last(590) == []  # back, after the new time
    assert heads(watch.last(30)) == [("qbittorrent_lost", "success")]


def test_an_event_that_is_no_longer_wanted_is_forgotten() -> None:
    watch = Watch()
    watch.last(200, **LOST)
    watch.rules.configure(["over_cap"], AFTER_S, REPEAT_S)
    assert watch.last(600) == []
    watch.rules.configure(EVENTS, AFTER_S, REPEAT_S)
    assert watch.last(600) == []


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def everything() -> list[Notification]:
    """One of each kind and phase."""
    told: list[Notification] = []
    for event, changes in (
        ("over_cap", OVER),
        ("qbittorrent_lost", LOST),
        ("breaker_open", LOST | {"breaker": "open"}),
        ("plan_refused", REFUSED),
        ("foreign_limits", FOREIGN),
    ):
        watch = Watch([event], repeat_s=600)
        watch.last(700, **changes)
        watch.last(200)
        told += [notification for _, notification in watch.told]
    watch = Watch(repeat_s=600)
    fail_now_and_then(watch, 45, every_s=28)
    watch.last(ERRORS_WITHIN_S + 100, failed_cycles=52, set_by_hand=9)
    watch.last(200, trackers=over_caps(40), failed_cycles=52, set_by_hand=9)
    return told + [notification for _, notification in watch.told]


def test_each_message_is_complete(everything: list[Notification]) -> None:
    assert {notification.event for notification in everything} == set(EVENTS)
    for notification in everything:
        assert notification.title.startswith("Qguardarr: ")
        assert len(notification.title) < 100
        assert notification.body[0].isalnum()
        assert notification.body.endswith((".", "`"))
        assert "  " not in notification.body
        assert ".." not in notification.body


def test_long_problems_are_cut() -> None:
    told = Watch().last(200, **LOST | {"problem": "x" * 5000 + "\n\nmore"})
    assert len(told[0].body) < 1000
    assert "…" in told[0].body


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2.0 h"), (172_799, "48.0 h"), (172_800, "2.0 days")],
)
def test_durations_are_readable(seconds: float, said: str) -> None:
    watch = Watch()
    watch.show(status(**LOST))
    watch.now += seconds
    (told,) = watch.show(status(**LOST))
    assert f"For {said} nothing" in told.body


def test_no_torrent_and_no_address_is_named(everything: list[Notification]) -> None:
    seen = status(qbittorrent_url="http://user:pass@secret.example", config_path="/home/me/secret.yaml", **LOST)
    watch = Watch()
    for _ in range(100):
        watch.now += STEP_S
        watch.show(seen)
    assert len(watch.told) == 1
    assert "secret" not in str(watch.told)
