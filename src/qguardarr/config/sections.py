"""Some sections of a file whose others may be missing or faulty: a newcomer has no trackers yet, and to undo what was
done must be possible while the file is being edited."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from qguardarr.config.load import read_text
from qguardarr.config.schema import Config
from qguardarr.config.source import Source
from qguardarr.errors import ConfigError

CATCH_ALL: Final = ({"id": "default", "pattern": ".*", "max_upload_speed": -1},)


def load_sections(path: Path, sections: Collection[str], environment: Mapping[str, str] | None = None) -> Config:
    """Only `sections` of the file, all else at its default, with one unlimited rule. ConfigError if they are faulty."""
    source = Source(read_text(path), os.environ if environment is None else environment)
    faulty = [fault for fault in source.faults if not fault.path or fault.path[0] in sections]
    if faulty or not isinstance(source.value, dict):
        raise ConfigError(f"{path}: not readable in the sections {', '.join(sections)}")
    values = {key: source.value[key] for key in sections if source.value.get(key) is not None}
    try:
        return Config.model_validate({"trackers": CATCH_ALL} | values).anchored(path.absolute().parent)
    except ValidationError:
        raise ConfigError(f"{path}: faulty in the sections {', '.join(sections)}") from None
