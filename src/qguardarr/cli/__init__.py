"""The command line. Each command imports what it needs when it runs, so that `serve` stays small."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from qguardarr.cli.exits import HELP, Exit, fail
from qguardarr.errors import QguardarrError

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
    from qguardarr.cli.lean import import_runtime

    sys.exit(import_runtime().serve(config))


def main() -> None:
    """Entry point: expected errors become one line on stderr and an exit code."""
    try:
        app()
    except QguardarrError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
