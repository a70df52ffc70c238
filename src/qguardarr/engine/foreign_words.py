"""Words for limits that another program sets."""

from __future__ import annotations

from collections.abc import Sequence

from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.foreign import VARIOUS, Program
from qguardarr.core.units import format_speed


def foreign_words(programs: Sequence[Program], contested: int) -> str:
    """Say who else sets limits, how it is dealt with and what to do; empty if nobody does.

    `contested`: torrents with limits of another Qguardarr.
    """
    if contested:
        return (
            f"another Qguardarr sets upload limits on {contested} torrents of this qBittorrent. The lower limit is in "
            "force meanwhile, so that caps hold but are not used up. Stop one of the two, with `qguardarr rollback`."
        )
    if not programs:
        return ""
    first = programs[0]
    value = {UNLIMITED: "unlimited", VARIOUS: "different values"}.get(first.value) or format_speed(first.value)
    torrents = "1 torrent" if first.torrents == 1 else f"{first.torrents} torrents"
    times = "once" if first.times == 1 else f"{first.times} times"
    others = f", and {len(programs) - 1} other values" if len(programs) > 1 else ""
    return (
        f"another program sets upload limits: {torrents} to {value}, {times}{others}. They are written over, and are "
        "not taken for the torrents' own. Have it leave upload limits alone; if it was you, set global.foreign_limits: "
        "person."
    )
