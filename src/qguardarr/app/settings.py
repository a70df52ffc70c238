"""Load the daemon's settings, by way of a child process that reads the configuration (`read_settings`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from qguardarr.adapters.keys import api_key
from qguardarr.engine.settings import Settings
from qguardarr.errors import ConfigError, Fault

FIRST_START: Final = "--first-start"
"""Argument of the processes behind `qguardarr serve`."""
FAULTY: Final = 2
"""Exit code of the child for a configuration with faults, which it lists."""

REFUSED: Final = 3
"""Exit code of the child that edits for an order that it refuses."""

_LOAD_TIMEOUT_S: Final = 60.0


def load_settings(path: Path, *, first_start: bool = False) -> Settings:
    """Return the settings in a file, read by a child process. `ConfigError` lists every fault.

    `first_start`: a missing file is written; where that is not possible, its text stands in for it.
    """
    command = python_command("qguardarr.app.read_settings", str(path), *([FIRST_START] if first_start else []))
    try:
        done = subprocess.run(command, capture_output=True, timeout=_LOAD_TIMEOUT_S, check=False)  # noqa: S603 # our own
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"cannot be read ({type(error).__name__})", place=str(path)) from None
    if done.returncode == 0:
        return msgspec.json.decode(done.stdout, type=Settings)
    if done.returncode == FAULTY:
        raise ConfigError(faults=msgspec.json.decode(done.stdout, type=list[Fault]))
    raise ConfigError(f"cannot be read (the process that reads it ended with {done.returncode})", place=str(path))


def with_kept_key(settings: Settings) -> Settings:
    """Fill in the API key that is kept beside the journal (and made there first) if the configuration names none.

    `ConfigError` if that cannot be read or made.
    """
    if settings.api.open:
        return settings
    key = api_key(Path(settings.database_path).parent, settings.api.api_key)
    return msgspec.structs.replace(
        settings,
        api=msgspec.structs.replace(settings.api, api_key=key),
        secrets=tuple(dict.fromkeys((*settings.secrets, key))),
    )


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of ours with this Python, without files of the working directory."""
    installed = str(Path(__file__).parents[2]) in sys.path[1:]
    return [sys.executable, *(["-P"] if installed else []), "-m", module, *arguments]
