"""The story of the demo, as data."""

from __future__ import annotations

from typing import Final, NamedTuple

from lab.demand import Demand
from lab.scenario import GREEDY, IDLE, KB, MB, Phase, Scenario, TrackerSpec

TORRENTS: Final = 8
"""Of each tracker."""

Demands = tuple[Demand, ...]


class Scene(NamedTuple):
    """A phase, and its subject in words."""

    duration_s: float
    words: str
    alpha: Demands
    beta: Demands
    gamma: Demands


def _all(demand: Demand) -> Demands:
    return (demand,) * TORRENTS


def _one_greedy(index: int) -> Demands:
    return tuple(GREEDY if n == index else 30.0 * KB for n in range(TORRENTS))


SCENES: Final = (
    Scene(
        11.0,
        "alpha: one torrent takes all it gets, the others want little. beta sleeps. gamma: all want more.",
        alpha=_one_greedy(0),
        beta=_all(IDLE),
        gamma=_all(GREEDY),
    ),
    Scene(
        20.0,
        "beta's eight sleeping torrents wake up at once. alpha: now another torrent takes all it gets.",
        alpha=_one_greedy(5),
        beta=_all(GREEDY),
        gamma=_all(GREEDY),
    ),
    Scene(
        20.0,
        "gamma's peers lose interest and want 0.8 MB/s in all. alpha: a third torrent takes all it gets.",
        alpha=_one_greedy(2),
        beta=_all(GREEDY),
        gamma=_all(100.0 * KB),
    ),
)

WARM_UP_S: Final = 12.0
"""The first scene's demand before the counting begins: the demo is about held caps, not about the first seconds."""

STORY: Final = Scenario(
    "demo",
    (
        TrackerSpec("alpha", 2 * MB, TORRENTS),
        TrackerSpec("beta", 1 * MB, TORRENTS),
        TrackerSpec("gamma", 4 * MB, TORRENTS),
    ),
    tuple(Phase(s.duration_s, {"alpha": s.alpha, "beta": s.beta, "gamma": s.gamma}) for s in SCENES),
    settled_at=0.95,  # scenes are short, and libtorrent sends in waves: single windows of 10 s are at 0.95 to 0.97
)

BY_HAND: Final = {"alpha": 300 * KB, "gamma": 900 * KB}
"""Upload limits, bytes/s, that a person had set on the last torrent of each of these trackers before Qguardarr came."""


def scene_at(elapsed_s: float) -> int:
    """Index of the scene at a time of the run."""
    for index, scene in enumerate(SCENES):
        elapsed_s -= scene.duration_s
        if elapsed_s < 0:
            return index
    return len(SCENES) - 1
