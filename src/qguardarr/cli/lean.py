"""The daemon's imports, without what it never uses."""

from __future__ import annotations

import importlib
import sys
from typing import Any, cast


def import_runtime() -> Any:
    """`qguardarr.runtime`, imported while rich cannot be: structlog would load it (5 MB) only to have it at hand."""
    modules = cast("dict[str, object]", sys.modules)
    hidden = "rich" not in modules
    if hidden:
        modules["rich"] = None
    try:
        return importlib.import_module("qguardarr.runtime")
    finally:
        if hidden:
            del modules["rich"]
