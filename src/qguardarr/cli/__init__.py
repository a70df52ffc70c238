"""The command line. Exit codes: `qguardarr.exits`."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from importlib.util import cache_from_source
from pathlib import Path
from typing import Annotated, Final

import typer

from qguardarr import __version__
from qguardarr.app.settings import FIRST_START, python_command
from qguardarr.cli import access, backup, check, history, hook, init, notify, preview, status, trackers, undo
from qguardarr.cli.common import DEFAULT_CONFIG, FIRST_START_VARIABLE, ConfigPath, known_secrets
from qguardarr.cli.examples import epilog
from qguardarr.cli.terminal import all_written
from qguardarr.errors import QguardarrError
from qguardarr.exits import HELP, Exit, report
from qguardarr.printable import printable_lines

_ALLOCATOR: Final = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""For glibc, which others ignore: one heap for all threads, and large blocks go back to the system at once. Without it
the daemon grows by up to 8 MiB for good once the API is used by several clients at a time."""

app = typer.Typer(
    name="qguardarr",
    help="Gives each tracker one shared upload cap in qBittorrent, and holds it.",
    epilog=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _qguardarr(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog=epilog("serve"))
def serve(
    config: ConfigPath = DEFAULT_CONFIG,
    first_start: Annotated[
        bool,
        typer.Option(
            "--first-start",
            envvar=FIRST_START_VARIABLE,
            help="If there is no configuration, write one that only observes; its folder has to exist.",
        ),
    ] = False,
) -> None:
    """Hold the caps until told to end.

    Ctrl-C or SIGTERM ends it within seconds. SIGHUP reads the configuration again.
    """
    command = python_command("qguardarr.app.process", str(config), *([FIRST_START] if first_start else []))
    command[1:1] = _without_docstrings()
    # They wait while the daemon loads, and it is the one that answers them; nobody gets a traceback for a Ctrl-C.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    os.execve(command[0], command, {**_ALLOCATOR, **os.environ})  # noqa: S606 # this process becomes the daemon


def _without_docstrings() -> list[str]:
    """Return `-OO`, which saves 2 MB, if the modules are compiled for it, as `make install` and the image do.

    Elsewhere each start might have to compile them all: seconds, and memory that the daemon would not give back.
    """
    module = Path(__file__).parents[1] / "app" / "daemon.py"
    return ["-OO"] if Path(cache_from_source(str(module), optimization="2")).exists() else []


for _command in (
    init.init,
    check.check,
    trackers.trackers,
    preview.preview,
    status.status,
    status.health,
    undo.rollback,
    undo.reset,
    undo.pause,
    undo.resume,
    history.history,
    backup.backup,
    backup.restore,
    backup.begin_anew,
    access.api_key,
    access.hash_password,
    hook.install_hook,
    notify.notify_test,
):
    app.command(epilog=epilog(_command.__name__.replace("_", "-")))(_command)


def main() -> None:
    """Run a command. An expected error becomes a line on stderr and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal of another age still gets the rest of the line
    try:
        with all_written():
            app()
    except QguardarrError as error:
        sys.exit(report(error))
    except Exception:
        from qguardarr.adapters.redaction import Redactor

        print(printable_lines(Redactor(known_secrets).text(traceback.format_exc())), file=sys.stderr)
        print("qguardarr: a defect; please report it with the lines above", file=sys.stderr)
        sys.exit(Exit.DEFECT)
