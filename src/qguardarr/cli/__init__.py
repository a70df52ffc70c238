"""The command line. Each command imports what it needs when it runs, so that `serve` stays small."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from qguardarr.errors import QguardarrError
from qguardarr.exits import HELP, Exit, report
from qguardarr.wiring import python_command

app = typer.Typer(
    name="qguardarr",
    help="Gives each tracker one shared upload cap in qBittorrent, and holds it.",
    epilog=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigPath = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="QGUARDARR_CONFIG", help="Configuration file.", show_default=True),
]
DEFAULT_CONFIG = Path("config/qguardarr.yaml")


@app.callback()
def _qguardarr() -> None:
    pass


@app.command()
def serve(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Hold the caps until told to end (Ctrl-C or SIGTERM). SIGHUP reads the configuration again."""
    command = python_command("qguardarr.daemon", str(config))
    os.execv(command[0], command)  # noqa: S606 # this process becomes the daemon


def main() -> None:
    """Entry point: expected errors become one line on stderr and an exit code."""
    try:
        app()
    except QguardarrError as error:
        sys.exit(report(error))
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
