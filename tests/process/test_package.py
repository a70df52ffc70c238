"""The wheel and the sdist: the same bytes each time, complete, and at work without the clone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from packaging.version import Version

from lab.processes import free_port
from qguardarr import __version__
from tests.support.api_client import KEY, ApiClient
from tests.support.daemon_process import DaemonProcess
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent
from tests.support.paths import ROOT

CLONE: Final = ROOT
DASHBOARD: Final = CLONE / "src/qguardarr/api/web/dashboard"
PARTS: Final = ("src/qguardarr", "deploy", "tests", "pyproject.toml", ".gitignore")
EPOCH: Final = 1_700_000_000


def copy_of_the_clone(folder: Path, *, umask: int) -> Path:
    """The files that a build may look at, with other times and modes than here, and some of a person's own."""
    before = os.umask(umask)
    try:
        for part in (*PARTS, *(path.name for path in CLONE.glob("*.md")), "LICENSE"):
            source, target = CLONE / part, folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, target, copy_function=shutil.copyfile, ignore=ignore)
            else:
                shutil.copyfile(source, target)
        for name in ("config/qguardarr.yaml", "config/mine.yaml", "deploy/mine.env", "data/qguardarr.db", "notes.txt"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("password: of mine\n")
    finally:
        os.umask(before)
    return folder


def build(clone: Path, target: Path, *arguments: str, **environment: str) -> list[Path]:
    """What hatchling, the build backend, makes of a clone."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(target), *arguments]
    variables = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), **environment}
    subprocess.run(command, cwd=clone, env=variables, check=True, capture_output=True, timeout=120)
    return sorted(target.iterdir())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Sdist and wheel."""
    folder = tmp_path_factory.mktemp("built")
    wheel, sdist = build(copy_of_the_clone(folder / "clone", umask=0o022), folder / "dist")
    return sdist, wheel


def test_a_build_gives_the_same_bytes_wherever_and_whenever_it_is_made(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    clone = copy_of_the_clone(tmp_path / "another" / "place", umask=0o077)
    again = build(clone, tmp_path / "dist", PYTHONHASHSEED="7", TZ="Pacific/Auckland", LANG="C")
    assert {path.name: path.read_bytes() for path in again} == {path.name: path.read_bytes() for path in built}


def test_the_wheel_that_the_sdist_makes_is_the_same(built: tuple[Path, Path], tmp_path: Path) -> None:
    sdist, wheel = built
    subprocess.run(["tar", "-xzf", str(sdist), "-C", str(tmp_path)], check=True, timeout=60)
    (clone,) = tmp_path.iterdir()
    (again,) = build(clone, tmp_path / "dist", "--target", "wheel")
    assert again.read_bytes() == wheel.read_bytes()


def test_all_of_the_program_and_nothing_of_a_person_is_in_them(built: tuple[Path, Path]) -> None:
    sdist, wheel = built
    sources = CLONE / "src"
    program = {
        path.relative_to(sources).as_posix()
        for path in sources.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path)
    }
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        assert program <= inside
        rest = {name.partition("/")[2] for name in inside - program}
        assert not [name for name in inside if b"of mine" in archive.read(name)]
    assert {name for name in rest if name.startswith("data/")} == {
        "data/share/qguardarr/prometheus-alerts.yaml",
        "data/share/qguardarr/qguardarr.example.yaml",
        "data/share/qguardarr/qguardarr.service",
    }
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in program} <= names
    assert not {name for name in names if name.endswith(("mine.yaml", "mine.env", "qguardarr.db", "notes.txt"))}
    assert "config/qguardarr.yaml" not in names


