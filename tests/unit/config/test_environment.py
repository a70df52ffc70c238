"""Settings from the environment: each means what it means in the file, takes precedence over it, keeps its secrets."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from qguardarr.alert_events import ALERT_EVENTS
from qguardarr.app.read_settings import settings_of
from qguardarr.config import Config
from qguardarr.config.environment import FILE_SUFFIX, PREFIX, variable_of
from qguardarr.config.load import Loaded, read, reads
from qguardarr.config.outline import Setting, model_in, settings
from qguardarr.config.starter import starter_file
from qguardarr.core.model import UNLIMITED
from qguardarr.engine.origins import leaves, setting_rows
from qguardarr.errors import ConfigError
from tests.support.configs import loads

SECRET = "hunter2-hunter2-hunter2"
RULES: Final = [{"id": "all", "pattern": ".*", "max_upload_speed": "1 MB/s"}]
MINIMAL = json.dumps({"trackers": RULES})
BY_NAME = {".".join(setting.path): setting for setting in settings()}


def faults(text: str = MINIMAL, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, "c.yaml", environment)
    return str(caught.value).splitlines()


def fault(text: str = MINIMAL, **environment: str) -> str:
    found = faults(text, **environment)
    assert len(found) == 1, found
    return found[0]


# -- every setting ----------------------------------------------------------------------------------------------------

WORDS = st.from_regex(r"[A-Za-z0-9äöü_.-]{1,20}", fullmatch=True)
SPEEDS = st.sampled_from(["10 MB/s", "2 MiB/s", "unlimited", "80 Mbit/s"]) | st.integers(1000, 10**9)
SPECIAL: Final[dict[str, st.SearchStrategy[Any]]] = {
    "global.uplink": SPEEDS,
    "global.uplink_schedule": st.lists(
        st.fixed_dictionaries(
            {"cap": SPEEDS},
            optional={
                "days": st.sampled_from(["mon-fri", "sat,sun"]),
                "from": st.just("08:00"),
                "to": st.just("18:30"),
            },
        ),
        max_size=3,
    ),
    "global.uplink_quota": st.fixed_dictionaries(
        {"bytes": st.sampled_from(["500 GB", "1.5 TiB"]), "per": st.sampled_from(["month", "day", "90m"])},
        optional={"pace": st.booleans(), "then": SPEEDS | st.just("stop-raising")},
    ),
    "global.away_after": st.integers(0, 604_800) | st.floats(0.0, 1e5),
    "global.timezone": st.sampled_from(["Europe/Berlin", "UTC", "America/New_York"]),
    "global.idle_limit": SPEEDS | st.sampled_from(["auto", "off"]),
    "global.host": st.sampled_from(["0.0.0.0", "::", "127.0.0.1", "localhost"]),
    "global.dry_run_store_path": st.sampled_from(["a.json", "/b/c d.json", "ä/ö.json"]),
    "qbittorrent.url": st.sampled_from(["http://nas:8080", "https://box.example/qbit/", "http://[::1]:99"]),
    "qbittorrent.host": st.sampled_from(["nas", "192.0.2.1", "::1"]),
    "qbittorrent.username": WORDS.filter(lambda text: not text.isdigit()),
    "qbittorrent.password": st.text("aZ0 äß漢:#{}[]&*!|>'\"%@`,?-=~\\", min_size=1, max_size=40),
    "qbittorrent.api_key": WORDS,
    "qbittorrent.ca_file": st.just(str(Path(__file__))),
    "trackers": st.lists(
        st.fixed_dictionaries(
            {"pattern": st.just(r"a\.b"), "max_upload_speed": SPEEDS},
            optional={"name": WORDS, "priority": st.integers(1, 10)},
        ),
        max_size=4,
    ).map(lambda rules: [{"id": f"r{number}"} | rule for number, rule in enumerate(rules)] + RULES),
    "rollback.database_path": st.sampled_from(["j.db", "/data/j.db"]),
    "logging.file": st.sampled_from(["q.log", "/logs/q.log"]),
    "cross_seed.url": st.sampled_from(["http://cross:2468", "http://cross:2468/api/webhook?apikey=abc"]),
    "cross_seed.api_key": WORDS,
    "auth": st.just("none"),
    "auth.api_key": st.from_regex(r"[!-~]{16,60}", fullmatch=True),
    "auth.username": WORDS,
    "auth.password": WORDS,
    "auth.forward_header": st.sampled_from(["Remote-User", "X-authentik-username"]),
    "http.base_path": st.sampled_from(["/qguardarr", "/a/b"]),
    "http.trusted_proxies": st.lists(st.sampled_from(["10.0.0.0/8", "127.0.0.1", "::1"]), max_size=3),
    "http.allowed_hosts": st.lists(st.sampled_from(["guard.example.org", "b.example"]), max_size=3),
    "notifications.urls": st.lists(st.sampled_from(["ntfy://topic", "tgram://123:abc/chat"]), max_size=3),
    "notifications.events": st.lists(st.sampled_from(ALERT_EVENTS), max_size=5),
}
"""What needs more than a type."""


def values_of(name: str) -> st.SearchStrategy[Any]:
    """Values of a setting as they may stand in the file. KeyError for one that is new here and needs a line above."""
    if name in SPECIAL:
        return SPECIAL[name]
    section, _, key = name.partition(".")
    model = next(model_in(f.annotation) for n, f in Config.model_fields.items() if section in (n, f.alias))
    assert model is not None
    field = model.model_fields[key]
    bounds = {
        bound: found for bound in ("ge", "gt", "le") for meta in field.metadata if (found := getattr(meta, bound, None))
    }
    if typing.get_origin(field.annotation) is typing.Literal:
        return st.sampled_from(typing.get_args(field.annotation))
    if field.annotation is bool:
        return st.booleans()
    if field.annotation is int:
        return st.integers(bounds.get("ge", 0), bounds.get("le", 10**6))
    if field.annotation is float:
        least = bounds.get("ge", bounds.get("gt", 0))
        return st.floats(least, bounds.get("le", 10**6), exclude_min="ge" not in bounds)
    raise KeyError(name)


def file_with(name: str, value: object | None) -> str:
    """A file with this setting, with what it needs and without what it does not go with; None: without the setting."""
    tree: dict[str, Any] = {
        "trackers": RULES,
        "global": {},
        "qbittorrent": {"username": "admin", "password": "long enough"},
        "cross_seed": {"url": "http://cross:1"},
        "auth": {"username": "me", "password": "long enough"},
    }
    if name == "qbittorrent.api_key":
        tree["qbittorrent"] = {}
    section, _, key = name.partition(".")
    if value is not None:
        tree[section] = {**tree.get(section, {}), key: value} if key else value
    return json.dumps(tree, ensure_ascii=False)


def as_variable(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize("name", BY_NAME)
@hypothesis_settings(max_examples=15)
@given(data=st.data())
def test_a_variable_means_what_the_file_means(name: str, data: st.DataObject) -> None:
    """Also if the file has the setting already, and if the value comes out of a file of its own."""
    value, other = data.draw(values_of(name)), data.draw(values_of(name))
    variable = variable_of(BY_NAME[name].path)
    wanted = loads(file_with(name, value), environment={})
    assert loads(file_with(name, None), environment={variable: as_variable(value)}) == wanted
    assert loads(file_with(name, other), environment={variable: as_variable(value)}) == wanted


@pytest.mark.parametrize("name", BY_NAME)
@hypothesis_settings(max_examples=15)
@given(data=st.data(), ending=st.sampled_from(["", "\n", "\r\n"]))
def test_a_variable_may_name_a_file(
    name: str, data: st.DataObject, ending: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    value = data.draw(values_of(name))
    file = tmp_path_factory.getbasetemp() / "value"
    file.write_bytes(as_variable(value).encode() + ending.encode())
    given = {variable_of(BY_NAME[name].path) + FILE_SUFFIX: str(file)}
    assert loads(file_with(name, None), environment=given) == loads(file_with(name, value), environment={})


def test_no_two_settings_share_a_name() -> None:
    names = [variable_of(setting.path) for setting in settings()]
    both = names + [name + FILE_SUFFIX for name in names]
    assert len(set(both)) == len(both)
    assert {"QGUARDARR__GLOBAL__UPLINK", "QGUARDARR__TRACKERS", "QGUARDARR__AUTH", "QGUARDARR__AUTH__API_KEY"} < {
        *names
    }
    assert Setting(("notifications", "urls"), structured=True, secret=True) in settings()


def test_what_needs_no_file_stands_over_the_text_of_the_first_one() -> None:
    given = {"QGUARDARR__TRACKERS": json.dumps(RULES), "QGUARDARR__GLOBAL__DRY_RUN": "false", "QBIT_URL": "http://q:1"}
    config = loads(starter_file(), environment=given)
    assert config.trackers[0].max_upload_speed == 1_000_000
    assert (config.global_.dry_run, config.qbittorrent.base_url) == (False, "http://q:1")


# -- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("QGUARDARR__GLOBAL__UPLNK", "did you mean QGUARDARR__GLOBAL__UPLINK?"),
        ("QGUARDARR__global__uplink", "did you mean QGUARDARR__GLOBAL__UPLINK?"),
        ("QGUARDARR__QBITTORRENT__PASWORD_FILE", "did you mean QGUARDARR__QBITTORRENT__PASSWORD_FILE?"),
        ("QGUARDARR__GLOBAL__USERNAME", "did you mean QGUARDARR__QBITTORRENT__USERNAME?"),
        ("QGUARDARR__QBITORRENT__URL", "did you mean QGUARDARR__QBITTORRENT__URL?"),
        ("QGUARDARR__DRY_RUN", "did you mean QGUARDARR__GLOBAL__DRY_RUN?"),
        ("QGUARDARR__HTTP__X", "known: QGUARDARR__HTTP__BASE_PATH, QGUARDARR__HTTP__TRUSTED_PROXIES, "),
        ("QGUARDARR__", "known: QGUARDARR__GLOBAL, QGUARDARR__QBITTORRENT, QGUARDARR__TRACKERS, "),
    ],
)
def test_an_unknown_name_is_a_fault_that_suggests_the_nearest(name: str, mend: str) -> None:
    assert fault(**{name: SECRET}).startswith(f"{name}: is not a setting. hint: {mend}")


def test_other_variables_are_nobody_s_business() -> None:
    plain = loads(MINIMAL, environment={})
    environment = {"QGUARDARR_PORT": "tcp://10.0.0.1:8089", "QGUARDARR_SERVICE_HOST": "x", "qguardarr__global": "x"}
    assert loads(MINIMAL, environment=environment) == plain


@pytest.mark.parametrize("name", BY_NAME)
def test_an_empty_variable_counts_as_not_set(name: str) -> None:
    variable = variable_of(BY_NAME[name].path)
    assert loads(MINIMAL, environment={variable: "", variable + FILE_SUFFIX: ""}) == loads(MINIMAL, environment={})


def test_both_a_value_and_a_file_are_a_fault(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("8090")
    given = {"QGUARDARR__GLOBAL__PORT": "8090", "QGUARDARR__GLOBAL__PORT_FILE": str(tmp_path / "x")}
    assert fault(**given) == (
        "QGUARDARR__GLOBAL__PORT: is set, and so is QGUARDARR__GLOBAL__PORT_FILE. hint: remove one of them"
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"QGUARDARR__GLOBAL__PORT": "many"}, "QGUARDARR__GLOBAL__PORT: must be a whole number"),
        ({"QGUARDARR__GLOBAL__UPLINK": "5"}, "QGUARDARR__GLOBAL__UPLINK: 5 has no unit. hint: write "),
        ({"QGUARDARR__LOGGING__LEVEL": "loud"}, "QGUARDARR__LOGGING__LEVEL: is not one of the values known here."),
        ({"QGUARDARR__TRACKERS": "[{'id': 1}]"}, "QGUARDARR__TRACKERS: is not JSON (line 1, column 3). hint: write"),
        ({"QGUARDARR__TRACKERS": "[" * 9999}, "QGUARDARR__TRACKERS: is not JSON"),
        ({"QGUARDARR__TRACKERS": '[{"id": "a", "id": "b"}]'}, "QGUARDARR__TRACKERS: a mapping in it has a key twice."),
        ({"QGUARDARR__TRACKERS": "5"}, "QGUARDARR__TRACKERS: must be a list."),
        ({"QGUARDARR__HTTP__TRUSTED_PROXIES": '["x"]'}, "QGUARDARR__HTTP__TRUSTED_PROXIES[0]: is neither an IP"),
        ({"QGUARDARR__AUTH": "some"}, "QGUARDARR__AUTH: must be a mapping. hint: write none in its place only if"),
        ({"QGUARDARR__GLOBAL__HOST": "x\udce9"}, "QGUARDARR__GLOBAL__HOST: is not UTF-8 text. hint: set it again"),
        ({"QGUARDARR__QBITTORRENT__USERNAME": "x" * 20_000}, "QGUARDARR__QBITTORRENT__USERNAME: holds more than 16384"),
        ({"QGUARDARR__QBITTORRENT__USERNAME": "x"}, "QGUARDARR__QBITTORRENT__USERNAME: 'password' is missing."),
        ({"QBIT_URL": "nas:8080"}, "QBIT_URL: must be an address such as https://example.org:8080/prefix"),
        ({"QBIT_URL_FILE": "/no/such/file"}, "QBIT_URL_FILE: there is no such file. hint: give the path of the file"),
        ({"QBIT_URL_FILE": "/"}, "QBIT_URL_FILE: the file cannot be read: it is a folder, not a file."),
        ({"QBIT_URL_FILE": "\0"}, "QBIT_URL_FILE: the file cannot be read: its path is none."),
        ({"QGUARDARR_API_KEY": "short"}, "QGUARDARR_API_KEY: must have 16 to 512 ASCII characters"),
    ],
)  # fmt: skip
def test_a_bad_value_is_a_fault_of_its_variable(given: dict[str, str], words: str) -> None:
    assert fault(**given).startswith(words)


def test_the_fault_of_a_rule_names_the_rule() -> None:
    found = fault(QGUARDARR__TRACKERS=json.dumps([{"id": "a", "pattern": "x", "max_upload_speed": -1}]))
    assert found.startswith("QGUARDARR__TRACKERS[0].pattern: the last rule must be a catch-all")


def test_none_in_place_of_auth_does_not_go_with_parts_of_it() -> None:
    found = fault(QGUARDARR__AUTH="none", QGUARDARR__AUTH__API_KEY=SECRET)
    assert found.startswith("QGUARDARR__AUTH__API_KEY: goes against QGUARDARR__AUTH. hint: remove QGUARDARR__AUTH or ")


@pytest.mark.parametrize("name", [name for name in BY_NAME if BY_NAME[name].secret])
@pytest.mark.parametrize("way", ["value", "file", "path"])
def test_a_fault_never_shows_a_secret(name: str, way: str, tmp_path: Path) -> None:
    """Nor the path of a file: somebody may have given the secret itself in its place."""
    variable = variable_of(BY_NAME[name].path)
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    given = {
        "value": {variable: SECRET + "\n " + SECRET},
        "file": {variable + FILE_SUFFIX: str(tmp_path / "secret")},
        "path": {variable + FILE_SUFFIX: SECRET},
    }[way]
    text = json.dumps({"trackers": [], "qbittorrent": {"auth": "basic"}})  # so that there is a fault in any case
    found = "\n".join(faults(text, **given))
    assert "trackers: there is no rule" in found
    assert SECRET not in found


def test_what_a_file_holds_is_never_shown(tmp_path: Path) -> None:
    """Where a value of a variable would be: a file may be the wrong one."""
    (tmp_path / "secret").write_text(SECRET)
    found = fault(QGUARDARR__GLOBAL__UPLINK_FILE=str(tmp_path / "secret"))
    assert found.startswith("QGUARDARR__GLOBAL__UPLINK_FILE: its value does not fit here (it is not shown)")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\r\n", "the file is empty"),
        (b"caf\xe9", "the file is not UTF-8 text"),
        (b"x" * 20_000, "holds more than 16384 characters"),
        (b"x" * 100_000, "the file cannot be read: it is larger than"),
    ],
)
def test_files_that_hold_no_value(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    assert fault(QBIT_URL_FILE=str(tmp_path / "x")).startswith(f"QBIT_URL_FILE: {words}")


def test_a_relative_path_starts_at_the_folder_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text(MINIMAL)
    (tmp_path / "port").write_text("8090\n")
    loaded = read(tmp_path / "q.yaml", {"QGUARDARR__GLOBAL__PORT_FILE": "port"})
    assert loaded.config.global_.port == 8090
    assert loaded.overrides.files == [tmp_path / "port"]


# -- beside the file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"QGUARDARR__TRACKERS": '[{"id": "a", "name": "\\ud800", "pattern": ".*", "max_upload_speed": -1}]'},
            "TRACKERS:",
        ),
        ({"QGUARDARR__ROLLBACK__DATABASE_PATH": "~no-such-user/x"}, "DATABASE_PATH: begins with '~', and there is no"),
    ],
)
def test_what_no_file_could_hold_is_a_fault_and_no_defect(variables: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        reads(starter_file(), "q.yaml", variables)


def test_half_a_character_in_the_file_is_a_fault() -> None:
    text = starter_file().replace("'.*'", "'.*'\n    name: \"\\uD800\"")
    with pytest.raises(ConfigError, match=r"trackers\[0\]\.name: half of a character"):
        reads(text, "q.yaml", {})


def test_credentials_that_cannot_be_looked_at_are_none() -> None:
    assert reads(starter_file(), "q.yaml", {"CREDENTIALS_DIRECTORY": "/" + "x" * 5000}).overrides.files == []


def test_what_is_overridden_may_be_faulty_in_the_file() -> None:
    """A password that only the file's author's machine has, for example."""
    text = json.dumps({"trackers": RULES, "qbittorrent": {"username": "u", "password": "${NOWHERE}"}})
    assert "NOWHERE" in fault(text)
    config = loads(text, environment={"QGUARDARR__QBITTORRENT__PASSWORD": "${NOWHERE}"})
    assert config.qbittorrent.password == SecretStr("${NOWHERE}")


@pytest.mark.parametrize(
    ("file", "given", "base", "username"),
    [
        ({"host": "a", "port": 1}, {"QGUARDARR__QBITTORRENT__URL": "http://b:2"}, "http://b:2", None),
        ({"url": "http://b:2"}, {"QGUARDARR__QBITTORRENT__HOST": "a"}, "http://a:8080", None),
        ({"url": ""}, {"QGUARDARR__QBITTORRENT__PORT": "1"}, "http://localhost:1", None),
        ({"url": ""}, {"QBIT_URL": "http://b:2", "QBIT_USERNAME": "u", "QBIT_PASSWORD": "p"}, "http://b:2", "u"),
        (None, {"QBIT_URL": "http://b:2", "QBIT_API_KEY": "k"}, "http://b:2", None),
        ({"host": "a"}, {"QBIT_URL": "http://b:2", "QBIT_USERNAME": "u", "QBIT_PASSWORD": "p"}, "http://a:8080", "u"),
        ({"host": "a", "username": "v"}, {"QBIT_USERNAME": "u", "QBIT_PASSWORD": "p"}, "http://a:8080", "v"),
        ({"host": "a", "api_key": "k"}, {"QBIT_USERNAME": "u", "QBIT_PASSWORD": "p"}, "http://a:8080", None),
        ({"host": "a"}, {"QBIT_PASSWORD": "p"}, "http://a:8080", None),
        (
            {"host": "a", "api_key": "k"},
            {"QGUARDARR__QBITTORRENT__USERNAME": "u", "QGUARDARR__QBITTORRENT__PASSWORD": "p"},
            "http://a:8080",
            "u",
        ),
        ({"username": "u", "password": "p"}, {"QGUARDARR__QBITTORRENT__API_KEY": "k"}, "http://localhost:8080", None),
        ({"url": "${QBIT_URL}"}, {"QBIT_URL": "http://b:2"}, "http://b:2", None),
        ({}, {}, "http://localhost:8080", None),
        ({"url": ""}, {}, "", None),
        ({"url": " "}, {"QBIT_URL": ""}, "", None),
    ],
)  # fmt: skip
def test_where_qbittorrent_is(
    file: Mapping[str, object] | None, given: dict[str, str], base: str, username: str | None
) -> None:
    """Variables of the long kind displace what the file says instead of them; the short ones fill what is left open."""
    loaded = reads(json.dumps({"trackers": RULES, "qbittorrent": file}), "c.yaml", given)
    section = loaded.config.qbittorrent
    assert (section.base_url, section.username) == (base, username)
    assert (section.api_key is not None) == ("k" in [*given.values(), *(file or {}).values()] and username is None)


def test_a_short_name_that_the_file_leaves_no_room_for_is_noted() -> None:
    text = json.dumps({"trackers": RULES, "qbittorrent": {"host": "a"}})
    (note,) = reads(text, "c.yaml", {"QBIT_URL": "http://b:2"}).notes
    assert note.startswith("QBIT_URL has no effect, since the file itself says where qBittorrent is")
    assert reads(text.replace('"host": "a"', '"url": "${QBIT_URL}"'), "c.yaml", {"QBIT_URL": "http://b:2"}).notes == ()


def test_auth_none_in_the_file_gives_way_to_a_key_of_the_environment() -> None:
    text = json.dumps({"trackers": RULES, "auth": "none"})
    assert loads(text, environment={"QGUARDARR_API_KEY": SECRET}).auth is None
    auth = loads(text, environment={"QGUARDARR__AUTH__API_KEY": SECRET}).auth
    assert auth is not None
    assert auth.api_key == SecretStr(SECRET)


def test_parts_of_a_faulty_file_heed_the_environment(tmp_path: Path) -> None:
    """A rollback must find the journal that the daemon uses."""
    (tmp_path / "q.yaml").write_text("trackers: []\nrollback: {database_path: '${NOWHERE}'}\nlogging: {level: loud}")
    given = {"QGUARDARR__ROLLBACK__DATABASE_PATH": "a/j.db", "QGUARDARR__LOGGING__LEVEL": "louder"}
    found = read(tmp_path / "q.yaml", given, sections=["rollback"]).config
    assert found.rollback.database_path == tmp_path / "a/j.db"
    with pytest.raises(ConfigError):
        read(tmp_path / "q.yaml", {"QGUARDARR__ROLLBACK__DATABASE_PATH_FILE": "/no/such"}, sections=["rollback"])


# -- where a value comes from -----------------------------------------------------------------------------------------

TEXT = """\
trackers:
  - id: all
    pattern: '.*'
    max_upload_speed: 1 MB/s
