"""The container image, built from the Dockerfile and run as a container engine would: its parts, its users, what it
says when it cannot work, and its work beside a real qBittorrent. `lab.container` tells what stands in for an engine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from lab.container import Container, Options, running
from lab.image import Built, build, mounted, revision
from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.rig import Rig
from lab.scenario import GREEDY, MB, Phase, Scenario, TrackerSpec
from tests.support.daemon_process import END_WITHIN_S, until
from tests.support.held import check_last_phase
from tests.support.paths import ROOT

pytestmark = pytest.mark.image

REPO: Final = ROOT
ORIGINAL: Final = 3_000_000
FOR_PUID: Final = ("chown", "setgid", "setuid")
"""What docker-compose.yml adds to no capabilities at all."""

LEFT_OUT: Final = {"flask-swagger-ui": {"flask"}, "rich": {"pygments"}}
"""Requirements that the image does without, and whose they are: code that the program never reaches."""

OUTLINE: Final = """
import importlib.metadata, json, re
print(json.dumps({re.sub("[-_.]+", "-", d.name).lower(): [r for r in d.requires or () if "extra ==" not in r]
                  for d in importlib.metadata.distributions()}))
"""


class Image:
    """The built image, and containers of it."""

    def __init__(self, built: Built, root: Path, folder: Path) -> None:
        self.built = built
        self.root = root
        self.folder = folder
        """The host's folder that becomes /config."""
        self.port = free_port()

    def options(self, user: str | None = None, **changes: Any) -> Options:
        """As little as can be: no capabilities, nothing to write in but /config."""
        env = {"QGUARDARR__GLOBAL__HOST": "127.0.0.1", "QGUARDARR__GLOBAL__PORT": str(self.port)}
        least = Options(user=user, env=env, volumes={self.folder: "/config"}, capabilities=(), tmpfs=())
        return replace(least, **{**changes, "env": {**env, **changes.get("env", {})}})

    def running(self, options: Options, *arguments: str) -> contextlib.AbstractContextManager[Container]:
        log = self.folder.with_name("container.log")
        log.write_bytes(b"")
        return running(self.root, self.built.config, options, log, arguments or None)

    def said(self, options: Options, *arguments: str) -> tuple[int, str]:
        """Exit code and output of a container that ends by itself."""
        with self.running(options, *arguments) as container:
            return container.wait(60.0), container.log


@pytest.fixture(scope="session")
def built_image() -> Iterator[tuple[Built, Path]]:
    built = build(REPO, arguments=revision(REPO))
    with mounted(built.name) as root:
        yield built, root


@pytest.fixture
def image(built_image: tuple[Built, Path], tmp_path: Path) -> Image:
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):  # pytest's own are its user's alone
        folder.chmod(0o755)
    folder = tmp_path / "config"
    folder.mkdir()
    os.chown(folder, 1000, 1000)
    return Image(*built_image, folder)


def healthy(container: Container, words: Sequence[str] = ("healthy",)) -> None:
    """Wait until the image's own health check says so."""
    test = ["CMD", "qguardarr", "health"]
    assert container.config["Healthcheck"]["Test"] == test
    until(
        lambda: (found := container.execute(*test[1:])).returncode == 0 and found.stdout.strip() in words,
        lambda: f"health; log:\n{container.log}",
    )


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


# -- what it is made of -----------------------------------------------------------------------------------------------


def test_it_says_what_it_is(image: Image) -> None:
    config = image.built.config
    assert (config["User"], config["StopSignal"], config["WorkingDir"]) == ("1000:1000", "SIGTERM", "/config")
    assert set(config["ExposedPorts"]) == {"8089/tcp"}
    assert set(config["Volumes"]) == {"/config"}
    labels = {key.rpartition(".")[2]: value for key, value in config["Labels"].items() if "opencontainers" in key}
    told = revision(REPO)
    assert (labels["version"], labels["revision"]) == (told["VERSION"], told["REVISION"])
    assert labels["title"] == "Qguardarr"
    assert image.said(image.options(), "--version") == (0, told["VERSION"] + "\n")


