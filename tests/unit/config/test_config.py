import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from qguardarr.config import Config
from qguardarr.config.outline import known_keys, model_in
from qguardarr.core.model import UNLIMITED
from qguardarr.core.policy import Policy
from qguardarr.errors import ConfigError
from tests.support.configs import load, loads
from tests.support.paths import ROOT

EXAMPLE = ROOT / "src" / "qguardarr" / "config" / "qguardarr.example.yaml"
MINIMAL = "trackers: [{id: all, pattern: '.*', max_upload_speed: 1 MB/s}]\n"
SECTIONS = [
    "global", "auth", "http", "notifications", "cross_seed", "qbittorrent", "trackers", "rollback", "logging",
]  # fmt: skip


def faults(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, "c.yaml", environment)
    return str(caught.value).splitlines()


def fault(text: str, **environment: str) -> str:
    found = faults(text, **environment)
    assert len(found) == 1, found
    return found[0]


def test_one_rule_is_a_complete_configuration() -> None:
    config = loads(MINIMAL, environment={})
    assert config.global_.update_interval == 2
    assert config.qbittorrent.base_url == "http://localhost:8080"
    assert config.rollback.database_path == Path("data/qguardarr.db")
    assert config.notes == ()
    assert config.policy().classes[0].cap == 1_000_000
    assert config.policy().classes[0].name == "all"


EARLIER = r"""
# As the earlier Qguardarr had it
global:
  update_interval: 300
  active_torrent_threshold_kb: 20
  max_api_calls_per_cycle: 400
  differential_threshold: 0.25
  rollout_percentage: 10
  cache_ttl_seconds: 900
  host: "0.0.0.0"
  port: 8090
  allocation_strategy: "soft"
  max_managed_torrents: 500
  borrow_threshold_ratio: 0.8
  max_borrow_fraction: 0.4
  smoothing_alpha: 0.3
  min_effective_delta: 0.05
  dry_run: true
  dry_run_store_path: "./data/dry_run_limits.json"
  auto_unlimit_on_inactive: true

qbittorrent:
  host: "nas"
  port: 8081
  username: "admin"
  password: "${QBIT_PASSWORD}"
  timeout: 20

cross_seed:
  enabled: true
  url: "http://localhost:2468/api/webhook"
  api_key: "${CROSS_SEED_API_KEY}"
  timeout: 10

trackers:
  - id: "premium"
    name: "Premium"
    pattern: ".*premium\\.example.*"
    max_upload_speed: 10485760
    priority: 10
  - id: "default"
    name: "All others"
    pattern: ".*"
    max_upload_speed: -1
    priority: 1

rollback:
  database_path: "./data/rollback.db"
  track_all_changes: false

logging:
  level: "debug"
  file: "./logs/qguardarr.log"
  max_size_mb: 10
  backup_count: 3
"""


def test_a_complete_file_of_the_earlier_qguardarr_loads_unchanged() -> None:
    config = loads(EARLIER, environment={"QBIT_PASSWORD": "pw", "CROSS_SEED_API_KEY": "key"})
    policy = config.policy()
    assert policy.interval_s == 300
    assert policy.active_threshold == 20 * 1024
    assert policy.max_calls_per_cycle == 400
    assert policy.differential_threshold == 0.25
    assert policy.rollout_percentage == 10
    assert policy.inventory_s == 900
    assert policy.strategy == "soft"
    assert policy.max_managed == 500
    assert policy.borrow_threshold_ratio == 0.8
    assert policy.max_borrow_fraction == 0.4
    assert policy.smoothing_alpha == 0.3
    assert policy.min_effective_delta == 0.05
    assert policy.dry_run
    assert policy.unlimit_idle
    assert [(c.id, c.name, c.cap, c.priority) for c in policy.classes] == [
        ("premium", "Premium", 10_485_760, 10),
        ("default", "All others", UNLIMITED, 1),
    ]
    assert config.qbittorrent.base_url == "http://nas:8081"
    assert config.qbittorrent.timeout == 20
    assert config.qbittorrent.password == SecretStr("pw")
    assert config.rollback.database_path == Path("data/rollback.db")
    assert config.logging.level == "DEBUG"
    assert config.logging.file == Path("logs/qguardarr.log")


