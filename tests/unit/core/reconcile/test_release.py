"""Which limits a change of the configuration asks to lift."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from qguardarr.core.model import UNLIMITED, Overspeed
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.release import (
    CarriedOut,
    Release,
    carried_out,
    read_carried_out,
    released,
    write_carried_out,
)
from tests.support.guard_loop import MB, policy_of, tracker

BEFORE = policy_of(tracker("t1", MB), tracker("t2", 2 * MB), tracker("free", UNLIMITED))


def after(policy: Policy) -> Release:
    return released(carried_out(BEFORE), policy)


def changed(**changes: object) -> Policy:
    return msgspec.structs.replace(BEFORE, **changes)


def test_the_same_configuration_releases_nothing() -> None:
    assert after(BEFORE) == Release()


@pytest.mark.parametrize(
    "changes", [{"dry_run": True}, {"interval_s": 9.0}, {"unlimit_idle": True}, {"rollout_percentage": 100}]
)
def test_other_settings_release_nothing(changes: dict[str, object]) -> None:
    assert after(changed(**changes)) == Release()


def test_another_cap_releases_nothing() -> None:
    assert after(policy_of(tracker("t1", 5 * MB), tracker("t2", MB), tracker("free", UNLIMITED))) == Release()
    assert after(policy_of(tracker("t1", MB), tracker("t2", MB), tracker("free", 3 * MB))) == Release()


def test_a_cap_taken_off_releases_its_own_rule_only() -> None:
    policy = policy_of(tracker("t1", UNLIMITED), tracker("t2", 2 * MB), tracker("free", UNLIMITED))
    assert after(policy) == Release(frozenset({"t1"}))


def bounded(rate: int | None, cap: int = UNLIMITED) -> Policy:
    rule = None if rate is None else Overspeed(rate)
    return policy_of(msgspec.structs.replace(tracker("t1", cap), overspeed=rule), tracker("t2", MB))


@pytest.mark.parametrize(
    ("before", "policy", "rules"),
    [
        (bounded(MB), bounded(None), {"t1"}),
        (bounded(MB), bounded(2 * MB), {"t1"}),
        (bounded(None), bounded(MB), {"t1"}),
        (bounded(MB), bounded(MB), set()),
        (bounded(MB, 5 * MB), bounded(MB), {"t1"}),
        (bounded(MB, 5 * MB), bounded(None, 5 * MB), set()),
    ],
)
def test_other_bounds_of_torrents_release_those_of_a_rule_without_a_cap(
    before: Policy, policy: Policy, rules: set[str]
) -> None:
    kept = read_carried_out(write_carried_out(carried_out(before)), before)
    assert released(kept, policy).rules == rules


def test_other_patterns_release_whatever_has_no_cap_now() -> None:
    assert after(policy_of(tracker("t1", MB), tracker("free", UNLIMITED))).rules == {"free", "rest"}
    assert after(changed(match_mode="strictest")).rules == {"free", "rest"}


def test_a_smaller_rollout_releases_those_left_out() -> None:
    half = changed(rollout_percentage=50)
    assert after(half) == Release(unmanaged=True)
    assert released(carried_out(half), BEFORE) == Release(), "a larger one lifts nothing"


def test_an_unknown_past_releases_all_that_a_configuration_can_ask_for() -> None:
    assert released(None, BEFORE) == Release(frozenset({"free", "rest"}), unmanaged=True)


def test_the_journals_text_is_understood_again_also_that_of_earlier_versions() -> None:
    kept = carried_out(BEFORE)
    assert read_carried_out(write_carried_out(kept), BEFORE) == kept
    earlier = hashlib.blake2b(msgspec.json.encode(BEFORE), digest_size=16).hexdigest()
    assert read_carried_out(earlier, BEFORE) == kept
    assert read_carried_out(earlier, changed(rollout_percentage=5)) is None
    assert [read_carried_out(text, BEFORE) for text in ("", "x", "{}", "[]")] == [None] * 4
    assert isinstance(read_carried_out(write_carried_out(kept), changed(rollout_percentage=5)), CarriedOut)
