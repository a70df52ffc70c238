"""The process that edits the configuration file: what it leaves on disk, whatever the file is and whoever runs it."""

from __future__ import annotations

import errno
import json
import os
import random
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from qguardarr.app.config_store import KEPT, ChangedMeanwhile, ConfigFile
from tests.support.config_editor import TEXT, Folder
from tests.support.paths import ROOT

FASTER = [{"op": "set", "path": ["trackers", "all", "max_upload_speed"], "value": "2 MB/s"}]
OTHER_ROOT = (
    ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
)
"""Root may write anywhere; without that capability it is a user as any other."""


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_save_replaces_the_file_and_keeps_mode_and_the_version_before(place: Folder) -> None:
    inode = place.config.stat().st_ino

    code, saved = place.run("save", FASTER)

    assert code == 0
    assert place.config.read_text() == TEXT.replace("1 MB/s", "2 MB/s")
    assert stat.S_IMODE(place.config.stat().st_mode) == 0o640
    assert place.config.stat().st_ino != inode
    (version,) = place.versions()
    assert version.read_text() == TEXT
    assert stat.S_IMODE(version.stat().st_mode) == 0o600
    assert stat.S_IMODE(version.parent.stat().st_mode) == 0o700
    assert saved["undo"]["possible"]
    assert [path.name for path in place.config.parent.iterdir()] == ["qguardarr.yaml"]


def test_answers_hold_no_secret(place: Folder) -> None:
    change = [{"op": "set", "path": ["auth", "username"], "value": "you"}]
    for action, edits in (("read", ()), ("try", change), ("save", change)):
        code, answer = place.run(action, edits)
        assert code == 0
        assert "a secret of mine" not in json.dumps(answer)
        assert "***" in json.dumps(answer)


def test_password_is_written_as_its_hash(place: Folder) -> None:
    change = [{"op": "set", "path": ["auth", "password"], "value": "another secret"}]

    code, saved = place.run("save", change)

    assert code == 0
    assert "password: '$argon2id$" in place.config.read_text()
    assert "another secret" not in place.config.read_text() + json.dumps(saved)
    assert "argon2" not in json.dumps(saved)
    assert saved["consequences"] == ["login"]
    assert saved["diff"].count("password: ***") == 2


def test_undo_goes_back_byte_for_byte_one_save_after_the_other(place: Folder) -> None:
    texts = [TEXT.replace("\n", "\r\n"), "", ""]
    place.config.write_bytes(b"\xef\xbb\xbf" + texts[0].encode())
    contents = [place.config.read_bytes()]
    for speed in ("2 MB/s", "3 MB/s"):
        edit = {"op": "set", "path": ["trackers", "all", "max_upload_speed"], "value": speed}
        assert place.run("save", [edit])[0] == 0
        contents.append(place.config.read_bytes())
    assert contents[0].replace(b"1 MB/s", b"3 MB/s") == contents[2]

    assert place.run("undo")[0] == 0
    assert place.config.read_bytes() == contents[1]
    code, saved = place.run("undo")
    assert code == 0
    assert place.config.read_bytes() == contents[0]
    assert saved["undo"] == {
        "possible": False,
        "versions": 0,
        "saved_at": None,
        "why_not": "nothing was saved here yet",
    }
    assert place.run("undo")[1]["kind"] == "nothing-to-undo"


def test_undo_is_refused_when_somebody_else_has_changed_the_file(place: Folder) -> None:
    place.run("save", FASTER)
    place.config.write_text(TEXT + "# by hand\n")

    code, refusal = place.run("undo")

    assert (code, refusal["kind"]) == (3, "changed")
    assert place.config.read_text() == TEXT + "# by hand\n"


def test_the_last_versions_are_kept(place: Folder) -> None:
    folder = place.database.with_name("journal.db.config")
    folder.mkdir()
    for number in range(1, 25):
        (folder / f"{number:06d}-{'0' * 32}.yaml").write_text(str(number))

    assert place.run("save", FASTER)[0] == 0

    assert len(place.versions()) == KEPT
    assert place.versions()[-1].name.startswith("000025-")


def test_version_of_a_save_that_never_came_about_is_passed_over(place: Folder) -> None:
    """Killed between keeping the version and replacing the file."""
    place.run("save", FASTER)
    content = place.config.read_bytes()
    version = place.versions()[0]
    version.with_name(f"000002-{'1' * 32}.yaml").write_bytes(content)

    assert place.run("undo")[0] == 0
    assert place.config.read_text() == TEXT


def test_etag_names_the_content_and_only_with_the_salt(place: Folder) -> None:
    etag = place.run("read")[1]["etag"]

    assert place.run("read", salt="another")[1]["etag"] != etag
    assert place.run("save", FASTER, etag="0" * 32)[1]["kind"] == "changed"
    assert place.config.read_text() == TEXT
    assert place.run("save", FASTER, etag=etag)[0] == 0
    assert place.run("save", FASTER, etag=etag)[1]["kind"] == "changed"