def test_what_may_surprise_is_noted() -> None:
    config = loads(EARLIER, environment={"QBIT_PASSWORD": "long enough", "CROSS_SEED_API_KEY": "key"})
    (noted,) = config.notes
    assert noted.startswith("global.update_interval: ")
    assert "has no effect" not in noted


@pytest.mark.parametrize("password", ["a", "wrong", "seven77", "password", "qBittorrent"])
def test_a_password_that_cannot_be_told_from_other_text_is_noted(password: str) -> None:
    text = MINIMAL + "qbittorrent: {username: admin, password: '${P}'}\nauth: {username: me, password: '${P}'}"
    notes = loads(text, environment={"P": password}).notes
    assert [note.partition(" ")[0] for note in notes] == ["qbittorrent.password", "auth.password"]
    assert not any(f"'{password}'" in note for note in notes)
    assert loads(text, environment={"P": "eight888"}).notes == ()


def test_notes_on_tls_and_on_caps_above_the_uplink() -> None:
    text = MINIMAL + "qbittorrent: {verify_tls: false}\nglobal: {uplink: 500 kB/s}"
    assert len(loads(text, environment={}).notes) == 2
    notes = loads(text.replace("1 MB/s", "unlimited"), environment={}).notes
    assert "does not hold back what is unlimited (all)" in notes[-1]
    text = MINIMAL + "qbittorrent: {url: 'https://x.example/', verify_tls: false}"
    assert "certificate is not checked" in loads(text, environment={}).notes[0]


@pytest.mark.parametrize("speed", ["10", "999", "'10'", "80", "1.0"])
def test_a_speed_without_a_unit_is_a_fault(speed: str) -> None:
    found = faults(MINIMAL.replace("1 MB/s", speed) + f"global: {{uplink: {speed}, idle_limit: {speed}}}")
    assert len(found) == 3
    number = speed.strip("'").removesuffix(".0")
    for place, line in zip(("trackers[0].max_upload_speed", "global.uplink", "global.idle_limit"), found, strict=True):
        assert f"{place}: {number} has no unit. hint: write" in line
        assert f"'{number} MB/s', '{number} Mbit/s', or '{number} B/s' if that is meant" in line


@pytest.mark.parametrize("speed", ["1000", "-1", "'1048576'", "10 B/s", "unlimited", "1000000.0"])
def test_bytes_of_old_files_and_what_names_a_unit_are_speeds(speed: str) -> None:
    assert loads(MINIMAL.replace("1 MB/s", speed), environment={}).notes == ()


def test_a_pattern_that_needs_a_process_of_its_own_is_noted() -> None:
    rule = "trackers: [{id: a, pattern: '(?<!x)y', max_upload_speed: 1 MB/s}, "
    (note,) = loads(MINIMAL.replace("trackers: [", rule), environment={}).notes
    assert "'a' is matched by a slower search" in note


# --- speeds, switches, places ---


def test_speeds_may_be_text_wherever_a_speed_is_taken() -> None:
    text = MINIMAL.replace("1 MB/s", "80 Mbit/s") + "global: {uplink: 20 MB/s, idle_limit: 5 KiB/s}"
    policy = loads(text, environment={}).policy()
    assert (policy.classes[0].cap, policy.uplink, policy.idle_limit) == (10_000_000, 20_000_000, 5120)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("auto", "auto"), ("off", None), ("'off'", None), ("-1", None), ("unlimited", None), ("2000", 2000)],
)
def test_idle_limit_knows_that_yaml_reads_off_as_false(written: str, meant: object) -> None:
    assert loads(MINIMAL + f"global: {{idle_limit: {written}}}", environment={}).policy().idle_limit == meant


