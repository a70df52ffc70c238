"""`python -m qguardarr.app.process FILE [--first-start]`: what `qguardarr serve` turns into.

A process of its own making, so that neither the command line nor the configuration's schema stays in memory (10 MB).
All tricks with imports that keep the daemon small stand here. Figures are resident memory, measured with Python 3.11,
`-OO`, FastAPI 0.141 and pydantic 2.14.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from qguardarr.errors import QguardarrError
from qguardarr.exits import report

_UNWANTED: Final = ("rich", "greenlet", "lzma", "bz2", "pydantic.v1")
"""Loaded where they are installed, only to have them at hand: structlog loads rich (5 MB) and greenlet (1 MB), shutil
lzma and bz2 (0.7 MB), FastAPI pydantic's first version (1.5 MB)."""

_UNUSED: Final = (
    *("ssl", "asyncio.sslproto"),  # asyncio, uvicorn and http.client: 4 MB. Loaded after all where TLS is spoken
    *("uvicorn.main", "logging.config", "configparser"),  # uvicorn's own command, with click, and its logs: 1.9 MB
    *("fastapi.openapi.models", "fastapi.openapi.utils", "pydantic.json_schema"),  # the document is a file: 2.6 MB
    *("fastapi.security.api_key", "fastapi.security.http", "fastapi.security.oauth2"),  # 0.2 MB
    *("fastapi.security.open_id_connect_url", "fastapi.sse", "pydantic.networks", "pydantic.color"),  # 0.3 MB
    *("http.server", "urllib.request", "wsgiref.simple_server"),  # prometheus-client's own server: 0.5 MB
    *("importlib.metadata", "zoneinfo"),  # pydantic's plugins, and its time zones: 1.5 MB
    *("html.entities", "pickle", "watchfiles.run", "structlog.threadlocal"),  # starlette, structlog, watchfiles: 0.9 MB
)
"""Names are imported from them and never used."""

_OPENSSL: Final = "_hashlib"
"""Hashes, with libcrypto: 3 MB. Python has its own ones, unless it was built without them, as in Fedora."""

_BACKEND: Final = "anyio._backends._asyncio"
_LATER: Final = (
    _BACKEND, "argon2", "encodings.idna", "uvicorn.lifespan.on", "uvicorn.loops.asyncio",
    "qguardarr.api.v1.editing", "qguardarr.api.v1.orders", "qguardarr.api.v1.probes", "qguardarr.api.v1.setup",
    "qguardarr.api.v1.usage", "qguardarr.app.editor", "qguardarr.app.probes",
)  # fmt: skip
"""Loaded when the API starts or is used. Compiling the first of them takes 6 MB, which are not given back."""


class _StandIn(ModuleType):
    """A module that has every name, as a class without meaning; of errors, since it may stand in an `except`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})


def main() -> int:
    """Serve with the configuration file named on the command line."""
    modules = cast("dict[str, Any]", sys.modules)
    kept_out = dict.fromkeys(_UNWANTED) | {name: _StandIn(name) for name in _UNUSED}
    if find_spec("_sha1") is not None:
        kept_out[_OPENSSL] = None
    modules.update(kept_out)
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # it would ask importlib.metadata
    importlib.import_module(_BACKEND)  # now, or it would load ssl when the API starts
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