def test_links_are_followed(place: Folder) -> None:
    """As a ConfigMap is mounted: a link to a link to the folder of a version."""
    real = place.folder / "..2030" / "qguardarr.yaml"
    real.parent.mkdir()
    place.config.rename(real)
    (place.folder / "..data").symlink_to("..2030")
    place.config.symlink_to("../..data/qguardarr.yaml")

    assert place.run("save", FASTER)[0] == 0

    assert place.config.is_symlink()
    assert real.read_text() == TEXT.replace("1 MB/s", "2 MB/s")
    assert [path.name for path in real.parent.iterdir()] == ["qguardarr.yaml"]


def test_file_of_two_names_is_written_in_place(place: Folder) -> None:
    os.link(place.config, place.folder / "other.yaml")

    assert place.run("save", FASTER)[0] == 0

    assert (place.folder / "other.yaml").read_text() == TEXT.replace("1 MB/s", "2 MB/s")


def test_file_in_a_closed_folder_is_written_in_place(place: Folder) -> None:
    place.config.parent.chmod(0o555)
    try:
        assert place.run("read", prefix=OTHER_ROOT)[1]["writable"]
        assert place.run("save", FASTER, prefix=OTHER_ROOT)[0] == 0
    finally:
        place.config.parent.chmod(0o755)
    assert place.config.read_text() == TEXT.replace("1 MB/s", "2 MB/s")


def test_read_only_file_is_refused_with_the_yaml_to_copy(place: Folder) -> None:
    edits = [*FASTER, {"op": "set", "path": ["auth", "username"], "value": "you"}]
    place.config.chmod(0o444)
    place.config.parent.chmod(0o555)
    try:
        state = place.run("read", prefix=OTHER_ROOT)[1]
        trial = place.run("try", edits, prefix=OTHER_ROOT)[1]["trial"]
        code, refusal = place.run("save", edits, prefix=OTHER_ROOT)
    finally:
        place.config.parent.chmod(0o755)

    assert state["writable"] is False
    assert f"{place.config} may not be written by user {os.geteuid()}" == state["why_not"] == trial["why_not"]
    assert (code, refusal["kind"]) == (3, "read-only")
    assert refusal["yaml"] == trial["yaml"]
    assert "  - id: all   # everything\n    pattern: '.*'\n    max_upload_speed: 2 MB/s\n" in refusal["yaml"]
    assert "username: you\n  password: ***   # keep" in refusal["yaml"]
    assert place.config.read_text() == TEXT
    assert place.versions() == []


