"""The first configuration file: it loads as it is, and says what is meant."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from qguardarr.config import loads
from qguardarr.config.starter import Rule, rules_text, starter_file
from qguardarr.core.model import UNLIMITED
from tests.support.paths import ROOT

EXAMPLE = ROOT / "config" / "qguardarr.example.yaml"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
"""Whatever can be stored as UTF-8."""


def test_it_loads_writes_nothing_and_takes_all_torrents() -> None:
    config = loads(starter_file(), environment={})
    assert config.global_.dry_run
    assert [(rule.id, rule.pattern, rule.max_upload_speed) for rule in config.trackers] == [
        ("default", ".*", UNLIMITED)
    ]


def test_all_but_the_first_sections_is_the_example() -> None:
    example = EXAMPLE.read_text(encoding="utf-8")
    assert starter_file().partition("\nglobal:\n")[2] == example.partition("\nglobal:\n")[2]


def test_the_rule_in_its_comment_is_one() -> None:
    text = starter_file()
    lines = [line[2:] for line in text.splitlines() if line.startswith(("#   - id: example", "#     "))]
    rule = yaml.safe_load("\n".join(lines))[0]
    assert loads(yaml.safe_dump({"trackers": [rule, {"id": "x", "pattern": ".*", "max_upload_speed": -1}]})).trackers[0]


def test_what_init_knows_stands_in_it() -> None:
    rules = [Rule("one", r"//one\.example\b", "10 MB/s", "3 torrents"), Rule("yes", "it's", remark="a\nb: c")]
    text = starter_file(
        url="http://nas:8080", username="admin", password="${QBIT_PASSWORD}", rules=rules, dry_run=False
    )
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
    assert not config.global_.dry_run
    assert loads(starter_file(api_key="${KEY}"), environment={"KEY": "k"}).qbittorrent.api_key == SecretStr("k")


@given(name=TEXTS.filter(bool), secret=TEXTS)
def test_any_login_means_itself(name: str, secret: str) -> None:
    config = loads(starter_file(username="a" + name, password="a" + secret), environment={})
    assert config.qbittorrent.username == "a" + name
    assert config.qbittorrent.password == SecretStr("a" + secret)


def test_rules_are_a_section_by_themselves() -> None:
    assert [rule["id"] for rule in yaml.safe_load(rules_text([Rule("a", "b")]))["trackers"]] == ["a", "default"]