@pytest.mark.skipif(
    not (DASHBOARD / "index.html").is_file() and "CI" not in os.environ, reason="the dashboard is not built: make web"
)
def test_the_dashboard_is_in_them_with_its_compressed_copies(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as archive:
        names = {name.partition("/api/web/dashboard/")[2] for name in archive.namelist()}
    assets = {path.name for path in (DASHBOARD / "assets").iterdir()}
    assert {"index.html", "index.html.gz", "index.html.br", *(f"assets/{name}" for name in assets)} == names - {""}


def test_the_version_stands_in_one_place(built: tuple[Path, Path]) -> None:
    assert [path.name for path in built] == [
        f"qguardarr-{__version__}.tar.gz",
        f"qguardarr-{__version__}-py3-none-any.whl",
    ]
    assert str(Version(__version__)) == __version__, "as package registries write it"
    assert __version__ not in (CLONE / "pyproject.toml").read_text()
    headings = re.findall(r"^## \[(.+?)\](?: (.+))?$", (CLONE / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert any(__version__ in heading for heading in headings), "the changelog tells of it"


def test_the_notes_of_a_release_are_its_section_of_the_changelog(tmp_path: Path) -> None:
    clone = copy_of_the_clone(tmp_path / "clone", umask=0o022)
    shutil.copyfile(CLONE / "Makefile", clone / "Makefile")

    def make(tag: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "-s", "release-notes", f"TAG={tag}"]
        return subprocess.run(command, cwd=clone, capture_output=True, text=True, timeout=60, check=False)

    (clone / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased] 0.1.0\n\n- not yet\n")
    refused = make(f"v{__version__}")
    assert (refused.returncode, "has no section" in refused.stderr) == (2, True)
    (clone / "CHANGELOG.md").write_text(
        f"# Changelog\n\n## [Unreleased]\n\n- later\n\n## [{__version__}] - 2030-01-02\n\n### New\n\n- this\n\n"
        f"## [{__version__}.1] - 2029-01-02\n\n- before\n"
    )
    assert "The tag is v0.0.7, but the program says" in make("v0.0.7").stderr
    assert make(f"v{__version__}").returncode == 0
    assert (clone / ".cache/release/notes.md").read_text().split("\n") == ["", "### New", "", "- this", "", ""]


# -- installed --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment's `bin`, with the wheel and what it asks for, of the versions that are locked."""
    folder = tmp_path_factory.mktemp("environment")
    pins = re.findall(r"^[\w.-]+==[^\s\\]+", (CLONE / "requirements.txt").read_text(), re.MULTILINE)
    (folder / "pins.txt").write_text("\n".join(pins))
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True, timeout=300)
    pip = [folder / "venv/bin/python", "-m", "pip", "-q", "--disable-pip-version-check"]
    quietly = {"check": True, "capture_output": True, "text": True, "timeout": 900}
    subprocess.run([*pip, "install", "--constraint", folder / "pins.txt", built[1]], **quietly)
    subprocess.run([*pip, "check"], **quietly)
    return folder / "venv" / "bin"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another folder, and an environment in which nothing leads to the clone."""
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "QGUARDARR_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.fixture
def fake() -> Iterator[FakeQBittorrent]:
    with FakeQBittorrent() as qbittorrent:
        qbittorrent.add(FakeTorrent("1" * 40, "first", ("http://tracker.example.org/announce",)))
        yield qbittorrent


def test_what_was_installed_works_from_another_folder(installed: Path, elsewhere: Path, fake: FakeQBittorrent) -> None:
    config = elsewhere / "config" / "qguardarr.yaml"
    variables = {
        **os.environ,
        "QBIT_URL": fake.url,
        "QBIT_USERNAME": fake.username,
        "QBIT_PASSWORD": fake.password,
        "QGUARDARR__AUTH__API_KEY": KEY,
        "QGUARDARR__GLOBAL__PORT": str(free_port()),
    }

    def run(*arguments: str) -> str:
        command = [installed / "qguardarr", *arguments]
        done = subprocess.run(
            command, cwd=elsewhere, env=variables, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("--version").strip() == __version__
    run("init", "--non-interactive", "--cap", "tracker.example.org=1 MB/s")
    assert "no faults" in run("check", "--connect")
    assert str(CLONE) not in run("preview")
    config.write_text(config.read_text().replace("dry_run: true", "dry_run: false"))
    database = config.parent / "data/qguardarr.db"
    command = (str(installed / "qguardarr"), "serve", "--config")
    daemon = DaemonProcess(config, database, variables, command=command)
    try:
        daemon.wait_for_state("holding")
        api = ApiClient(int(variables["QGUARDARR__GLOBAL__PORT"]))
        pages = ("/", "/health", "/docs", "/openapi.json", "/metrics", "/api/v1/status")
        assert {page: api.get(page).status for page in pages} == dict.fromkeys(pages, 200)
        assert json.loads(run("status", "--json"))["daemon"]["version"] == __version__
        maps = Path(f"/proc/{daemon.process.pid}/maps").read_text()
        assert str(CLONE) not in maps, "it runs code of the clone"
        assert daemon.end() == 0
    finally:
        daemon.kill()
    assert str(CLONE) not in daemon.log


def test_the_example_and_the_unit_come_with_it(installed: Path) -> None:
    share = installed.parent / "share" / "qguardarr"
    for name in (
        "src/qguardarr/config/qguardarr.example.yaml",
        "deploy/prometheus-alerts.yaml",
        "deploy/qguardarr.service",
    ):
        assert (share / Path(name).name).read_bytes() == (CLONE / name).read_bytes()
