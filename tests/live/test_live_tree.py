"""Two groups share a parent's cap on a real qBittorrent: what one leaves is lent, and taken back within ten seconds.

By what peers received. Wide bounds, for busy machines; tests/loop/test_tree_loop.py has strict ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.measure import Curve, Span, worst_window
from lab.scenario import GREEDY, IDLE, MB, Phase, Scenario, TrackerSpec
from tests.support.held import held

CAP = 2 * MB
OWN = {"t1": CAP // 2, "t2": CAP // 2}
RECLAIM_S = 10.0
PHASE_S = 20.0


def together(curves: dict[str, Curve]) -> Curve:
    pairs = zip(*(curves[name].totals for name in OWN), strict=True)
    return Curve(curves["t1"].start, tuple(map(sum, pairs)))


@pytest.mark.parametrize("version", ["4.5.2", "5.1.0", "5.3.0"])
def test_groups_of_one_parent_lend_and_take_back(version: str, tmp_path: Path) -> None:
    greedy, idle = (GREEDY,) * 4, (IDLE,) * 4
    alone = Phase(PHASE_S, {"t1": greedy, "t2": idle}, allowed={"t2": OWN["t2"]})
    both = Phase(PHASE_S, {"t1": greedy, "t2": greedy}, allowed=OWN)
    scenario = Scenario("tree", tuple(TrackerSpec(name, CAP, 4) for name in OWN), (alone, both, alone))
    outcome = held(
        scenario,
        version,
        tmp_path,
        parents=[{"id": "both", "max_upload_speed": CAP}],
        more={name: {"parent": "both", "rate": rate} for name, rate in OWN.items()},
    )
    curves = outcome.curves
    lent, taken_back, lent_again = (
        {name: curve.mean_rate(span.start + RECLAIM_S, span.end) for name, curve in curves.items()}
        for span in outcome.spans["t1"]
    )
    assert 0.9 * CAP <= lent["t1"] <= 1.1 * CAP, "it borrows what the other leaves"
    for name, rate in OWN.items():
        assert 0.85 * rate <= taken_back[name] <= 1.15 * rate, "each has its own within ten seconds"
    assert 0.9 * CAP <= lent_again["t1"] <= 1.1 * CAP
    for span in outcome.spans["t1"]:
        settled = Span(span.start + 5.0, span.end, CAP, span.wanted)
        assert worst_window(together(curves), [settled], 10.0) <= 1.3
    start, end = outcome.spans["t1"][0].start, outcome.spans["t1"][-1].end
    assert together(curves).mean_rate(start, end) <= 1.05 * CAP
