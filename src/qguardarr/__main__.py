"""`python -m qguardarr`, and the command `qguardarr`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Load the commands, then run one. Ctrl-C while they load ends the process at once, without a traceback."""
    _stand_in_for_closed_streams()
    if sys.argv[1:] == ["health"] and (config := os.environ.get("QGUARDARR_CONFIG")):
        from qguardarr import probe  # noqa: PLC0415

        sys.exit(probe.health(Path(config)))  # without the command line, for container engines that ask all the time
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # else it is ignored, as behind `nohup` and `&`
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from qguardarr import cli  # noqa: PLC0415 # takes half a second

    signal.signal(signal.SIGINT, handler)
    cli.main()


def _stand_in_for_closed_streams() -> None:
    """Open /dev/null in the place of each standard stream that is closed, so that no file of ours takes its number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest free number is taken
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115 # for as long as the process lives
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115


if __name__ == "__main__":
    main()
