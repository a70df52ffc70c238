"""`python -m qguardarr.app.process FILE [--first-start]`: what `qguardarr serve` turns into.

A process of its own making, so that neither the command line nor the configuration's schema stays in memory (10 MB).
All tricks with imports that keep the daemon small stand here. Figures are resident memory, measured with Python 3.11,
`-OO`, FastAPI 0.141 and pydantic 2.14.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from qguardarr.errors import QguardarrError
from qguardarr.exits import report

_UNWANTED: Final = ("rich", "greenlet", "lzma", "bz2", "pydantic.v1")
"""Loaded where they are installed, only to have them at hand: structlog loads rich (5 MB) and greenlet (1 MB), shutil
lzma and bz2 (0.7 MB), FastAPI pydantic's first version (1.5 MB)."""

_UNUSED: Final = ("uvicorn.main", "fastapi.openapi.models", "html.entities", "importlib.metadata", "zoneinfo")
"""Names are imported from them and never used: uvicorn's own command, with click (1.6 MB); models of an OpenAPI
document, which is a packaged file here (2.3 MB); the names of HTML's characters (0.3 MB); pydantic looks for plugins in
installed packages (0.8 MB), and knows time zones (0.7 MB)."""

_LATER: Final = (
    "anyio._backends._asyncio", "argon2", "encodings.idna", "uvicorn.lifespan.on", "uvicorn.loops.asyncio",
    "qguardarr.api.v1.editing", "qguardarr.api.v1.probes", "qguardarr.api.v1.setup", "qguardarr.app.editor",
    "qguardarr.app.probes",
)  # fmt: skip
"""Loaded when the API starts or is used. Compiling the first of them takes 6 MB, which are not given back."""


class _StandIn(ModuleType):
    """A module that has every name, as a class without meaning."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def main() -> int:
    """Serve with the configuration file named on the command line."""
    modules = cast("dict[str, Any]", sys.modules)
    kept_out = dict.fromkeys(_UNWANTED) | {name: _StandIn(name) for name in _UNUSED}
    modules.update(kept_out)
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # it would ask importlib.metadata
    from qguardarr.app.daemon import serve
    from qguardarr.app.settings import FIRST_START

    for name in kept_out:
        modules.pop(name)
    try:
        return serve(Path(sys.argv[1]), first_start=FIRST_START in sys.argv[2:])
    except QguardarrError as error:
        return report(error)


def load_all() -> None:
    """Load all that a daemon loads, so that Python keeps it compiled: `python -OO`, as pip compiles only without it."""
    for name in ("qguardarr.app.daemon", *_LATER):
        importlib.import_module(name)


if __name__ == "__main__":
    sys.exit(main())