@pytest.mark.parametrize("written", ["on", "true", "0", "-2", "10 M", "[]", "lots"])
def test_other_idle_limits_are_faults(written: str) -> None:
    found = fault(MINIMAL + f"global: {{idle_limit: {written}}}")
    assert "c.yaml:2: global.idle_limit: " in found
    assert ". hint: write 'auto' or 'off'" in found


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        ("{url: 'https://box.example/qbit/'}", "https://box.example/qbit"),
        ("{url: 'http://[::1]:99'}", "http://[::1]:99"),
        ("{host: '::1'}", "http://[::1]:8080"),
        ("{host: '[::1]', port: 80}", "http://[::1]:80"),
        ("{host: 192.0.2.1, port: '81'}", "http://192.0.2.1:81"),
    ],
)
def test_where_qbittorrent_is(settings: str, base: str) -> None:
    assert loads(MINIMAL + f"qbittorrent: {settings}", environment={}).qbittorrent.base_url == base


@pytest.mark.parametrize(
    "settings",
    [
        "{url: 'http://a.example', host: b}",
        "{url: 'http://a.example', port: 1}",
        "{api_key: k, username: u}",
        "{api_key: k, password: p}",
        "{api_key: k, auth: basic}",
        "{auth: basic}",
        "{username: u}",
        "{password: p}",
        "{auth: digest}",
        "{host: 'http://a'}",
        "{host: 'a:80'}",
        "{host: ''}",
        "{url: a.example}",
        "{url: 'ftp://a'}",
        "{url: 'http://a:x/'}",
        "{url: 'http://a/?x=1'}",
        "{port: true}",
        "{port: 0}",
        "{port: 70000}",
        "{timeout: .inf}",
        "{timeout: 0}",
        "{ca_file: no/such/file.pem}",
        "{ca_file: ''}",
        "{verify_tls: maybe}",
        "text",
    ],
)
def test_contradictions_and_nonsense_in_the_connection(settings: str) -> None:
    assert fault(MINIMAL + f"qbittorrent: {settings}").startswith("c.yaml:2: qbittorrent")


@pytest.mark.parametrize("interval", ["0.5", "2.5", "300", "3600", "'7'"])
def test_intervals(interval: str) -> None:
    assert loads(MINIMAL + f"global: {{update_interval: {interval}}}", environment={}).policy().interval_s > 0


@pytest.mark.parametrize("interval", ["0.4", "3601", "-1", "yes", ".nan", "soon", "null"])
def test_intervals_out_of_range(interval: str) -> None:
    assert fault(MINIMAL + f"global: {{update_interval: {interval}}}").startswith("c.yaml:2: global.update_interval: ")


def test_sections_whose_lines_are_all_comments_have_their_defaults() -> None:
    assert loads(MINIMAL + "global:\nlogging:\n  # level: INFO\n", environment={}) == loads(MINIMAL, environment={})


# --- variables ---


def test_variables_are_filled_in_anywhere_in_a_text() -> None:
    text = (
        MINIMAL.replace("all", "'a${X}c'")
        + "global: {port: '${PORT}', dry_run: '${DRY}'}\nlogging: {file: '$${X}/${X}'}"
    )
    config = loads(text, environment={"X": "b", "PORT": "99", "DRY": "true"})
    assert config.trackers[0].id == "abc"
    assert config.global_.port == 99
    assert config.global_.dry_run
    assert config.logging.file == Path("${X}/b")


def test_variables_that_are_not_text_are_faults() -> None:
    found = fault(MINIMAL + "qbittorrent: {username: u, password: '${P}'}", P="caf\udce9")
    assert found == "c.yaml:2: qbittorrent.password: the environment variable P is not UTF-8 text. hint: set it again"