def test_it_is_small_and_holds_nothing_to_build_or_install_with(image: Image) -> None:
    assert image.built.unpacked_bytes < 90e6
    tools = {"cc", "gcc", "g++", "c++", "cpp", "ld", "as", "make", "pip", "pip3", "curl", "wget", "node", "npm"}
    folders = [image.root / name for name in ("bin", "usr/bin", "usr/local/bin", "usr/sbin", "opt/qguardarr/bin")]
    assert not tools & {path.name for folder in folders for path in folder.iterdir()}
    for module in ("pip", "ensurepip", "setuptools", "hatchling", "flask"):
        for python in ("/opt/qguardarr/bin/python", "/usr/bin/python3"):
            run = in_root(image.root, python, "-c", f"import {module}")
            assert "ModuleNotFoundError" in run.stderr, (python, module)


def test_it_holds_what_the_program_needs_and_nothing_else(image: Image) -> None:
    found = json.loads(in_root(image.root, "/opt/qguardarr/bin/python", "-c", OUTLINE).stdout)
    needed, missing = set(), set()
    queue = ["qguardarr"]
    while queue:
        name = queue.pop()
        if name not in found:
            missing.add(name)
        elif name not in needed:
            needed.add(name)
            queue += required(found[name]) - LEFT_OUT.get(name, set())
    assert set(found) == needed
    # Of these the lock file, made for this version of Python, has none.
    assert not missing & {name.partition("==")[0] for name in (REPO / "requirements.txt").read_text().split()}


def test_the_dashboard_is_in_it(image: Image) -> None:
    (page,) = image.root.glob("opt/qguardarr/lib/python3.*/site-packages/qguardarr/api/web/dashboard/index.html")
    names = {path.name for path in (page.parent / "assets").iterdir()}
    assert {f"{name}.gz" for name in names if name.endswith(".js")} < names


def required(lines: Sequence[str]) -> set[str]:
    """Names of distributions."""
    return {re.sub("[-_.]+", "-", re.split(r"[^\w.-]", line, maxsplit=1)[0]).lower() for line in lines}


