"""`python -m demo [VERSION]`."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from demo.guard import Guard, GuardError, guard
from demo.show import SUMMARY_NOTE, Show, Truth, summary
from demo.story import BY_HAND, STORY, TORRENTS, WARM_UP_S
from demo.verdict import verdict
from lab.errors import LabError
from lab.rig import Outcome, Rig
from lab.versions import VERSIONS, ensure

INTERRUPTED: Final = 130
_LOOK_EVERY_S: Final = 0.5
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """The exit code: 0 if every limit was restored exactly, 130 after Ctrl-C."""
    version = sys.argv[1] if len(sys.argv) > 1 else VERSIONS[0]
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    for sign in _ENDING:
        signal.signal(sign, _interrupt)
    try:
        return _demo(console, version)
    except KeyboardInterrupt:
        console.print("Interrupted; all is cleaned up.")
        return INTERRUPTED
    except (LabError, GuardError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def _demo(console: Console, version: str) -> int:
    started = time.monotonic()
    ensure(version)
    peers = sum(spec.torrents * spec.peers for spec in STORY.trackers)
    console.print(
        f"Starting qBittorrent {version}, {len(STORY.trackers)} trackers with {TORRENTS} torrents each, "
        f"and {peers} peers, all on 127.0.0.1 …"
    )
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qguardarr-demo-")))
        rig = stack.enter_context(Rig(STORY, version))
        originals = _set_by_hand(rig)
        console.print("Starting Qguardarr …")
        with guard(folder, rig) as daemon:
            daemon.wait_until_holding()
            outcome, written = _play(console, rig, daemon)
        console.print(summary(outcome))
        console.print(SUMMARY_NOTE, style="dim")
        console.print()
        for line in verdict(outcome.measures).lines():
            console.print(line, soft_wrap=not console.is_terminal)
        console.print(f"\nQguardarr wrote {written} limits. Now it undoes them: qguardarr rollback")
        console.print(f"  {daemon.rollback()}")
        restored = rig.qbittorrent.web.upload_limits() == originals
    console.print(
        f"  Compared with what qBittorrent had before: {'the same, for every torrent' if restored else 'NOT THE SAME'}."
        f"\nAll is cleaned up after {time.monotonic() - started:.0f} s."
    )
    return 0 if restored else 1


def _play(console: Console, rig: Rig, daemon: Guard) -> tuple[Outcome, int]:
    """The run, and how many limits were written."""
    truth = Truth()
    with Show(console, rig.version) as show:

        def watch(elapsed_s: float) -> None:
            truth.add(elapsed_s, rig.totals())
            show.update(elapsed_s, truth, daemon.status)

        rig.set_phase(STORY.phases[0])
        began = time.monotonic()
        while (left := began + WARM_UP_S - time.monotonic()) > 0:
            watch(-left)
            time.sleep(min(left, _LOOK_EVERY_S))
        return rig.run(watch=watch), show.written_limits


def _set_by_hand(rig: Rig) -> dict[str, int]:
    """Limits that a person had set before; all limits in force then, by hash."""
    for tracker, limit in BY_HAND.items():
        rig.qbittorrent.web.set_upload_limit(limit, [rig.torrents[tracker][-1].info_hash])
    return rig.qbittorrent.web.upload_limits()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Once: whoever presses Ctrl-C again waits for the cleaning up."""
    for sign in _ENDING:
        signal.signal(sign, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
