"""`python -m qguardarr.daemon FILE`: what `qguardarr serve` turns into.

A process of its own making, so that neither the command line nor the configuration's schema stays in memory (10 MB).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

from qguardarr.errors import QguardarrError
from qguardarr.exits import report


def main() -> int:
    """Serve with the configuration file named on the command line."""
    modules = cast("dict[str, Any]", sys.modules)
    modules["rich"] = None  # structlog would load it (5 MB) only to have it at hand
    from qguardarr.runtime import serve

    del modules["rich"]
    try:
        return serve(Path(sys.argv[1]))
    except QguardarrError as error:
        return report(error)


if __name__ == "__main__":
    sys.exit(main())
