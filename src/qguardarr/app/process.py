"""`python -m qguardarr.app.process FILE [--first-start]`: what `qguardarr serve` turns into.

A process of its own making, so that neither the command line nor the configuration's schema stays in memory (10 MB).
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from qguardarr.errors import QguardarrError
from qguardarr.exits import report

_UNWANTED: Final = ("rich", "greenlet", "lzma", "bz2")
"""structlog would load the first two where they are installed (5 MB and 1 MB), and shutil the others (0.7 MB), only to
have them at hand."""


def main() -> int:
    """Serve with the configuration file named on the command line."""
    modules = cast("dict[str, Any]", sys.modules)
    kept_out = dict.fromkeys(_UNWANTED) | _uvicorn_without_its_command_line()
    modules.update(kept_out)
    from qguardarr.app.daemon import serve
    from qguardarr.app.settings import FIRST_START

    for name in kept_out:
        del modules[name]
    try:
        return serve(Path(sys.argv[1]), first_start=FIRST_START in sys.argv[2:])
    except QguardarrError as error:
        return report(error)


def _uvicorn_without_its_command_line() -> dict[str, ModuleType]:
    """A stand-in for the module with uvicorn's own command, which loads click (1.6 MB): the server needs neither."""
    command = ModuleType("uvicorn.main")
    vars(command).update(dict.fromkeys(("Server", "main", "run")))
    return {command.__name__: command}


if __name__ == "__main__":
    sys.exit(main())
