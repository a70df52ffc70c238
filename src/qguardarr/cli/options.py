"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT_CONFIG: Final = Path("config/qguardarr.yaml")
FIRST_START_VARIABLE: Final = "QGUARDARR_FIRST_START"
ConfigPath = Annotated[
    Path,  # `readable`: we say it better than Typer
    typer.Option("--config", "-c", envvar="QGUARDARR_CONFIG", readable=False, help="Configuration file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
InstanceName = Annotated[
    str | None, typer.Option("--instance", metavar="NAME", help="One of several qBittorrents. Default: all.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
