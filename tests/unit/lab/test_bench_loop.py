"""The bench of closed-loop scenarios plays, repeats itself exactly, and overrides constants."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from bench.loop import SCENARIOS, override, play
from qguardarr.core.allocate import demand, shares


@pytest.fixture
def restored() -> Iterator[None]:
    """Restore all constants of the core."""
    before = {name: dict(vars(m)) for name, m in sys.modules.items() if name.startswith("qguardarr.core.")}
    yield
    for name, values in before.items():
        vars(sys.modules[name]).update(values)


def test_a_scenario_is_held_and_repeats_itself_exactly() -> None:
    first = play(SCENARIOS["move"](1), 1)
    assert first.startswith(("use 0.9", "use 1.0"))
    assert play(SCENARIOS["move"](1), 1) == first


@pytest.mark.usefixtures("restored")
def test_a_constant_is_overridden_wherever_it_is_used() -> None:
    before = play(SCENARIOS["move"](1), 1)
    override(["allocate.demand.OVERCOMMIT=0.25", "allocate.shares.DEADBAND=0.05", "allocate.shares.NUDGED_LEAST=100"])
    assert (demand.OVERCOMMIT, shares.OVERCOMMIT, shares.NUDGED_LEAST) == (0.25, 0.25, 100)
    assert play(SCENARIOS["move"](1), 1) != before
