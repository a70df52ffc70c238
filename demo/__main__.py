"""`python -m demo [VERSION] [--stay]`."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from demo.guard import USER, Guard, GuardError, guard
from demo.show import SUMMARY_NOTE, Show, Truth, summary
from demo.story import BY_HAND, STORY, TORRENTS, WARM_UP_S
from demo.verdict import verdict
from lab.errors import LabError
from lab.rig import Outcome, Rig
from lab.versions import VERSIONS, ensure
from qguardarr.api.web import dashboard

INTERRUPTED: Final = 130
_LOOK_EVERY_S: Final = 0.5
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """The exit code: 0 if every limit was restored exactly, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="Show Qguardarr at work for a minute.")
    parser.add_argument("version", nargs="?", default=VERSIONS[0], choices=VERSIONS, help="of qBittorrent")
    parser.add_argument("--stay", action="store_true", help="go on, with the page open, until Ctrl-C")
    options = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    for sign in _ENDING:
        signal.signal(sign, _interrupt)
    try:
        return _demo(console, options.version, stay=options.stay)
    except KeyboardInterrupt:
        console.print("Interrupted; all is cleaned up.")
        return INTERRUPTED
    except (LabError, GuardError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def _demo(console: Console, version: str, *, stay: bool) -> int:
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
            console.print(_where(daemon), soft_wrap=True)
            outcome, written = _play(console, rig, daemon)
            console.print(summary(outcome))
            console.print(SUMMARY_NOTE, style="dim")
            console.print()
            for line in verdict(outcome.measures).lines():
                console.print(line, soft_wrap=not console.is_terminal)
            if stay:
                written = _stay(console, rig, daemon)
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


def _where(daemon: Guard) -> str:
    """Return where the page is, and how to log in."""
    if not (dashboard.FOLDER / "index.html").is_file():
        return "There is no dashboard: it needs Node 18 or newer and npm. Install them, then: make web"
    return f"The page: {daemon.address} (name {USER}, password {daemon.password})"


def _stay(console: Console, rig: Rig, daemon: Guard) -> int:
    """Repeat the story until Ctrl-C; return how many limits were written by then."""
    console.print("\nAll of it goes on, with demands that change, until you press Ctrl-C.")
    console.print(_where(daemon), soft_wrap=True)
    written = 0
    with contextlib.suppress(KeyboardInterrupt):
        for phase in itertools.cycle(STORY.phases):
            rig.set_phase(phase)
            ends = time.monotonic() + phase.duration_s
            while time.monotonic() < ends:
                status = daemon.status
                written = written if status is None else status.written_limits
                time.sleep(_LOOK_EVERY_S)
    return written


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