def test_variables_are_neither_yaml_nor_filled_in_twice() -> None:
    text = MINIMAL + "qbittorrent: {username: u, password: '${P}'}"
    config = loads(text, environment={"P": "x: [${Q}\n", "Q": "no"})
    assert config.qbittorrent.password == SecretStr("x: [${Q}\n")


def test_every_missing_variable_is_named() -> None:
    found = faults("qbittorrent:\n  username: ${USR}\n  password: a${PWD1}${PWD2}\n" + MINIMAL)
    assert [("USR" in f, "PWD1" in f, "PWD2" in f) for f in found] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert found[1].startswith("c.yaml:3: qbittorrent.password: the environment variable PWD1 is not set. hint: ")


@pytest.mark.parametrize("text", ["${}", "${A B}", "${A:-hunter2}", "x${1}"])
def test_what_is_no_variable_says_how_to_escape(text: str) -> None:
    found = fault(MINIMAL + f"qbittorrent: {{username: u, password: '{text}'}}")
    assert "$${" in found
    assert "hunter2" not in found


# --- secrets ---


@pytest.mark.parametrize(
    "text",
    [
        "qbittorrent: {password: [hunter2]}",
        "qbittorrent: {password: {hunter2: 1}}",
        "qbittorrent: {password: 1234hunter2, api_key: hunter2}",
        "qbittorrent: {password:hunter2}",
        "qbittorrent:\n  password:hunter2\n  port: 1\n",
        "qbittorrent:\n  port: 1\n  password:hunter2\n",
        "qbittorrent: password:hunter2",
        "qbittorrent: {password: *hunter2}",
        "qbittorrent: {password: !hunter2 x}",
        "qbittorrent: {password: !hunter2!x x}",
        "qbittorrent: {password: 'hunter2}",
        "qbittorrent:\n  password: hunter2: 3\n",
        'qbittorrent:\n  password: "hunter2\\q"\n',
        "qbittorrent: {url: 'http://u:hunter2@a.example'}",
        "qbittorrent: {url: 'hunter2'}",
        "qbittorrent: {host: 'u:hunter2@a.example'}",
        "cross_seed: {url: [hunter2], api_key: [hunter2]}",
        "cross_seed: {url: hunter2}",
        "cross_seed: {url: 'http://x.example/#hunter2'}",
        "cross_seed: {url: 'http://u:hunter2@x.example/'}",
        "auth: hunter2",
        "auth: {api_key: hunter2, username: u, password: '$argon2i$hunter2'}",
        "auth: {api_key: '${E}', password: [hunter2]}",
        "auth: ['${E}']",
        "notifications: {urls: [hunter2, [hunter2]], events: [hunter2], after: hunter2}",
        "notifications: {urls: '${E}', events: ['${E}'], repeat: '${E}'}",
        "http: {base_path: '${E}', trusted_proxies: ['${E}'], metrics: '${E}'}",
        "global: {host: 'http://${E}', dry_run_store_path: ['${E}']}",
        "global: {port: '${E}'}",
        "global: {uplink: '${E}', idle_limit: '${E}', allocation_strategy: '${E}', update_interval: '${E}'}",
        "trackers: [{id: '${E}', pattern: '(${E}', max_upload_speed: '${E}', priority: '${E}'}]",
        "logging: {level: '${E}', file: ['${E}']}\nqbittorrent: {ca_file: '${E}', url: '${E}'}",
        "trackers: [&x {id: '${E}', pattern: 'a', max_upload_speed: 1000}, {<<: *x, pattern: '.*'}]",
        "%hunter2\n---\na: b",
        "hunter2",
        "- hunter2",
    ],
)
def test_no_message_holds_a_secret(text: str) -> None:
    if "trackers" not in text:
        text = MINIMAL + text
    message = "\n".join(faults(text, E="hunter2"))
    assert "hunter2" not in message


