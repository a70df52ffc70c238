"""Guessers of the password: how many tries they get. Time is passed in."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from qguardarr.api.security import logins
from qguardarr.api.security.logins import (
    AGAIN_BURST,
    AGAIN_INTERVAL_S,
    FREE_FAILURES,
    LONGEST_LINE_S,
    MAX_KNOWN,
    MAX_STRANGERS,
    MOST_WAITING,
    MOST_WAITING_IN_ALL,
    NEW_BURST,
    NEW_INTERVAL_S,
    PLACE_KEPT_S,
    STRANGER_DELAY_S,
    LoginLimiter,
    address_group,
)
from tests.support.api_site import JSON, RIGHT, WRONG, Site
from tests.support.asgi import asked, scope

HOME, AWAY = "203.0.113.9", "203.0.113.10"


@pytest.fixture
def site() -> Site:
    return Site()


def test_five_guesses_then_ever_longer_waits(site: Site) -> None:
    assert [site.login(WRONG).status for _ in range(7)] == [401] * 5 + [429] * 2
    for wait_s in (STRANGER_DELAY_S, 2 * STRANGER_DELAY_S, 4 * STRANGER_DELAY_S):
        refused = site.login()
        assert (refused.status, refused.header("retry-after")) == (429, f"{wait_s:.0f}"), "not even the right one"
        site.monotonic += wait_s - 0.5
        assert site.login(WRONG).header("retry-after") == "1"
        site.monotonic += 0.5
        assert site.login(WRONG).status == 401
    site.monotonic += logins.FORGET_S + 3601
    assert [site.login(WRONG).status for _ in range(6)] == [401] * 5 + [429]


def test_a_success_forgets_an_addresss_failures(site: Site) -> None:
    for _ in range(4):
        site.login(WRONG)
    assert site.login().status == 200
    assert {site.login(WRONG).status for _ in range(6)} == {401}


def test_a_refused_login_is_logged_without_what_was_typed(site: Site) -> None:
    with capture_logs() as lines:
        site.login(msgspec.json.encode({"username": "typed-in-the-wrong-field", "password": "guess"}))
    assert [(line["event"], line["address"]) for line in lines] == [("login_refused", "192.0.2.7")]
    assert "typed" not in str(lines)


@pytest.mark.parametrize("addresses", [1, 25, 1000, 5000])
@pytest.mark.slow
def test_guessers_get_a_bounded_number_of_tries_a_minute(addresses: int) -> None:
    limiter = LoginLimiter()
    tries = [
        float(second)
        for second in range(600)
        for number in range(addresses if second % 5 == 0 else 0)
        if limiter.take(str(number), None, float(second)).granted
    ]
    assert len(tries) <= _bound(600)
    assert max(sum(at <= t < at + 60 for t in tries) for at in tries) <= _bound(60)
    assert len(tries) >= min(FREE_FAILURES, addresses)


def _bound(seconds: float) -> float:
    """Most tries of strangers in a stretch of time."""
    span_s = seconds + PLACE_KEPT_S
    return NEW_BURST + span_s / NEW_INTERVAL_S + AGAIN_BURST + span_s / AGAIN_INTERVAL_S + 2


@given(steps=st.lists(st.tuples(st.integers(0, 60), st.floats(0, 90)), max_size=150))
def test_no_pattern_of_asking_gets_more(steps: list[tuple[int, float]]) -> None:
    limiter, now, tries = LoginLimiter(), 0.0, []
    for address, wait_s in steps:
        now += wait_s
        if limiter.take(str(address), None, now).granted:
            tries.append((address, now))
    for start in {t for _, t in tries}:
        assert sum(t >= start for _, t in tries) <= _bound(now - start)
    for one in {a for a, _ in tries}:
        times = [t for a, t in tries if a == one]
        assert all(b - a >= STRANGER_DELAY_S - 1e-3 for a, b in pairwise(times[FREE_FAILURES - 1 :]))


@given(others=st.integers(0, 300), address=st.sampled_from(["a", "b"]))
def test_waiting_as_told_is_enough(others: int, address: str) -> None:
    limiter, now = LoginLimiter(), 0.3
    for number in range(others):
        limiter.take(str(number), None, now)
    for _ in range(40):
        turn = limiter.take(address, None, now)
        waits = 0
        while not turn.granted:
            waits += 1
            assert waits <= 2, "once for its own failures, once for its place in the line"
            now += math.ceil(turn.wait_s)
            turn = limiter.take(address, None, now)


def test_memory_of_strangers_is_bounded_and_no_place_in_a_line_is_forgotten() -> None:
    limiter, now, tried = LoginLimiter(), 0.0, set()
    promised: dict[str, float] = {}
    for number in range(40_000):
        name = str(number)
        turn = limiter.take(name, None, now)
        if turn.granted:
            tried.add(name)
        elif turn.wait_s < LONGEST_LINE_S - 1:
            promised[name] = now + turn.wait_s
        now += 0.25
        for due in [n for n, at in promised.items() if at <= now]:
            del promised[due]
            assert limiter.take(due, None, now).granted
        assert len(limiter.strangers) <= MAX_STRANGERS
    assert len(tried) > NEW_BURST


def test_when_the_line_is_an_hour_long_no_more_places_are_given_out() -> None:
    limiter = LoginLimiter()
    turns = [limiter.take(str(number), None, 0.0) for number in range(2 * MAX_STRANGERS)]
    assert max(turn.wait_s for turn in turns) == LONGEST_LINE_S
    assert len(limiter.strangers) <= LONGEST_LINE_S / NEW_INTERVAL_S + NEW_BURST + 1


def test_memory_of_known_callers_is_bounded() -> None:
    limiter = LoginLimiter()
    for number in range(2 * MAX_KNOWN):
        turn = limiter.take(f"a{number}", f"d{number}", 0.0)
        limiter.done(turn, right=True, now=0.0)
    assert len(limiter.addresses) == len(limiter.devices) == MAX_KNOWN


def test_answers_that_are_held_back_are_bounded() -> None:
    limiter = LoginLimiter()
    one = [limiter.take("a", "device", 0.0) for _ in range(MOST_WAITING + 1)]
    assert [turn.granted for turn in one] == [True] * MOST_WAITING + [False]
    more = [limiter.take("a", f"device {n}", 0.0) for n in range(MOST_WAITING_IN_ALL)]
    assert sum(turn.granted for turn in one + more) == MOST_WAITING_IN_ALL
    for turn in [*one, *more]:
        if turn.granted:
            limiter.done(turn, right=False, now=0.0)
    assert limiter.take("a", "one more", 0.0).granted


def test_many_guesses_at_once_from_a_known_address_gain_nothing(site: Site) -> None:
    site.login(client=HOME)
    for _ in range(12):
        site.login(WRONG, client=HOME)

    async def at_once() -> list[int]:
        tries = [asked(site.app, scope("POST", "/login", [JSON], client=HOME), body) for body in _bodies()]
        return [answer.status for answer in await asyncio.gather(*tries)]

    assert sorted(asyncio.run(at_once())) == [401] * MOST_WAITING + [429] * (len(list(_bodies())) - MOST_WAITING)
    assert site.login(RIGHT, client=HOME).status == 200


def _bodies() -> Iterator[bytes]:
    return iter([WRONG] * 20)


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", "unknown"),
        ("proxy says anything", "unknown"),
    ],
)
def test_addresses_are_counted_by_who_has_them(host: str, group: str) -> None:
    assert address_group(host) == group


def test_a_whole_ipv6_customer_is_one_guesser(site: Site) -> None:
    statuses = [site.login(WRONG, client=f"2001:db8:1:2::{n:x}").status for n in range(50)]
    assert statuses == [401] * FREE_FAILURES + [429] * 45
    assert len(site.access.logins.strangers) == 1


def test_a_client_without_an_address_is_counted_too(site: Site) -> None:
    assert [site.login(WRONG, client=None).status for _ in range(6)] == [401] * 5 + [429]
