"""What an edit may do with secrets that it does not know: neither see them nor send them elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.config_editor import Folder

RULES = "trackers:\n  - id: all\n    pattern: '.*'\n    max_upload_speed: 1 MB/s\n"
QBITTORRENT = "qbittorrent:\n  url: {url}\n  username: admin\n  password: the stored one\n"
PASSWORD = {"op": "set", "path": ["qbittorrent", "password"], "value": "a new one"}


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def put(section: str, key: str, value: Any) -> dict[str, Any]:
    return {"op": "set", "path": [section, key], "value": value}


def faults(place: Folder, *edits: Any) -> list[Any]:
    """Where a trial finds faults, and which."""
    return [(fault["path"], fault["reason"]) for fault in place.run("try", edits)[1]["trial"]["faults"]]


@pytest.mark.parametrize(
    ("old", "edit", "how"),
    [
        ("http://a:1", put("qbittorrent", "url", "http://b:1"), "to another machine"),
        ("http://a:1", put("qbittorrent", "url", "http://a:2"), "to another port"),
        ("http://a", put("qbittorrent", "url", "https://a:80"), ""),
        ("http://a:1", put("qbittorrent", "url", "http://a:1/x"), ""),
        ("https://a:1", put("qbittorrent", "url", "http://a:1"), "without encryption"),
        ("https://a:1", put("qbittorrent", "verify_tls", False), "without a look at the certificate"),
        ("http://a:1", put("qbittorrent", "verify_tls", False), ""),
        ("''", put("qbittorrent", "url", "http://a:1"), "to an address, where there was none"),
    ],
)
def test_stored_password_goes_to_its_own_address_alone(place: Folder, old: str, edit: dict[str, Any], how: str) -> None:
    place.config.write_text(RULES + QBITTORRENT.format(url=old))

    expected = [(edit["path"], f"would send the stored password {how}")] if how else []
    assert faults(place, edit) == expected
    assert faults(place, edit, PASSWORD) == []


def test_key_of_cross_seed_does_not_wait_for_another_address(place: Folder) -> None:
    place.config.write_text(RULES + "cross_seed: {url: 'http://a:1', api_key: the stored one of mine}\n")

    code, _ = place.run("save", [{"op": "remove", "path": ["cross_seed", "url"]}])

    assert code == 0
    url = put("cross_seed", "url", "http://b:1")
    assert faults(place, url) == [(url["path"], "would send the stored api_key to an address, where there was none")]
    assert faults(place, url, put("cross_seed", "api_key", "a new one of mine")) == []


def test_save_that_mends_a_file_does_not_change_an_address_besides(place: Folder) -> None:
    place.config.write_text(RULES.replace(".*", "x") + QBITTORRENT.format(url="http://a:1"))
    mend = {"op": "set", "path": ["trackers", "all", "pattern"], "value": ".*"}
    url = put("qbittorrent", "url", "http://b:1")

    assert [path for path, _ in faults(place, mend, url)] == [url["path"]]
    assert faults(place, mend, url, PASSWORD) == []
    assert faults(place, mend) == []


def test_password_of_the_environment_does_not_take_the_place_of_the_one_given(place: Folder) -> None:
    place.config.write_text(RULES + QBITTORRENT.format(url="http://a:1"))
    remove = [{"op": "remove", "path": ["qbittorrent", "password"]}]

    _, tried = place.run("try", remove, environment={"QBIT_PASSWORD": "from outside"})

    reasons = [fault["reason"] for fault in tried["trial"]["faults"]]
    assert reasons == ["would be another stored one, which would be sent"]


@pytest.mark.parametrize(
    "text",
    [
        "  pasword: hunter2hunter\n",
        "  username: x\n  password: hunter1\n  password: hunter2hunter\n",
        "  username: x\nx: &p hunter2hunter\n",
        "  url: http://u:hunter2hunter@x\n",
        "x: hunter2hunter\n",
        "  # password:\n  #   hunter2hunter\n",
    ],
)
def test_trial_on_a_faulty_file_shows_the_edited_line_alone(place: Folder, text: str) -> None:
    place.config.write_text(RULES.replace("all", "all\n    wrong: 1") + "qbittorrent:\n  port: 1\n" + text)

    code, tried = place.run("try", [put("qbittorrent", "port", 2)])

    assert code == 0
    assert "hunter2" not in json.dumps(tried)
    shown = [line for line in tried["trial"]["diff"].splitlines()[2:] if not line.startswith("@@")]
    assert shown == ["-  port: 1", "+  port: 2"]


@pytest.mark.parametrize(
    "section",
    [
        "username: a\n  password: ${PREFIX}hunter2hunter",
        "<<: {username: a, password: hunter2}",
        "username: &p hunter2\n  password: *p",
        "username: a\n  password: hunter1\nnotifications:\n  urls: [&u 'ntfy://hunter2@x']",
    ],
)
def test_no_way_of_writing_a_secret_shows_it(place: Folder, section: str) -> None:
    name = "    name: *u\n" if "&u" in section else ""
    place.config.write_text(f"qbittorrent:\n  {section}\n{RULES}{name}")
    edits = [{"op": "set", "path": ["trackers", "all", "max_upload_speed"], "value": "2 MB/s"}]

    for action in ("read", "save"):
        code, answer = place.run(action, edits if action == "save" else (), environment={"PREFIX": "abc"})
        assert code == 0
        assert "hunter2" not in json.dumps(answer)