def test_no_repr_holds_a_secret() -> None:
    text = (
        MINIMAL
        + """
qbittorrent: {username: u, password: hunter2}
cross_seed: {url: 'http://x.example/hunter2', api_key: hunter2}
auth: {api_key: hunter2hunter2hunter2, username: u, password: hunter2}
notifications: {urls: ['tgram://hunter2']}
"""
    )
    config = loads(text, environment={})
    assert "hunter2" not in repr(config) + str(config) + config.model_dump_json() + repr(config.policy())


@given(st.text(max_size=60), st.sampled_from(["password: ", "password:", "password: '", "- ", "", "&", "*", "!", "? "]))
def test_any_text_is_a_configuration_or_faults(text: str, start: str) -> None:
    try:
        loads(MINIMAL + "qbittorrent:\n  " + start + text, "c.yaml", {})
    except ConfigError as error:
        assert all(line.startswith("c.yaml:") for line in str(error).split("\n"))  # noqa: PT017


# --- faults ---

BROKEN = """\
globl: {}
global:
  update_intervall: 3
  port: 1
  port: 2
  password: x
  idle_limit: 3 mb/s
qbittorrent:
  port: eighty
  auth: foo
trackers:
  - id: a
    pattern: '.*'
    max_upload_speed: 10 Mx
  - {id: a, pattern: '(', max_upload_speed: 0}
  - just text
  - {id: c, pattern: '.+', priority: 11, speed: 3}
"""


def test_all_faults_are_reported_at_once_in_order_with_line_and_mend() -> None:
    found = faults(BROKEN)
    expected = [
        (1, "globl", "'global'"),
        (3, "global.update_intervall", "'update_interval'"),
        (5, "global.port", "line 4"),
        (6, "global.password", "under 'qbittorrent'"),
        (7, "global.idle_limit", "'MB/s'"),
        (9, "qbittorrent.port", "whole number"),
        (10, "qbittorrent.auth", "'cookie' or 'basic'"),
        (13, "trackers[0].pattern", "never match"),
        (14, "trackers[0].max_upload_speed", "'10 MB/s'"),
        (15, "trackers[1].id", "trackers[0]"),
        (15, "trackers[1].max_upload_speed", "-1"),
        (15, "trackers[1].pattern", "unterminated"),
        (16, "trackers[2]", "mapping"),
        (17, "trackers[3].max_upload_speed", "missing"),
        (17, "trackers[3].pattern", "catch-all"),
        (17, "trackers[3].priority", "10"),
        (17, "trackers[3].speed", "max_upload_speed"),
    ]
    assert len(found) == len(expected), "\n".join(found)
    lines = [int(line.split(":")[1]) for line in found]
    assert lines == sorted(lines)
    for line, path, words in expected:
        assert any(f.startswith(f"c.yaml:{line}: {path}: ") and words in f for f in found), (line, path, found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "c.yaml:1: the file is empty. hint: remove it, and `qguardarr init` asks a few questions"),
        ("# nothing\n", "the file is empty"),
        ("---\n", "the file is empty"),
        ("- a", "not a mapping of sections"),
        ("trackers: [", "c.yaml:1: not YAML"),
        (
            "a: b\n\tc: d",
            "c.yaml:2: not YAML: while scanning for the next token, found a tab where there can be none. hint: in",
        ),
        ("a: @b", "found character '@"),
        ('trackers:\n- pattern: ".*\\.example"', "found unknown escape character '.'. hint: in double"),
        ("a: b\x01", "control character"),
        ("[" * 9999, "too deeply"),
        ("a: 1\n---\nb: 1", "not YAML: expected a single document"),
        ("trackers:", "c.yaml:1: trackers: must be a list"),
        ("trackers: {}", "trackers: must be a list"),
        ("trackers: []", "there is no rule"),
        ("global: {}", "c.yaml:1: trackers: is missing"),
        ("trackers: [{id: a, pattern: '.+', max_upload_speed: 1000}]", "must be a catch-all"),
        ("trackers: [{id: '', pattern: '.*', max_upload_speed: 1000}]", "trackers[0].id: must not be empty"),
        (
            "trackers: [{id: 7, pattern: '.*', max_upload_speed: 1000}]",
            "trackers[0].id: must be a text. hint: put it in",
        ),
        (MINIMAL + "trackers: []", "c.yaml:2: trackers: is given twice, first in line 1"),
        (MINIMAL + "logging: {level: LOUD}", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        (MINIMAL + "? [a]\n: b", "as a key"),
        (MINIMAL + "global: !x {}", "tags"),
        (MINIMAL + "global: &a {uplink: *a}", "contain themselves"),
        (MINIMAL + "global: &a {<<: *a, port: 1x}", "global.port"),
        (MINIMAL + "global: {port: 2024-13-45}", "c.yaml:2: global.port"),
    ],
)
def test_broken_files(text: str, words: str) -> None:
    assert words in "\n".join(faults(text))


