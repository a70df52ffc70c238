"""Run a scenario with a daemon that holds its caps, and check the last phase. Bounds are wide, for busy machines."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.measure import Span, worst_window
from lab.qbittorrent import QBittorrent
from lab.rig import Outcome, Rig
from lab.scenario import Scenario
from tests.support.daemon_process import DaemonProcess, configure, daemon, until

SETTLED_S = 12.0
LATE_S = 15.0


def held(
    scenario: Scenario,
    version: str,
    folder: Path,
    watch: Callable[[DaemonProcess], None] = lambda _: None,
    **configured: Any,
) -> Outcome:
    """The scenario with a daemon that holds since before it begins; `watch` looks at it about twice a second.

    `configured`: what `configure` takes.
    """
    with Rig(scenario, version) as rig:
        config, database = folder / "qguardarr.yaml", folder / "journal.db"
        configure(rig, config, database, **configured)
        with daemon(config, database, {**os.environ, "QBIT_PASSWORD": QBittorrent.password}) as running:
            running.wait_for_state("holding")
            until(lambda: all(rig.qbittorrent.web.upload_limits().values()), "all are parked")
            outcome = rig.run(watch=lambda _: watch(running))
            assert running.wait_for_state("holding").problem == ""
        return outcome


def check_last_phase(outcome: Outcome) -> None:
    span, curve = outcome.spans["t1"][-1], outcome.curves["t1"]
    settled = Span(span.start + SETTLED_S, span.end, span.cap, span.wanted)
    assert worst_window(curve, [settled], 10.0) <= 1.3
    assert curve.mean_rate(span.start, span.end) <= 1.05 * span.cap
    assert curve.mean_rate(span.end - LATE_S, span.end) >= 0.9 * span.cap
