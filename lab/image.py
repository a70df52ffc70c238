"""Builds a container image from a Dockerfile without a container engine, and says how large it is.

Debian's buildah does it, with chroot isolation, as root. Where the public base image cannot be pulled, a small Debian
root stands in for it; it is bootstrapped once into the lab's cache folder. Nothing else differs. pip inside the build
is configured as pip on this machine is, by a build secret, so that neither image nor repo ever holds a host's name.

    python -m lab.image                                              # on the stand-in
    python -m lab.image --base docker.io/library/python:3.11-slim-bookworm

`lab.container` runs the image.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lab.errors import LabError
from lab.versions import cache_folder, debian_mirror, install, locked

NAME: Final = "localhost/qguardarr:built"

_PACKAGES: Final = ("ca-certificates", "netbase", "python3", "python3-venv", "tzdata")
"""Contents of the official Python image beyond Debian's slim one, as far as a program could notice."""
_LEFT_OUT: Final = ("usr/share/doc", "usr/share/info", "usr/share/man", "usr/share/locale", "var/lib/apt/lists")
"""Debian's slim image has none of it either."""
_NODE_PACKAGES: Final = ("nodejs", "npm")
STAND_IN: Final = f"localhost/stand-in:{zlib.crc32(repr((_PACKAGES, _LEFT_OUT)).encode()):08x}"
NODE_STAND_IN: Final = f"localhost/stand-in-node:{zlib.crc32(repr((STAND_IN, _NODE_PACKAGES)).encode()):08x}"
"""The same with Debian's Node, the oldest that the dashboard can be built with."""
_PIP_OPTIONS: Final = ("index-url", "extra-index-url", "find-links", "cert", "client-cert", "trusted-host", "proxy")
_NPM_OPTIONS: Final = ("registry", "cafile", "https-proxy", "noproxy")
_TIMEOUT_S: Final = 1200.0
_REPO: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Built:
    """An image in the lab's storage."""

    name: str
    config: Mapping[str, Any]
    """Configuration as `docker inspect` shows it: User, Env, Entrypoint, Healthcheck …"""
    unpacked_bytes: int
    """Of the layers that come on top of the base."""
    packed_bytes: int
    """Of all layers, as a registry keeps them (gzip)."""


def build(
    context: Path, *, base: str = STAND_IN, name: str = NAME, arguments: Mapping[str, str] | None = None
) -> Built:
    """Build the Dockerfile in `context` on `base`. `arguments`: further build arguments."""
    if os.geteuid() != 0:
        raise LabError("buildah with chroot isolation needs root")
    if shutil.which("buildah") is None:
        install("buildah")
    bases = {"BASE": base}
    if base == STAND_IN:
        _import_stand_in()
        _add_node()
        bases["NODE"] = NODE_STAND_IN
    given = [f"--build-arg={key}={value}" for key, value in {**bases, **(arguments or {})}.items()]
    with _pip_configuration() as pip, _npm_configuration() as npm:
        options = [*pip, *npm]
        # The format of docker: OCI's own has no health check.
        _buildah("build", "--format=docker", "--pull=false", *given, *options, f"--tag={name}", str(context))
    _buildah("rmi", "--prune")
    config = json.loads(_buildah("inspect", "--type=image", name))["Docker"]["config"]
    return Built(name, config, *_sizes(name, base))


@contextlib.contextmanager
def mounted(name: str) -> Iterator[Path]:
    """A copy of the image's files."""
    container = _buildah("from", "--pull-never", name).strip()
    try:
        yield Path(_buildah("mount", container).strip())
    finally:
        _buildah("rm", container)


def _sizes(name: str, base: str) -> tuple[int, int]:
    """Unpacked bytes above the base, and packed bytes of everything."""
    layers, of_base = _layers(name), _layers(base)
    return sum(unpacked for unpacked, _ in layers[len(of_base) :]), sum(packed for _, packed in layers)


def _layers(name: str) -> list[tuple[int, int]]:
    """Unpacked and packed bytes of each layer."""
    with tempfile.TemporaryDirectory(prefix="lab-image-") as folder:
        _buildah("push", "--quiet", "--disable-compression", name, f"dir:{folder}")
        manifest = json.loads(Path(folder, "manifest.json").read_text(encoding="utf-8"))
        return [_measured(Path(folder, layer["digest"].partition(":")[2])) for layer in manifest["layers"]]


def _measured(archive: Path) -> tuple[int, int]:
    packed, size = zlib.compressobj(6), 0
    with archive.open("rb") as file:
        while block := file.read(1 << 20):
            size += len(packed.compress(block))
    return archive.stat().st_size, size + len(packed.flush())


# -- the stand-in for the base ----------------------------------------------------------------------------------------