def test_nothing_of_the_machine_that_built_it_stays(image: Image) -> None:
    assert not (image.root / "etc/pip.conf").exists()
    assert not any((image.root / "build").glob("*"))
    assert not any((image.root / "config").iterdir())
    found = subprocess.run(
        ["grep", "-rlI", "/machine/", image.root / "opt"], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""


def in_root(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.defpath + ":/usr/sbin", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(["chroot", root, *command], capture_output=True, text=True, check=False, env=env)


# -- who runs it ------------------------------------------------------------------------------------------------------


def owned(folder: Path, owner: str) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, *map(int, owner.split(":")))


@pytest.mark.parametrize(
    ("user", "capabilities", "ids", "owner", "runs_as"),
    [
        pytest.param(None, (), {}, "1000:1000", "1000:1000", id="as it comes"),
        pytest.param("4321:8765", (), {}, "4321:8765", "4321:8765", id="another user"),
        pytest.param("1000840000:0", (), {}, "1000840000:0", "1000840000:0", id="any uid"),
        pytest.param("0:0", FOR_PUID, {"PUID": "99", "PGID": "100", "UMASK": "027"}, "0:0", "99:100", id="PUID"),
        pytest.param("0:0", FOR_PUID, {}, "1234:0", "1000:1000", id="root alone"),
        pytest.param("0:0", (), {"PUID": "0", "PGID": "0"}, "0:0", "0:0", id="rootless"),
    ],
)
def test_first_start_as(
    image: Image, user: str | None, capabilities: Sequence[str], ids: dict[str, str], owner: str, runs_as: str
) -> None:
    """Everything in the folder is this user's, the program has no rights beyond it, and SIGTERM ends it in time."""
    (image.folder / "kept").mkdir(mode=0o700)
    (image.folder / "kept" / "private").touch(mode=0o600)
    owned(image.folder, owner)
    with image.running(image.options(user, capabilities=capabilities, env=ids)) as container:
        healthy(container, ["starting"])  # qBittorrent's address is not known yet, and that is nothing wrong
        found = status_of(container.pid)
        assert found["Uid"].split() == [runs_as.partition(":")[0]] * 4
        assert found["Gid"].split() == [runs_as.partition(":")[2]] * 4
        assert (int(found["CapEff"], 16), int(found["CapPrm"], 16)) == (0, 0)
        assert found["Umask"] == ("0027" if "UMASK" in ids else "0022")
        assert container.execute("touch", "/tmp/x").returncode != 0
        assert container.execute("qguardarr", "api-key").returncode == 0  # as `docker exec`
        assert {f"{path.stat().st_uid}:{path.stat().st_gid}" for path in image.folder.rglob("*")} == {runs_as}
        assert container.stop(END_WITHIN_S) == 0
    assert "dry_run: true" in (image.folder / "qguardarr.yaml").read_text()
    assert {path.name for path in (image.folder / "data").iterdir()} >= {"api.key", "qguardarr.db"}


def test_what_links_lead_to_stays_its_owners(image: Image) -> None:
    """Or whoever can write into the folder could have anything of the host's handed over."""
    outside = image.folder.with_name("outside")
    outside.mkdir()
    (outside / "file").touch()
    (image.folder / "folder").symlink_to("/mnt")
    (image.folder / "link").symlink_to("/mnt/file")
    volumes = {image.folder: "/config", outside: "/mnt"}
    with image.running(image.options("0:0", capabilities=FOR_PUID, volumes=volumes)) as container:
        healthy(container, ["starting"])
    assert {path.lstat().st_uid for path in image.folder.iterdir()} == {1000}
    assert (outside.stat().st_uid, (outside / "file").stat().st_uid) == (0, 0)


# -- what it says when it cannot work ---------------------------------------------------------------------------------


def to_root(image: Image) -> None:
    os.chown(image.folder, 0, 0)


def journal_of_another(image: Image) -> None:
    (image.folder / "data").mkdir()
    (image.folder / "data" / "qguardarr.db").touch(mode=0o600)
    os.chown(image.folder / "data", 1000, 1000)


def secret_file(image: Image) -> None:
    (image.folder / "qguardarr.yaml").touch(mode=0o600)


def nothing(_: Image) -> None:
    pass


@pytest.mark.parametrize(
    ("prepare", "changes", "line"),
    [
        pytest.param(
            to_root, {}, "/config cannot be written by user 1000:1000: it belongs to 0:0. On the host: chown -R "
            "1000:1000", id="root's folder",
        ),
        pytest.param(
            nothing, {"user": "33:33"}, "/config cannot be written by user 33:33: it belongs to 1000:1000. On the "
            'host: chown -R 33:33 the folder that is mounted at /config, or start the container with user: "1000:1000"',
            id="another's folder",
        ),
        pytest.param(
            journal_of_another, {}, "/config/data/qguardarr.db cannot be used by user 1000:1000: it belongs to 0:0.",
            id="another's journal",
        ),
        pytest.param(
            secret_file, {}, "/config/qguardarr.yaml cannot be used by user 1000:1000: it belongs to 0:0.",
            id="another's configuration",
        ),
        pytest.param(nothing, {"mode": ":ro"}, "/config is mounted read-only", id="read-only"),
        pytest.param(
            nothing, {"user": "0:0", "env": {"PUID": "1001"}}, "cannot become user 1001:1000 (PUID, PGID): the "
            "container may not change users. Add cap_add: [CHOWN, SETGID, SETUID]", id="no rights",
        ),
        pytest.param(nothing, {"user": "0:0", "env": {"PGID": "users"}}, "PGID='users' is no number", id="no number"),
        pytest.param(nothing, {"env": {"UMASK": "0999"}}, "UMASK='0999' is no umask", id="no umask"),
    ],
)  # fmt: skip
def test_one_line_with_the_remedy(
    image: Image, prepare: Callable[[Image], None], changes: dict[str, Any], line: str
) -> None:
    prepare(image)
    volumes = {image.folder: "/config" + changes.pop("mode", "")}
    code, said = image.said(image.options(volumes=volumes, **changes))
    assert said.startswith(f"qguardarr: {line}"), said
    assert said.count("\n") == 1
    assert code == 2


def test_what_is_only_odd_is_a_warning(image: Image) -> None:
    with image.running(image.options(env={"PUID": "99", "TZ": "Europe/Atlantis"})) as container:
        healthy(container, ["starting"])
        first, second = container.log.splitlines()[:2]
    assert first.startswith(
        "qguardarr: warning: PUID=99 cannot be heeded, since the container starts as user 1000:1000"
    )
    assert second.startswith("qguardarr: warning: TZ=Europe/Atlantis is no known time zone")


def test_times_are_those_of_the_zone(image: Image) -> None:
    offset_s = 5.75 * 3600  # of Nepal
    before = time.time()
    with image.running(image.options(env={"TZ": "Asia/Kathmandu"})) as container:
        healthy(container, ["starting"])
        log = container.log
    possible = {time.strftime("%Y-%m-%dT%H", time.gmtime(at + offset_s)) for at in (before, time.time())}
    assert log[:13] in possible


def test_a_missing_qbittorrent_is_one_line_with_the_remedy(image: Image) -> None:
    address = f"http://localhost:{free_port()}"
    with image.running(image.options(env={"QBIT_URL": address})) as container:
        until(lambda: "cycle_failed" in container.log, lambda: container.log)
        assert container.execute("qguardarr", "health").returncode == 1
        line = next(line for line in container.log.splitlines() if "cycle_failed" in line)
    assert "no connection to qBittorrent at localhost:" in line
    assert "in a container this address is the container itself: give the name of qBittorrent's service" in line


# -- beside a real qBittorrent ----------------------------------------------------------------------------------------


def configuration(rig: Rig, cap: int) -> str:
    """A file that holds a cap. The password and the API's address come from the environment."""
    trackers = [
        {"id": "t1", "pattern": rig.pattern("t1"), "max_upload_speed": cap},
        {"id": "rest", "pattern": ".*", "max_upload_speed": -1},
    ]
    login = {"url": rig.qbittorrent.url, "username": QBittorrent.username, "password": "${QBIT_PASSWORD}"}
    return json.dumps({"qbittorrent": login, "trackers": trackers})


def replace_file(path: Path, text: str) -> None:
    """As editors do it that are careful."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def test_it_holds_a_cap_over_restarts_and_gives_originals_back(image: Image) -> None:
    scenario = Scenario(
        "image",
        (TrackerSpec("t1", 1 * MB, 10),),
        (Phase(25.0, {"t1": (GREEDY,) * 10}),),
        by_hand={"t1": ORIGINAL},
    )
    config = image.folder / "qguardarr.yaml"
    ids = {"PUID": "1234", "PGID": "4321", "QBIT_PASSWORD": QBittorrent.password}
    options = image.options("0:0", capabilities=FOR_PUID, env=ids)
    with Rig(scenario, "4.5.2") as rig:
        limits = rig.qbittorrent.web.upload_limits
        config.write_text(configuration(rig, 1 * MB))
        with image.running(options) as container:
            healthy(container)
            until(lambda: all(limit < ORIGINAL for limit in limits().values()), "limits of ours")
            check_last_phase(rig.run())
            told = json.loads(container.execute("qguardarr", "status", "--json").stdout)["daemon"]
            assert (told["state"], told["problem"], told["qbittorrent_version"]) == ("holding", "", "v4.5.2")

            replace_file(config, configuration(rig, 2 * MB))
            until(lambda: cap_of(container) == 2 * MB, lambda: f"another file:\n{container.log}")
            config.write_text(configuration(rig, 3 * MB))
            until(lambda: cap_of(container) == 3 * MB, lambda: f"the same file, written again:\n{container.log}")
            assert container.stop(END_WITHIN_S) == 0
        assert all(limit < ORIGINAL for limit in limits().values())  # kept

        with image.running(options) as container:
            healthy(container)
            lines = json.loads(container.execute("qguardarr", "history", "--json", "--limit", "1000").stdout)
            assert {line["old"] for line in lines} >= {ORIGINAL}
            done = container.execute("qguardarr", "rollback", "--yes")
            assert done.returncode == 0, done.stderr
            assert set(limits().values()) == {ORIGINAL}
            assert container.stop(END_WITHIN_S) == 0
    owners = {f"{path.stat().st_uid}:{path.stat().st_gid}" for path in image.folder.rglob("*")}
    assert owners <= {"1234:4321", "0:0"}
    assert not [path for path in (image.folder / "data").iterdir() if path.stat().st_uid != 1234]


def cap_of(container: Container) -> int | None:
    found = json.loads(container.execute("qguardarr", "status", "--json").stdout)["daemon"]
    cap: int | None = next(tracker["cap"] for tracker in found["trackers"] if tracker["id"] == "t1")
    return cap
