"""The owner gets in while others guess the password. Time is passed in."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.api.security.logins import (
    KNOWN_LONGEST_S,
    NEW_BURST,
    NEW_INTERVAL_S,
    PLACE_KEPT_S,
)
from qguardarr.api.security.sessions import DEVICE_AGE_S
from tests.support.api_site import JSON, WRONG, Site
from tests.support.asgi import asked, scope

HOME, AWAY = "203.0.113.9", "203.0.113.10"


@pytest.fixture
def site() -> Site:
    return Site()


def attack(site: Site, addresses: int, rounds: int) -> None:
    """Each address guesses once a second."""

    async def one_round() -> None:
        for number in range(addresses):
            client = f"10.1.{number // 250}.{number % 250}"
            await asked(site.app, scope("POST", "/login", [JSON], client=client), WRONG)

    for _ in range(rounds):
        asyncio.run(one_round())
        site.monotonic += 1.0


def wait_for_turn(site: Site, client: str) -> float:
    """Log in with the right password as the answers say; seconds that this took."""
    begun = site.monotonic
    for _ in range(4):
        answer = site.login(client=client)
        if answer.status == 200:
            return site.monotonic - begun
        assert answer.status == 429
        site.monotonic += int(answer.header("retry-after") or 0)
    raise AssertionError("a turn was promised and not given")


@pytest.mark.parametrize("addresses", [25, 1000])
def test_guessers_do_not_lock_out_an_address_that_has_logged_in(site: Site, addresses: int) -> None:
    assert site.login(client=HOME).status == 200
    attack(site, addresses, rounds=3)
    begun = site.monotonic
    assert site.login(client=HOME).status == 200
    assert site.monotonic == begun, "nor is it held up"


@pytest.mark.parametrize("addresses", [25, 1000])
def test_a_known_browser_gets_in_from_anywhere_and_after_a_restart(site: Site, addresses: int) -> None:
    site.login(client=HOME)
    again = Site()
    attack(again, addresses, rounds=3)
    assert again.login(client=AWAY).status == (429 if addresses == 1000 else 200), "the attack is one"
    assert again.login(headers=[JSON, ("Cookie", site.device)], client="198.51.100.77").status == 200


def test_an_attack_from_25_addresses_does_not_hold_up_a_new_address(site: Site) -> None:
    attack(site, 25, rounds=100)
    assert site.login(client=AWAY).status == 200


def test_a_new_address_waits_three_seconds_for_each_that_came_before_it(site: Site) -> None:
    attack(site, 1000, rounds=1)
    assert wait_for_turn(site, AWAY) <= (1000 - NEW_BURST) * NEW_INTERVAL_S + NEW_INTERVAL_S


@pytest.mark.slow
def test_a_new_address_need_not_wait_behind_a_thousand_that_have_failed(site: Site) -> None:
    for _ in range(1000 // 20 + 1):  # until each has had its first turn
        attack(site, 1000, rounds=1)
        site.monotonic += 20 * NEW_INTERVAL_S - 1
    assert wait_for_turn(site, AWAY) <= NEW_INTERVAL_S


def test_a_turn_is_kept_for_a_minute_and_then_lost(site: Site) -> None:
    attack(site, 40, rounds=1)
    wait_s = int(site.login(client=AWAY).header("retry-after") or 0)
    site.monotonic += wait_s + PLACE_KEPT_S - 2
    attack(site, 1000, rounds=1)
    assert site.login(client=AWAY).status == 200
    late = Site()
    attack(late, 40, rounds=1)
    late.monotonic += int(late.login(client=AWAY).header("retry-after") or 0) + PLACE_KEPT_S + 1
    attack(late, 1000, rounds=1)
    assert late.login(client=AWAY).status == 429


@pytest.mark.parametrize("device", [False, True])
@pytest.mark.parametrize("failures", [0, 1, 4, 5, 25, 60])
def test_a_right_password_of_a_known_caller_is_never_refused(failures: int, device: bool) -> None:
    site = Site()
    site.login(client=HOME)
    headers = [JSON, ("Cookie", site.device)] if device else [JSON]
    for _ in range(failures):
        assert site.login(WRONG, headers, client=HOME).status == 401
    begun = site.monotonic
    assert site.login(headers=headers, client=HOME).status == 200
    assert site.monotonic - begun <= KNOWN_LONGEST_S
    begun = site.monotonic
    assert site.login(WRONG, headers, client=HOME).status == 401
    assert site.monotonic == begun, "a success forgets failures"


def test_a_guesser_at_the_owners_address_does_not_hold_up_the_owners_browser(site: Site) -> None:
    """As behind a proxy that is not trusted, where everybody has one address."""
    site.login(client=HOME)
    for _ in range(30):
        site.login(WRONG, client=HOME)
    begun = site.monotonic
    assert site.login(headers=[JSON, ("Cookie", site.device)], client=HOME).status == 200
    assert site.monotonic == begun


def test_a_login_keeps_the_browser_known_under_the_same_name(site: Site) -> None:
    site.login()
    first = site.device
    site.now += DEVICE_AGE_S - 10
    site.login(headers=[JSON, ("Cookie", first)])
    assert site.device != first
    device = [site.access.sessions.device(cookie.partition("=")[2].encode()) for cookie in (first, site.device)]
    assert device[0] == device[1] is not None
    site.now += 20
    assert site.access.sessions.device(first.partition("=")[2].encode()) is None, "too old"


def test_a_device_cookie_cannot_be_forged_and_lets_nobody_in(site: Site) -> None:
    site.login()
    name, _, value = site.device.partition("=")
    assert site.ask(headers=[("Cookie", site.device)]).status == 401
    session = site.cookie.partition("=")[2]
    other = Site(key="another-key-of-the-tests")
    other.login()
    for forged in (value[:-1], value[1:], session, other.device.partition("=")[2], "", ".", "x" * 300):
        attacked = Site()
        attack(attacked, 1000, rounds=1)
        assert attacked.login(headers=[JSON, ("Cookie", f"{name}={forged}")], client=AWAY).status == 429, forged
        assert site.ask(headers=[("Cookie", f"qguardarr_session={value}")]).status == 401


@given(value=st.binary(max_size=300))
def test_no_device_cookie_breaks_a_login(value: bytes) -> None:
    assert Site().login(headers=[JSON, ("Cookie", b"qguardarr_device=" + value)]).status == 200