def _import_stand_in() -> None:
    """Have it in the storage."""
    with locked():
        if STAND_IN in _buildah("images", "--format={{.Name}}:{{.Tag}}").split():
            return
        _say("bootstrapping the stand-in for the base image (about a minute)")
        if shutil.which("debootstrap") is None:
            install("debootstrap")
        root = Path(tempfile.mkdtemp(prefix="building-base-", dir=cache_folder()))
        try:
            root.chmod(0o755)
            include = f"--include={','.join(_PACKAGES)}"
            _run(["debootstrap", "--variant=minbase", include, "bookworm", str(root), debian_mirror()])
            _run(["chroot", str(root), "apt-get", "clean"])
            for folder in _LEFT_OUT:
                shutil.rmtree(root / folder, ignore_errors=True)
            container = _buildah("from", "scratch").strip()
            _buildah("add", "--quiet", container, str(root), "/")
            _buildah("config", "--env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
            _buildah("commit", "--quiet", "--rm", container, STAND_IN)
        finally:
            shutil.rmtree(root, ignore_errors=True)


def _add_node() -> None:
    """Have the stand-in with Node in the storage."""
    with locked():
        if NODE_STAND_IN in _buildah("images", "--format={{.Name}}:{{.Tag}}").split():
            return
        _say("adding Debian's Node to the stand-in (about two minutes)")
        container = _buildah("from", "--pull-never", STAND_IN).strip()
        try:
            inside = ("run", "--env=DEBIAN_FRONTEND=noninteractive", container, "--")
            _buildah(*inside, "apt-get", "-qq", "update")
            _buildah(*inside, "apt-get", "-qq", "-y", "--no-install-recommends", "install", *_NODE_PACKAGES)
            _buildah("commit", "--quiet", container, NODE_STAND_IN)
        finally:
            _buildah("rm", container)


# -- npm and pip as they are configured on this machine ---------------------------------------------------------------


@contextlib.contextmanager
def _npm_configuration() -> Iterator[list[str]]:
    """Options of `buildah build` under which npm inside asks the registry of this machine."""
    found = {option: _run(["npm", "config", "get", option]).strip() for option in _NPM_OPTIONS}
    options: list[str] = []
    lines = [f"{option}={value}" for option, value in found.items() if value not in ("null", "undefined", "")]
    cert = os.environ.get("NODE_EXTRA_CA_CERTS") or found["cafile"]
    if Path(cert).is_file():
        options = [f"--volume={cert}:/machine/npm-ca.pem:ro"]
        lines = [*(line for line in lines if not line.startswith("cafile=")), "cafile=/machine/npm-ca.pem"]
    with tempfile.NamedTemporaryFile("w", prefix="lab-npm-", suffix=".rc") as file:
        file.write("\n".join([*lines, ""]))
        file.flush()
        yield [f"--secret=id=npm,src={file.name}", *options]


# -- pip as it is configured on this machine --------------------------------------------------------------------------


@contextlib.contextmanager
def _pip_configuration() -> Iterator[list[str]]:
    """Options of `buildah build` under which pip inside finds the same indexes and certificates as outside."""
    volumes: list[str] = []

    def inside(word: str) -> str:
        """The word, with a path of this machine replaced by that of a volume inside the build.

        The volume is the folder around it: an index on disk may refer to files beside it.
        """
        path = Path(word.removeprefix("file://"))
        if not (path.is_absolute() and path.exists()):
            return word
        volume = f"/machine/{len(volumes)}"
        volumes.append(f"--volume={path.parent}:{volume}:ro")
        return f"{word.removesuffix(str(path))}{volume}/{path.name}"

    lines = [f"{key} = {' '.join(map(inside, value.split()))}" for key, value in _pip_options().items()]
    with tempfile.NamedTemporaryFile("w", prefix="lab-pip-", suffix=".conf") as file:
        file.write("\n".join(["[global]", *lines, ""]))
        file.flush()
        yield [f"--secret=id=pip,src={file.name}", *volumes]


def _pip_options() -> dict[str, str]:
    """Return where pip looks for packages here. The environment comes last in pip's list, and counts."""
    found: dict[str, str] = {}
    listed = _run([sys.executable, "-m", "pip", "config", "list"]).splitlines()
    for line in sorted(listed, key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option in _PIP_OPTIONS:
            found[option] = ast.literal_eval(value)
    return found


# -- commands ---------------------------------------------------------------------------------------------------------


def _buildah(*arguments: str) -> str:
    """Standard output of buildah, on a storage of the lab's own."""
    storage = cache_folder() / f"images-{platform.machine()}"
    roots = [f"--root={storage / 'root'}", f"--runroot={storage / 'run'}"]
    return _run(["buildah", "--storage-driver=vfs", *roots, *arguments])


def _run(command: Sequence[str]) -> str:
    env = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise LabError(
            f"{' '.join(command[:7])} … ended with {done.returncode}:\n{(done.stderr or done.stdout)[-3000:]}"
        )
    return done.stdout


def _say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def revision(repo: Path) -> dict[str, str]:
    """Return the build arguments that identify the image: version, commit, and the commit's time."""
    tables = tomllib.loads((repo / "pyproject.toml").read_text(encoding="utf-8"))
    version = tables["project"].get("version") or _version_in(repo / tables["tool"]["hatch"]["version"]["path"])
    try:
        commit, time = _run(["git", "-C", str(repo), "log", "-1", "--format=%H %cI"]).split()
    except LabError:  # a source archive
        commit, time = "unknown", "1970-01-01T00:00:00Z"
    return {"VERSION": version, "REVISION": commit, "CREATED": time}


def _version_in(module: Path) -> str:
    found = re.search(r'^__version__ = "(.+)"$', module.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise LabError(f"{module} names no version")
    return found[1]


def main() -> int:
    """Build the repo's image and say how large it is."""
    parser = argparse.ArgumentParser(description="Builds the container image with buildah.")
    parser.add_argument("--base", default=STAND_IN, help="base image (default: a Debian root made here)")
    parser.add_argument("--name", default=NAME, help=f"name of the result (default: {NAME})")
    given = parser.parse_args()
    try:
        built = build(_REPO, base=given.base, name=given.name, arguments=revision(_REPO))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    unpacked, packed = built.unpacked_bytes / 1e6, built.packed_bytes / 1e6
    print(f"{built.name}  {unpacked:.0f} MB above the base, {packed:.0f} MB compressed in all, in {cache_folder()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
