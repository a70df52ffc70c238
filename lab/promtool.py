"""promtool, which checks metrics and alert rules: taken out of Debian's package of Prometheus, without installing it.

python -m lab.promtool          # makes sure of it, prints its path
"""

from __future__ import annotations

import functools
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from lab.errors import LabError
from lab.versions import cache_folder

_TIMEOUT_S: Final = 600.0


@functools.cache
def promtool() -> Path:
    """The executable in the lab's cache, downloaded first when it is missing."""
    path = cache_folder() / f"promtool-{platform.machine()}"
    if not path.exists():
        print("lab: downloading promtool", file=sys.stderr, flush=True)
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="promtool-", dir=cache_folder()) as folder:
            _extracted(Path(folder)).rename(path)  # whole or not at all
    said = _run([str(path), "--version"], cache_folder())
    if not said.startswith("promtool"):
        raise LabError(f"{path} says {said[:200]!r} when asked for its version")
    return path


def _extracted(folder: Path) -> Path:
    """Download the package to `folder` and take the one file out of it."""
    try:
        _run(["apt-get", "download", "prometheus"], folder)
    except LabError:  # apt's lists may be missing or old
        _run(["apt-get", "update"], folder)
        _run(["apt-get", "download", "prometheus"], folder)
    (package,) = folder.glob("prometheus_*.deb")
    _run(["sh", "-c", 'dpkg-deb --fsys-tarfile "$1" | tar -x ./usr/bin/promtool', "sh", str(package)], folder)
    return folder / "usr/bin/promtool"


def _run(command: list[str], folder: Path) -> str:
    """Run a command that has to succeed in `folder`; return its output."""
    try:
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=_TIMEOUT_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise LabError(f"{' '.join(command[:3])} … ended with {done.returncode}: {done.stdout[-800:]}")
    return done.stdout


if __name__ == "__main__":
    print(promtool())
