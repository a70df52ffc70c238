"""The first configuration file: it loads as it is, and says what is meant."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from qguardarr.config.starter import Rule, rules_text, scalar, starter_file
from qguardarr.core.model import UNLIMITED
from tests.support.configs import loads

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
"""Whatever can be stored as UTF-8."""


def test_it_loads_writes_nothing_and_takes_all_torrents() -> None:
    config = loads(starter_file(), environment={})
    assert config.global_.dry_run
    assert [(rule.id, rule.pattern, rule.max_upload_speed) for rule in config.trackers] == [
        ("default", ".*", UNLIMITED)
    ]


def test_the_rule_in_its_comment_is_one() -> None:
    text = starter_file()
    lines = [line[2:] for line in text.splitlines() if line.startswith(("#   - id: example", "#     "))]
    rule = yaml.safe_load("\n".join(lines))[0]
    assert loads(yaml.safe_dump({"trackers": [rule, {"id": "x", "pattern": ".*", "max_upload_speed": -1}]})).trackers[0]


def test_what_init_knows_stands_in_it() -> None:
    rules = [Rule("one", r"//one\.example\b", "10 MB/s", "3 torrents"), Rule("yes", "it's", remark="a\nb: c")]
    connection = {"url": "http://nas:8080", "username": "admin", "password": "${QBIT_PASSWORD}"}
    text = starter_file(connection, rules)
    config = loads(text, environment={"QBIT_PASSWORD": "long enough"})
    assert config.qbittorrent.base_url == "http://nas:8080"
    assert config.qbittorrent.username == "admin"
    assert config.qbittorrent.password == SecretStr("long enough")
    assert [(rule.id, rule.pattern) for rule in config.trackers] == [
        ("one", r"//one\.example\b"),
        ("yes", "it's"),
        ("default", ".*"),
    ]
    assert config.trackers[0].max_upload_speed == 10_000_000
    assert config.global_.dry_run
    key = starter_file({"api_key": "${KEY}"})
    assert loads(key, environment={"KEY": "k"}).qbittorrent.api_key == SecretStr("k")


@given(name=TEXTS.filter(bool), secret=TEXTS)
def test_any_login_means_itself(name: str, secret: str) -> None:
    config = loads(starter_file({"username": scalar("a" + name), "password": scalar("a" + secret)}), environment={})
    assert config.qbittorrent.username == "a" + name
    assert config.qbittorrent.password == SecretStr("a" + secret)


def test_rules_are_a_section_by_themselves() -> None:
    assert [rule["id"] for rule in yaml.safe_load(rules_text([Rule("a", "b")]))["trackers"]] == ["a", "default"]
