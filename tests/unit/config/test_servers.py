"""The section `qbittorrent` as a list of several."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from qguardarr.app.read_settings import connections_of, secrets_of
from qguardarr.config.edit import Edit, edited
from qguardarr.config.masked import masked
from qguardarr.config.redacted import redacted
from qguardarr.errors import ConfigError
from tests.support.configs import loads

RULES = "trackers: [{id: rest, pattern: '.*', max_upload_speed: -1}]\n"
BOTH = (
    """qbittorrent:
  - {name: home, url: "http://a:8080", username: me, password: "a long secret one", ca_file: ca.pem}
  - name: box
    url: "https://b/qbit"
    api_key: ${BOX_KEY}
    formerly: ""
"""
    + RULES
)
ENVIRONMENT = {"BOX_KEY": "qbt_another_secret"}


def faults(text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(text + RULES, environment=environment or {})
    return str(caught.value)


def test_each_entry_is_a_connection_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    config = loads(BOTH, environment=ENVIRONMENT, folder=tmp_path)
    assert list(config.servers) == ["home", "box"]
    home, box = connections_of(config)
    assert (home.name, home.url, home.password, home.formerly) == ("home", "http://a:8080", "a long secret one", None)
    assert (home.ca_file, box.ca_file) == (str(tmp_path / "ca.pem"), None)
    assert (box.name, box.url, box.api_key, box.formerly) == ("box", "https://b/qbit", "qbt_another_secret", "")
    assert {"a long secret one", "qbt_another_secret", "bWU6YSBsb25nIHNlY3JldCBvbmU="} <= set(secrets_of(config))


def test_a_mapping_has_no_name() -> None:
    config = loads("qbittorrent: {url: 'http://a:8080'}\n" + RULES, environment={})
    assert list(config.servers) == [""]
    assert [(each.name, each.formerly) for each in connections_of(config)] == [("", None)]


def test_no_secret_is_shown() -> None:
    config = loads(BOTH.replace(", ca_file: ca.pem", ""), environment=ENVIRONMENT)
    tree = redacted(config)
    assert [each["name"] for each in msgspec.json.decode(tree)["qbittorrent"]] == ["home", "box"]
    assert "secret" not in tree
    assert "qbittorrents" not in tree
    assert "a long secret one" not in masked(BOTH)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("qbittorrent: []\n", "the list is empty"),
        ("qbittorrent: [{url: 'http://a'}]\n", "qbittorrent[0].name: is missing"),
        ("qbittorrent: [{name: a b, url: 'http://a'}]\n", "qbittorrent[0].name: is no short name"),
        ("qbittorrent: [{name: a}, {name: a}]\n", "qbittorrent[1].name: is a name of qbittorrent[0] already"),
        ("qbittorrent: [{name: a}, {name: b, formerly: a}]\n", "qbittorrent[1].formerly: is a name of"),
        ("qbittorrent: [{name: a, pasword: x}]\n", "did you mean 'password'?"),
        ("qbittorrent: [{name: a, url: 'http://a', port: 1}]\n", "qbittorrent[0].port: 'url' names the place already"),
        ("qbittorrent: [{name: a, username: x}]\n", "qbittorrent[0].username: 'password' is missing"),
        ("qbittorrent: {name: a}\n", "qbittorrent.name: is not a setting"),
        ("qbittorrents: [{name: a}]\n", "qbittorrents: is not a setting"),
    ],
)
def test_faults_name_the_entry(text: str, fault: str) -> None:
    assert fault in faults(text)


def test_variables_of_the_only_one_do_not_go_with_a_list() -> None:
    told = faults("qbittorrent: [{name: a}]\n", {"QGUARDARR__QBITTORRENT__URL": "http://b"})
    assert "QGUARDARR__QBITTORRENT__URL" in told
    assert "write the value into its entry of the list" in told


def test_an_edit_of_the_list_is_refused() -> None:
    order = Edit("set", ("qbittorrent", "url"), "http://c")
    found = edited(BOTH, [order, Edit("set", ("global", "uplink"), "5 MB/s")], ENVIRONMENT, Path())
    [(number, fault)] = found.refusals
    assert number == 0
    assert "list of several" in fault.reason
    assert "uplink: 5 MB/s" in found.text