def test_mounted_file_is_written_in_place_and_a_read_only_mount_is_named(place: Folder) -> None:
    """A single file, as in `docker run -v qguardarr.yaml:/config/qguardarr.yaml`: it cannot be renamed over."""
    target = place.folder / "mount" / "qguardarr.yaml"
    target.parent.mkdir()
    target.touch()
    apart = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount --bind '{place.config}' '{target}'"
    if subprocess.run([*apart, mount], capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    inode = place.config.stat().st_ino

    code, _ = place.run("save", FASTER, prefix=[*apart, f'{mount} && exec "$@"', "sh"], config=target)

    assert code == 0
    assert place.config.read_text() == TEXT.replace("1 MB/s", "2 MB/s")
    assert place.config.stat().st_ino == inode

    closed = f"mount --bind '{target.parent}' '{target.parent}' && mount -o remount,ro,bind '{target.parent}'"
    read_only = [*apart, f"{closed} && {mount} && mount -o remount,ro,bind '{target}' && exec \"$@\"", "sh"]
    code, refusal = place.run("save", [{**FASTER[0], "value": "9 MB/s"}], prefix=read_only, config=target)
    assert (code, refusal["kind"]) == (3, "read-only")
    assert refusal["reason"] == f"{target} is mounted read-only"
    assert "max_upload_speed: 9 MB/s" in refusal["yaml"]


def test_missing_file_is_made_on_a_first_start_alone(place: Folder) -> None:
    place.config.unlink()

    code, faults = place.run("save", FASTER)
    assert code == 2
    assert faults[0][1] == "there is no such file"
    assert not place.config.exists()

    edits = [{"op": "set", "path": ["trackers", "default", "max_upload_speed"], "value": "2 MB/s"}]
    state = place.run("read", may_create=True)[1]
    assert (state["exists"], state["etag"]) == (False, "absent")
    code, _ = place.run("save", edits, may_create=True, etag="absent")
    assert code == 0
    assert "dry_run: true" in place.config.read_text()
    assert "max_upload_speed: 2 MB/s" in place.config.read_text()
    assert place.run("save", edits, may_create=True, etag="absent")[1]["kind"] == "changed"


def test_faults_name_the_edit_and_the_rule(place: Folder) -> None:
    edits = [
        {"op": "set", "path": ["trackers", "all", "max_upload_speed"], "value": "fast"},
        {"op": "set", "path": ["auth", "api_key"], "value": "short"},
        {"op": "set", "path": ["global", "port"], "value": 99999},
    ]

    code, tried = place.run("try", edits)
    refused, refusal = place.run("save", edits)

    faults = {fault["edit"]: fault for fault in tried["trial"]["faults"]}
    assert code == 0
    assert faults[0]["path"] == ["trackers", "all", "max_upload_speed"]
    assert faults[0]["setting"] == "trackers[0].max_upload_speed"
    assert "'fast' is not a speed" in faults[0]["reason"]
    assert faults[1]["reason"] == "must have 16 to 512 ASCII characters, without spaces"
    assert faults[2]["reason"] == "must be less than or equal to 65535"
    assert (refused, refusal["kind"], refusal["faults"]) == (3, "faulty", tried["trial"]["faults"])
    assert place.config.read_text() == TEXT


def test_first_user_is_made_once(place: Folder) -> None:
    place.config.write_text(TEXT[: TEXT.index("auth:")])
    edits = [
        {"op": "set", "path": ["auth", "username"], "value": "me"},
        {"op": "set", "path": ["auth", "password"], "value": "long enough"},
    ]

    assert place.run("user", edits)[0] == 0
    assert place.run("user", edits)[1]["kind"] == "user-exists"


def test_user_of_the_environment_is_one(place: Folder) -> None:
    place.config.write_text(TEXT[: TEXT.index("auth:")])
    given = {"QGUARDARR__AUTH__USERNAME": "me", "QGUARDARR__AUTH__PASSWORD": "from the environment"}
    edits = [{"op": "set", "path": ["auth", "username"], "value": "you"}]

    assert place.run("user", edits, environment=given)[1]["kind"] == "user-exists"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("names", [1, 2], ids=["replaced", "in place"])
def test_disk_that_fails_while_it_is_written_leaves_the_file_as_it_was(
    place: Folder, monkeypatch: pytest.MonkeyPatch, number: int, names: int
) -> None:
    if names > 1:
        os.link(place.config, place.folder / "other.yaml")
    whole, sync = os.pwrite, os.fsync
    left = [1]

    def fail(descriptor: int) -> None:
        if left and left.pop():
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    def write_a_part(descriptor: int, content: bytes, at: int) -> int:
        if at:
            fail(descriptor)
        return whole(descriptor, content[:20] if left else content, at)

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(os, "pwrite", write_a_part)

    with pytest.raises(OSError, match=os.strerror(number)):
        ConfigFile(place.config).replace(b"# another\n" * 99, TEXT.encode())

    assert not left
    assert place.config.read_text() == TEXT
    assert [path.name for path in place.config.parent.iterdir()] == ["qguardarr.yaml"]


def test_file_on_a_full_disk_is_not_begun(place: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    os.link(place.config, place.folder / "other.yaml")

    def full(descriptor: int, offset: int, size: int) -> None:
        os.ftruncate(descriptor, size)  # as where it got a part
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)

    with pytest.raises(OSError, match="full"):
        ConfigFile(place.config).replace(b"# another\n" * 99, TEXT.encode())

    assert place.config.read_text() == TEXT


@pytest.mark.parametrize("works_again", [True, False])
def test_version_before_is_kept_if_the_file_was_damaged(place: Folder, works_again: bool) -> None:
    os.link(place.config, place.folder / "other.yaml")
    failing = FAILING.format(works_again=works_again)

    done = subprocess.run(
        [sys.executable, "-c", failing, str(place.config)],
        input=place.order("save", FASTER),
        capture_output=True,
        timeout=60,
        check=False,
    )

    refusal = json.loads(done.stdout)
    assert (done.returncode, refusal["kind"]) == (3, "read-only")
    assert "No space left on device" in refusal["reason"]
    assert (place.config.read_text() == TEXT) is works_again
    assert [path.read_text() for path in place.versions()] == ([] if works_again else [TEXT])
    assert ("nothing was changed" if works_again else f"copy {place.versions()[0]} over it") in refusal["hint"]


FAILING = """
import errno, os, sys
from pathlib import Path
from qguardarr.app.edit_settings import main
whole, calls = os.pwrite, []
def write(descriptor, content, at):
    calls.append(at)
    if len(calls) == 1 or (len(calls) > 2 and {works_again}):
        return whole(descriptor, content[:100] if len(calls) == 1 else content, at)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
os.pwrite = write
sys.exit(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("names", [1, 2], ids=["replaced", "in place"])
def test_edit_of_somebody_else_during_a_save_is_kept(
    place: Folder, monkeypatch: pytest.MonkeyPatch, names: int
) -> None:
    if names > 1:
        os.link(place.config, place.folder / "other.yaml")
        place.config.write_text("# by hand\n")
    sync = os.fsync

    def edit_meanwhile(descriptor: int) -> None:
        place.config.write_text("# by hand\n")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", edit_meanwhile)

    with pytest.raises(ChangedMeanwhile):
        ConfigFile(place.config).replace(b"# another\n", TEXT.encode())

    assert place.config.read_text() == "# by hand\n"
    assert [path.name for path in place.config.parent.iterdir()] == ["qguardarr.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        '{"trackers": [{"id": "all", "pattern": ".*", "max_upload_speed": 1}], "auth": {"username": null}}',
        "  trackers:\n    - {id: all, pattern: .*, max_upload_speed: 1}\n  auth:\n    api_key:\n",
    ],
    ids=["JSON", "indented"],
)
def test_file_without_sections_in_lines_of_their_own_is_saved(place: Folder, text: str) -> None:
    place.config.write_text(text)

    assert place.run("save", FASTER)[0] == 0
    user = [
        {"op": "set", "path": ["auth", "username"], "value": "me"},
        {"op": "set", "path": ["auth", "password"], "value": "long enough"},
    ]
    assert place.run("user", user)[0] == 0
    assert "2 MB/s" in place.config.read_text()


def test_crash_is_told_without_the_text(place: Folder) -> None:
    crash = "import sys\nfrom pathlib import Path\nfrom qguardarr.app import edit_settings\n"
    crash += "def fail(*_): raise KeyError('a secret of mine')\n"
    crash += "edit_settings.edited = fail\nsys.exit(edit_settings.main(Path(sys.argv[1])))"

    done = subprocess.run(
        [sys.executable, "-c", crash, str(place.config)],
        input=place.order("save", FASTER),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (2, b"")
    assert b"cannot be edited here: it is written in an unusual way (KeyError)" in done.stdout
    assert b"a secret of mine" not in done.stdout


REPLACING = """
import itertools, sys
from pathlib import Path
from qguardarr.app.config_store import ConfigFile
file = ConfigFile(Path(sys.argv[1]))
print("ready", flush=True)
for number in itertools.count():
    file.replace(f"# {number}\\n".encode() * 20_000, file.read())
"""


def test_killed_at_any_moment_it_leaves_the_old_file_or_the_new_one(place: Folder) -> None:
    rng = random.Random(1)
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", REPLACING, str(place.config)], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0.0, 0.1))
        process.kill()
        process.wait()
        process.stdout.close()
        lines = place.config.read_text().splitlines()
        assert len(lines) in (20_000, len(TEXT.splitlines()))
        assert len(set(lines)) == 1 or lines == TEXT.splitlines()
    place.config.write_text(TEXT)
    for part in place.config.parent.glob(".*.part"):
        os.utime(part, (1, 1))
    assert place.run("save", FASTER)[0] == 0
    assert [path.name for path in place.config.parent.iterdir()] == ["qguardarr.yaml"]


AS_NOBODY = """
import os, sys
from pathlib import Path
from qguardarr.app.edit_settings import main
from qguardarr.config.load import read
read(sys.argv[1])
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(main(Path(sys.argv[1])))
"""
"""Edits as `nobody`. The modules may stand where only root can read."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_owner_is_kept() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        place = Folder(folder)
        for path in (place.config.parent, place.database.parent):
            os.chown(path, 65534, 65534)

        def run(speed: str) -> tuple[int, Any]:
            done = subprocess.run(
                [sys.executable, "-c", AS_NOBODY, str(place.config)],
                input=place.order("save", [{**FASTER[0], "value": speed}]),
                capture_output=True,
                timeout=60,
                check=False,
            )
            assert not done.stderr, done.stderr
            return done.returncode, json.loads(done.stdout)

        # The file is root's, and may be written by all: it is not replaced, or it would be another user's.
        place.config.chmod(0o666)
        assert run("2 MB/s")[0] == 0
        assert place.config.stat().st_uid == 0
        # It is root's, and may be read alone.
        place.config.chmod(0o644)
        assert run("3 MB/s")[1]["kind"] == "read-only"
        # Root edits another user's file, whose it stays.
        os.chown(place.config, 65534, 65534)
        assert place.run("save", [{**FASTER[0], "value": "4 MB/s"}])[0] == 0
        assert (place.config.stat().st_uid, place.config.stat().st_gid) == (65534, 65534)
        assert all(path.stat().st_uid == 65534 for path in place.versions())
