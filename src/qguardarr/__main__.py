"""`python -m qguardarr`, and the command `qguardarr`."""

from __future__ import annotations

import signal


def main() -> None:
    """Load the commands, then run one. Ctrl-C while they load ends the process at once, without a traceback."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # else it is ignored, as behind `nohup` and `&`
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from qguardarr import cli  # noqa: PLC0415 # takes half a second

    signal.signal(signal.SIGINT, handler)
    cli.main()


if __name__ == "__main__":
    main()