@pytest.mark.parametrize("pattern", ['"//a.example\\b"', '"a\\t"', "|\n    a.example\n   ", '"\\x85"'])
def test_a_pattern_with_a_control_character_is_a_fault(pattern: str) -> None:
    text = f"trackers:\n - id: a\n   pattern: {pattern}\n   max_upload_speed: 1000\n"
    rest = " - {id: b, pattern: '.*', max_upload_speed: -1}\n"
    assert fault(text + rest).startswith("c.yaml:3: trackers[0].pattern: holds a control character")
    assert fault(text + rest).endswith("hint: write it in single quotes")


def test_a_verbose_pattern_may_have_lines() -> None:
    rule = "trackers:\n - id: a\n   pattern: |\n    (?x) a  # one\n    | b\n   max_upload_speed: 1000\n"
    assert loads(rule + " - {id: b, pattern: '.*', max_upload_speed: -1}\n", environment={}).trackers[0].id == "a"


def test_aliases_that_multiply_end_in_a_fault() -> None:
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert any("more values than" in line for line in faults("\n".join(layers)))


def test_aliases_and_merges_work() -> None:
    text = """
trackers:
  - &base {id: a, pattern: a, max_upload_speed: 1 MB/s, priority: 3}
  - {<<: *base, id: b, pattern: b}
  - {<<: *base, id: c, pattern: '.*'}
"""
    config = loads(text, environment={})
    assert [(t.id, t.pattern, t.priority) for t in config.trackers] == [("a", "a", 3), ("b", "b", 3), ("c", ".*", 3)]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file\. hint: .*`qguardarr init` asks a few questions"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read: it is a folder"):
        load(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"# ok\n# \xe9\n" + MINIMAL.encode())
    with pytest.raises(ConfigError, match=r"latin\.yaml:2: not UTF-8"):
        load(latin)


def test_a_byte_order_mark_and_crlf_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load(file, {}) == loads(MINIMAL, environment={}, folder=tmp_path)


# --- documentation ---


def settings(section: str) -> dict[str, Any]:
    """Fields of a section by name, as pydantic knows them."""
    names = known_keys((section,))
    model = model_in(next(f.annotation for n, f in Config.model_fields.items() if section in (n, f.alias)))
    assert model is not None
    by_key = {field.alias or name: field for name, field in model.model_fields.items()}
    return {name: by_key[name] for name in names}


