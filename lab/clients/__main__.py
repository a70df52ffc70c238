"""Make sure of all clients, and print where they are."""

from __future__ import annotations

import shutil
import sys

from lab.clients import FAMILIES, ensure
from lab.errors import LabError


def main() -> int:
    """Install missing clients; exit code 1 if that cannot be done."""
    try:
        for family, client in FAMILIES.items():
            ensure(family)
            print(f"{family:<14} {shutil.which(client.program)}")
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
