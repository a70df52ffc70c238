"""Read some sections of a file whose other sections may be missing or have errors.

A newcomer has no trackers yet, and a rollback must work while the file is being edited.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from qguardarr.config.environment import Overrides, variable_of
from qguardarr.config.load import Loaded, read_text
from qguardarr.config.schema import Config
from qguardarr.config.source import Source
from qguardarr.config.starter import starter_file
from qguardarr.errors import ConfigError
from qguardarr.smallfile import is_missing

CATCH_ALL: Final = ({"id": "default", "pattern": ".*", "max_upload_speed": -1},)


def load_sections(
    path: Path, sections: Collection[str], environment: Mapping[str, str] | None = None, *, stand_in: bool = False
) -> Loaded:
    """Return `sections` of the file, all others at their defaults, with one unlimited rule. Raises `ConfigError`.

    `stand_in`: as in `qguardarr.config.load.read`.
    """
    environment = os.environ if environment is None else environment
    source = Source(starter_file() if stand_in and is_missing(path) else read_text(path), environment)
    faulty = [fault for fault in source.faults if not fault.path or fault.path[0] in sections]
    overrides = Overrides(environment, path.absolute().parent)
    faulty = [fault for fault in faulty if not overrides.covers(fault.path)]
    prefixes = tuple(map(variable_of, zip(sections)))
    faulty += [fault for fault in overrides.faults if str(fault.path[0]).startswith(prefixes)]
    if faulty or not isinstance(source.value, dict):
        raise ConfigError(f"not readable in the sections {', '.join(sections)}", place=str(path))
    values = overrides.over(source.value)
    values = {key: values[key] for key in sections if values.get(key) is not None}
    try:
        config = Config.model_validate({"trackers": CATCH_ALL} | values).anchored(path.absolute().parent)
    except ValidationError:
        raise ConfigError(f"faulty in the sections {', '.join(sections)}", place=str(path)) from None
    return Loaded(config, source, overrides)