qbittorrent:
  host: nas
  username: ${USR}
  password: ${PWD_1}
global: {dry_run: true, port: 1}
notifications:
  urls: ['ntfy://a']
"""


def origins(loaded: Loaded) -> dict[str, tuple[object, ...]]:
    made = settings_of(loaded, Path("c.yaml"))
    rows = setting_rows(made.shown, made.origins)
    assert [row.setting for row in rows] == [row.setting for row in setting_rows(made.shown, "{}")]
    return {row.setting: (row.source, row.line, row.variables) for row in rows}


def test_each_setting_says_where_its_value_comes_from(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(SECRET)
    given = {
        "USR": "me",
        "PWD_1": "unused",
        "QGUARDARR__QBITTORRENT__URL": "http://b:2",
        "QGUARDARR__QBITTORRENT__PASSWORD_FILE": str(tmp_path / "x"),
        "QGUARDARR__GLOBAL__PORT": "2",
        "QGUARDARR_API_KEY": SECRET,
    }
    found = origins(reads(TEXT, "c.yaml", given))
    assert {name: origin for name, origin in found.items() if origin[0] != "default"} == {
        "trackers[0].id": ("file", 2, ()),
        "trackers[0].pattern": ("file", 3, ()),
        "trackers[0].max_upload_speed": ("file", 4, ()),
        "qbittorrent.url": ("environment", None, ("QGUARDARR__QBITTORRENT__URL",)),
        "qbittorrent.username": ("file", 7, ("USR",)),
        "qbittorrent.password": ("environment", None, ("QGUARDARR__QBITTORRENT__PASSWORD_FILE",)),
        "global.dry_run": ("file", 9, ()),
        "global.port": ("environment", None, ("QGUARDARR__GLOBAL__PORT",)),
        "notifications.urls": ("file", 11, ()),
        "auth.api_key": ("environment", None, ("QGUARDARR_API_KEY",)),
    }
    rules = origins(reads(TEXT, "c.yaml", given | {"QGUARDARR__TRACKERS": json.dumps(RULES)}))
    assert rules["trackers[0].priority"] == ("environment", None, ("QGUARDARR__TRACKERS",))


def test_every_setting_has_a_line_and_no_secret_is_in_it(tmp_path: Path) -> None:
    given = {variable_of(BY_NAME[name].path): as_variable(value) for name, value in ALL.items()}
    made = settings_of(reads(MINIMAL, "c.yaml", given), Path("c.yaml"))
    rows = setting_rows(made.shown, made.origins)
    assert {row.source for row in rows if row.setting.split("[")[0] in ALL} == {"environment"}
    assert SECRET not in made.shown + made.origins
    assert {name for row in rows for name in row.variables} == set(given)
    known = {name for name in BY_NAME if name not in ("auth", "trackers")}
    assert known < {row.setting for row in rows}


ALL: Final = {
    "qbittorrent.password": SECRET,
    "qbittorrent.username": "u",
    "auth.api_key": SECRET,
    "auth.username": "me",
    "auth.password": SECRET,
    "cross_seed.url": f"http://cross:1/{SECRET}",
    "cross_seed.api_key": SECRET,
    "notifications.urls": [f"tgram://1:{SECRET}/x"],
    "trackers": RULES,
}


def test_a_text_that_stands_in_has_no_lines(tmp_path: Path) -> None:
    loaded = read(tmp_path / "q.yaml", {"QBIT_URL": "http://b:2"}, stand_in=True)
    found = origins(loaded)
    assert found.pop("qbittorrent.url") == ("environment", None, ("QBIT_URL",))
    assert {origin[0] for origin in found.values()} == {"default"}
    assert loaded.config.trackers[0].max_upload_speed == UNLIMITED


def test_leaves_are_scalars_and_lists_of_scalars() -> None:
    tree = {"a": {"b": 1, "c": []}, "d": [{"e": [1, 2]}, {"e": None}], "f": {}}
    assert dict(leaves(tree)) == {
        ("a", "b"): 1,
        ("a", "c"): [],
        ("d", 0, "e"): [1, 2],
        ("d", 1, "e"): None,
    }
    assert PREFIX == "QGUARDARR__"
