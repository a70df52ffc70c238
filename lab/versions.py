"""The three qBittorrent versions that the lab tests against, installed or built when they are missing.

4.5.2 is the machine's own package (Debian bookworm). 5.1.0 and 5.3.0 come out of small Debian roots (trixie, and
trixie-backports on top), built once into a cache folder outside the repo and run with the root's own dynamic loader, so
that no root rights and no chroot are needed to run them. The mirror is the one that the machine's apt uses.

    python -m lab.versions          # makes sure of all three, prints their paths
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lab.errors import LabError

VERSIONS: Final = ("4.5.2", "5.1.0", "5.3.0")

_SYSTEM_BINARY: Final = Path("/usr/bin/qbittorrent-nox")
_LOADERS: Final = {"x86_64": "lib64/ld-linux-x86-64.so.2", "aarch64": "lib/ld-linux-aarch64.so.1"}
_COMMAND_TIMEOUT_S: Final = 1200.0


@dataclass(frozen=True)
class Binary:
    """Command and version of one qbittorrent-nox."""

    version: str
    """Version as asked for: one of `VERSIONS`."""
    command: tuple[str, ...]
    """Command, before qBittorrent's own arguments."""
    path: Path
    """The executable."""
    env: tuple[tuple[str, str], ...] = ()
    """Environment variables that it needs."""

    def reported_version(self) -> str:
        """Return the version that the binary reports, such as `4.5.2`."""
        with tempfile.TemporaryDirectory(prefix="lab-version-") as home:
            env = {**os.environ, **dict(self.env), "HOME": home}
            text = _run([*self.command, "--version"], env=env, timeout_s=30.0)
        found = re.search(r"v(\d+\.\d+\.\d+)", text)
        if found is None:
            raise LabError(f"{self.path} says {text[:200]!r} when asked for its version")
        return found.group(1)


def cache_folder() -> Path:
    """Where built roots are kept: $QGUARDARR_LAB_CACHE, or ~/.cache/qguardarr-lab."""
    chosen = os.environ.get("QGUARDARR_LAB_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "qguardarr-lab"


@functools.cache
def ensure(version: str) -> Binary:
    """The binary of `version`, installed or built first when it is missing (which takes about a minute)."""
    if version not in VERSIONS:
        raise LabError(f"the lab knows {', '.join(VERSIONS)}, not {version}")
    with locked():
        return _system() if version == "4.5.2" else _rooted(version)


def _system() -> Binary:
    """The machine's own package."""
    if not _SYSTEM_BINARY.exists():
        install("qbittorrent-nox")
    return _checked(Binary("4.5.2", (str(_SYSTEM_BINARY),), _SYSTEM_BINARY))


def _rooted(version: str) -> Binary:
    """The binary inside a cached root; the root is built in a folder beside and renamed when it is complete."""
    root = cache_folder() / f"root-{version}-{platform.machine()}"
    if not root.exists():
        if os.geteuid() != 0:
            raise LabError(f"qBittorrent {version} has to be set up once, as root: python -m lab.versions")
        _say(f"building the root of qBittorrent {version} (about a minute)")
        building = Path(tempfile.mkdtemp(prefix=f"building-{version}-", dir=cache_folder()))
        try:
            building.chmod(0o755)
            _bootstrap(building)
            if version == "5.3.0":
                _upgrade_from_backports(building)
            _checked(_binary_in(building, version))
            building.rename(root)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
    return _checked(_binary_in(root, version))


def _binary_in(root: Path, version: str) -> Binary:
    """Return the command that runs qbittorrent-nox out of `root` without entering it."""
    machine = platform.machine()
    if machine not in _LOADERS:
        raise LabError(f"the lab cannot run a Debian root on {machine}")
    libraries = root / "usr/lib" / f"{machine}-linux-gnu"
    path = root / "usr/bin/qbittorrent-nox"
    search = ":".join(str(folder) for folder in (libraries, libraries / "libproxy", root / "usr/lib"))
    command = (str(root / "usr" / _LOADERS[machine]), "--library-path", search, str(path))
    return Binary(version, command, path, (("QT_PLUGIN_PATH", str(libraries / "qt6/plugins")),))


def _bootstrap(root: Path) -> None:
    if shutil.which("debootstrap") is None:
        install("debootstrap")
    _run(["debootstrap", "--variant=minbase", "--include=qbittorrent-nox", "trixie", str(root), debian_mirror()])


def _upgrade_from_backports(root: Path) -> None:
    """Install the newer package inside `root`; packages are fetched by the root's own apt, in a chroot."""
    source = root / "etc/apt/sources.list.d/backports.list"
    source.write_text(f"deb {debian_mirror()} trixie-backports main\n")
    for name in ("resolv.conf", "hosts"):
        shutil.copyfile(Path("/etc") / name, root / "etc" / name)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    chroot = ["chroot", str(root), "apt-get", "-qq", "-y"]
    _run([*chroot, "update"], env=env)
    _run([*chroot, "install", "--no-install-recommends", "-t", "trixie-backports", "qbittorrent-nox"], env=env)
    _run([*chroot, "clean"], env=env)


def debian_mirror() -> str:
    """The machine's own Debian mirror, as apt reads it from its sources."""
    targets = _run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(CREATED_BY) $(COMPONENT) $(RELEASE) $(REPO_URI)",
            "Created-By: Packages",
        ]
    )
    for line in targets.splitlines():
        _, component, release, uri = line.split(" ", 3)
        if component == "main" and release in ("bookworm", "trixie", "stable", "oldstable"):
            return uri.strip()
    raise LabError("no Debian mirror found in apt's sources")


def install(package: str) -> None:
    """Install a Debian package with the machine's own apt; LabError says what to do if that takes root."""
    if os.geteuid() != 0:
        raise LabError(f"{package} is missing. As root, once: apt-get install --no-install-recommends {package}")
    _say(f"installing {package}")
    _run(["apt-get", "update"])
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "install", "-y", "--no-install-recommends", package], env=env)


def _checked(binary: Binary) -> Binary:
    """`binary`, if it is of the series asked for."""
    wanted, found = binary.version.rpartition(".")[0], binary.reported_version()
    if not found.startswith(wanted + "."):
        raise LabError(f"wanted qBittorrent {wanted}.x, but {binary.path} is {found}")
    return binary


def _run(command: list[str], env: dict[str, str] | None = None, timeout_s: float = _COMMAND_TIMEOUT_S) -> str:
    """Standard output of a command that has to succeed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=timeout_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        tail = (done.stderr or done.stdout)[-800:]
        raise LabError(f"{' '.join(command[:6])} … ended with {done.returncode}: {tail}")
    return done.stdout


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One process at a time installs or builds."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Make sure of all versions and print where they are."""
    try:
        for version in VERSIONS:
            print(f"{version}  {ensure(version).path}")
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