def test_there_are_no_other_sections() -> None:
    assert sorted(known_keys(())) == sorted(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_documented_with_its_default(section: str) -> None:
    for name, field in settings(section).items():
        text = field.description or ""
        assert len(text) > 20, f"{section}.{name} has no docstring"
        stated = re.search(r"(?s)(Default:?\s+\S|No default)\.?", text)
        assert stated, f"{section}.{name} does not state its default"
        if not field.is_required() and isinstance(field.default, int | float) and field.default != UNLIMITED:
            said = re.search(r"Default\s+([\w.]+?)[.:]?(\s|$)", text)
            assert said, f"{section}.{name}"
            assert yaml.safe_load(said[1]) == field.default, f"{section}.{name}"


def test_every_setting_is_in_the_example_and_shown_defaults_are_true() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    for section in SECTIONS:
        start = re.search(rf"(?m)^(?:# )?{section}\b", text)
        assert start, section
        rest = text[start.end() :]
        end = re.search(r"(?m)^\w", rest)
        body = rest[: end.start()] if end else rest
        if section == "trackers":
            body = text.replace("#   ", "    ")  # a rule in a comment shows what a rule may have
        for name, field in settings(section).items():
            shared = "|also: |, " if section == "trackers" else ""
            begin = f"(?:^ +(?P<off># )?(?:- )?{shared})"
            line = re.search(rf"(?m){begin}{name}: *(?P<value>[^#\n]*)", body)
            assert line, f"{section}.{name} is not in the example"
            if line["off"] and field.default is not None:
                shown = yaml.safe_load(line["value"])
                probe = {"trackers": [{"id": "x", "pattern": ".*", "max_upload_speed": 1000}], section: {name: shown}}
                made = getattr(Config.model_validate(probe), "global_" if section == "global" else section)
                assert getattr(made, name) == field.default, f"{section}.{name}"


def test_the_example_loads_and_starts_by_watching_only() -> None:
    config = load(EXAMPLE, {})
    assert config.global_.dry_run
    assert config.notes == ()
    assert EXAMPLE.read_text(encoding="utf-8").count("\n") < 100


def test_every_field_of_the_policy_comes_from_a_setting() -> None:
    """A policy made from changed settings differs in every field."""
    changed = loads(EARLIER, environment={"QBIT_PASSWORD": "pw", "CROSS_SEED_API_KEY": "key"})
    fields = {**changed.global_.model_dump(), "match_mode": "strictest", "uplink": 5000, "idle_limit": 7000}
    fields |= {"respect_manual_limits": False, "foreign_limits": "ignore"}
    fields |= {"uplink_schedule": [{"cap": 5000}], "timezone": "Asia/Tokyo", "away_after": 60}
    fields |= {"uplink_quota": {"bytes": "1 TB", "per": "month"}}
    entries = [{"id": "above", "max_upload_speed": 9000}, *(t.model_dump() for t in changed.trackers)]
    entries[1]["parent"] = "above"
    raw = {"global": fields, "trackers": entries}
    one, other = Config.model_validate(raw).policy(), loads(MINIMAL, environment={}).policy()
    assert [name for name in Policy.__struct_fields__ if getattr(one, name) == getattr(other, name)] == []


def test_relative_paths_start_at_the_folder_of_the_file_whatever_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "etc"
    home.mkdir()
    (home / "home.pem").touch()
    file = home / "c.yaml"
    paths = "{ca_file: home.pem, url: 'https://nas.example'}\nlogging: {file: ../log/q.log}\n"
    file.write_text(MINIMAL + "qbittorrent: " + paths + "global: {dry_run_store_path: dry.json}\n")
    for folder in (tmp_path, home, Path("/")):
        monkeypatch.chdir(folder)
        for found in (load(file, {}), load(os.path.relpath(file), {})):
            assert found.qbittorrent.ca_file == home / "home.pem"
            assert found.logging.file == home / "../log/q.log"
            assert found.global_.dry_run_store_path == home / "dry.json"
            assert found.rollback.database_path == home / "data/qguardarr.db"
            assert found.rollback.former_paths == (folder / "data/qguardarr.db", tmp_path / "data/qguardarr.db")


def test_absolute_paths_stay_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(MINIMAL + "rollback: {database_path: /var/lib/q/j.db}\n")
    assert load(file, {}).rollback.database_path == Path("/var/lib/q/j.db")
    assert load(file, {}).rollback.former_paths == ()
