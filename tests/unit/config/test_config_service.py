"""The sections for what talks to people and other programs, and the plain values that the daemon gets of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from argon2 import PasswordHasher, extract_parameters

from qguardarr.alert_events import ALERT_EVENTS
from qguardarr.app.read_settings import settings_of
from qguardarr.app.settings import load_settings
from qguardarr.config import Config
from qguardarr.config.environment import API_KEY_VARIABLE
from qguardarr.config.load import reads
from qguardarr.config.redacted import redacted
from qguardarr.engine.settings import CrossSeedSettings, Settings
from qguardarr.errors import ConfigError
from tests.support.configs import loads

MINIMAL = "trackers: [{id: all, pattern: '.*', max_upload_speed: 1 MB/s}]\n"
KEY = "0123456789abcdef-KEY"
HASH = "$argon2id$v=19$m=7168,t=5,p=1$MDAwMDAwMDAwMDAwMDAwMA$dhezJf1MdJhbqoM0Tpvn7NCnXx7kT5RsSgBzJDs6ylM"


@pytest.fixture(autouse=True)
def _no_key_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)


def config(text: str, **environment: str) -> Config:
    return loads(MINIMAL + text, "c.yaml", environment)


def settings(text: str, **environment: str) -> Settings:
    return settings_of(reads(MINIMAL + text, "c.yaml", environment), Path("c.yaml"))


def fault(text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config(text, **environment)
    found = str(caught.value).splitlines()
    assert len(found) == 1, found
    return found[0].removeprefix("c.yaml:2: ")


# -- auth -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "auth:", "auth: {}", "auth: null"])
def test_a_key_is_asked_for_unless_the_file_says_none(text: str) -> None:
    api = settings(text).api
    assert not api.open
    assert (api.api_key, api.username, api.password_hash) == (None, None, None)


def test_none_opens_everything() -> None:
    api = settings("auth: none\nglobal: {host: 127.0.0.1}").api
    assert api.open
    assert api.api_key is None


@pytest.mark.parametrize("text", ["None", "off", "false", "no", "open", "''", "nobody"])
def test_nothing_but_the_word_opens(text: str) -> None:
    assert fault(f"auth: {text}").startswith("auth: must be a mapping. hint: write none in its place only if nobody")


def test_a_key_with_name_and_password() -> None:
    api = settings(f"auth: {{api_key: {KEY}, username: me, password: hunter2}}").api
    assert (api.api_key, api.username, api.open) == (KEY, "me", False)
    assert PasswordHasher().verify(api.password_hash or "", "hunter2")


@pytest.mark.parametrize("key", ["''", "short", "'with space in it 123'", "schlüsselschlüssel", f"'{'x' * 513}'"])
def test_keys_that_are_none(key: str) -> None:
    assert fault(f"auth: {{api_key: {key}}}").startswith(
        "auth.api_key: must have 16 to 512 ASCII characters, without spaces. hint: write what `openssl rand"
    )


def test_a_fault_of_a_text_from_the_environment_still_says_what_is_wanted() -> None:
    found = fault("auth: {api_key: '${K}'}", K="hunter2")
    assert "16 to 512 ASCII characters" in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{username: me}", "auth.username: 'password' is missing. hint: add 'password', or remove 'username'"),
        ("{password: hunter2}", "auth.password: 'username' is missing"),
        (
            "{forward_header: 'Remote User'}",
            "auth.forward_header: must be the name of a header. hint: write it like Re",
        ),
        (
            "{forward_header: Cookie}",
            "auth.forward_header: means something else. hint: name the header in which the pro",
        ),
        ("{forward_header: X-Forwarded-For}", "auth.forward_header: means something else."),
        ("{username: '', password: hunter2}", "auth.username: must not be empty"),
        ("{username: me, password: ''}", "auth.password: is empty"),
        ("{username: me, password: 12345678}", "auth.password: must be a text. hint: put it in quotes"),
        ("{username: me, password: '$argon2i$v=19$m=7168,t=5,p=1$MDAw$dhez'}", "auth.password: looks like a hash"),
        (f"{{username: me, password: '$${HASH[1:]}'}}", "auth.password: looks like a hash"),
        (f"{{username: me, password: '{HASH[:-30]}'}}", "auth.password: looks like a hash"),
        ("{username: me, password: '=19=7168,t=5,p=1'}", "docker compose wants each $ twice"),
        ("{key: x}", "auth.key: is not a setting. hint: did you mean 'api_key'?"),
        ("[]", "auth: must be a mapping"),
    ],
)
def test_faults_of_auth(text: str, words: str) -> None:
    assert words in fault(f"auth: {text}")


@pytest.mark.parametrize("written", ["{username: me, password: '%s'}", "\n  username: me\n  password: %s"])
def test_a_hash_is_taken_as_it_is(written: str) -> None:
    assert settings("auth: " + written % HASH).api.password_hash == HASH
    assert config("auth: " + written % "${H}", H=HASH).auth == config("auth: " + written % HASH).auth


def test_a_password_is_hashed_alike_at_each_load_and_changes_with_it_and_with_the_name() -> None:
    """Or each reload would end all sessions."""
    first = settings("auth: {username: me, password: hunter2}")
    assert settings("auth: {username: me, password: hunter2}").api == first.api
    others = [
        settings(f"auth: {{username: {name}, password: {password}}}").api.password_hash
        for name, password in (("me", "hunter3"), ("you", "hunter2"))
    ]
    assert len({first.api.password_hash, *others}) == 3
    found = extract_parameters(first.api.password_hash or "")
    assert (found.memory_cost, found.time_cost, found.parallelism) == (7168, 5, 1)


def test_the_salt_does_not_depend_on_the_password() -> None:
    """It stands in the hash for all to read: guesses could be tried on it without argon2."""
    hashes = [settings(f"auth: {{username: me, password: {p}}}").api.password_hash or "" for p in ("hunter2", "other")]
    assert len({text.split("$")[4] for text in hashes}) == 1


def test_the_environment_names_the_key_where_the_file_does_not() -> None:
    given = {API_KEY_VARIABLE: "k" * 20}
    assert settings("", **given).api.api_key == "k" * 20
    assert "k" * 20 in settings("", **given).secrets
    assert settings(f"auth: {{api_key: {KEY}}}", **given).api.api_key == KEY
    assert settings("auth: none", **given).api.api_key is None
    assert settings("", **{API_KEY_VARIABLE: ""}).api.api_key is None


def test_a_key_of_the_environment_that_is_none_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "hunter2")
    file = tmp_path / "c.yaml"
    file.write_text(MINIMAL)
    with pytest.raises(ConfigError, match=r"^QGUARDARR_API_KEY: must have 16") as caught:
        load_settings(file)
    assert "hunter2" not in str(caught.value)


# -- http -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [("''", ""), ("/", ""), ("/qguardarr", "/qguardarr"), ("/a/b-c/", "/a/b-c"), ("/a//", "/a")],
)
def test_base_paths(written: str, meant: str) -> None:
    assert settings(f"http: {{base_path: {written}}}").api.base_path == meant


@pytest.mark.parametrize("written", ["a", "/a b", "/a//b", "/../a", "'/a?b'", "'/a#b'", "//a", "/ä", "http://x/a"])
def test_base_paths_that_are_none(written: str) -> None:
    assert fault(f"http: {{base_path: {written}}}").startswith("http.base_path: must be a path of letters")


@pytest.mark.parametrize("written", ["/api", "/health/guard"])
def test_base_paths_that_would_hide_the_api(written: str) -> None:
    assert "a path of the API itself" in fault(f"http: {{base_path: {written}}}")


def test_allowed_hosts() -> None:
    assert settings("").api.allowed_hosts == ()
    api = settings("auth: none\nhttp: {allowed_hosts: [Guard.Example.org]}").api
    assert api.allowed_hosts == ("guard.example.org",)
    assert "allowed_hosts[0]: must be a bare host name" in fault("http: {allowed_hosts: ['https://a.example']}")
    assert any("allowed_hosts has no effect" in note for note in config("http: {allowed_hosts: [a.example]}").notes)


def test_trusted_proxies() -> None:
    text = "http: {trusted_proxies: [127.0.0.1, 172.16.0.0/12, '::1', 'fd00::/8'], metrics: open}"
    api = settings(text).api
    assert api.trusted_proxies == ("127.0.0.1", "172.16.0.0/12", "::1", "fd00::/8")
    assert api.metrics_open
    assert settings("").api.trusted_proxies == ()
    assert not settings("").api.metrics_open


@pytest.mark.parametrize("written", ["'*'", "localhost", "10.0.0.1/8", "10.0.0", "'10.0.0.1:80'", "10.0.0.0/33"])
def test_proxies_that_are_none(written: str) -> None:
    assert "trusted_proxies[0]: is neither an IP address nor a network. hint: " in fault(
        f"http: {{trusted_proxies: [{written}]}}"
    )


def test_other_faults_of_http() -> None:
    assert "must be a list" in fault("http: {trusted_proxies: 127.0.0.1}")
    assert fault("http: {metrics: public}").endswith("hint: write 'key' or 'open'")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("0.0.0.0", "0.0.0.0"), ("'::'", "::"), ("'[::1]'", "::1"), ("localhost", "localhost"), ("my-nas", "my-nas")],
)
def test_where_to_listen(written: str, meant: str) -> None:
    api = settings(f"global: {{host: {written}, port: 9000}}").api
    assert (api.host, api.port) == (meant, 9000)


@pytest.mark.parametrize("written", ["''", "'*'", "'127.0.0.1:8089'", "'http://x'", "'a b'", "/run/x.sock"])
def test_where_one_cannot_listen(written: str) -> None:
    assert fault(f"global: {{host: {written}}}").startswith("global.host: must be an address or a host name alone")


# -- notifications ----------------------------------------------------------------------------------------------------


def test_notifications() -> None:
    told = settings("""
notifications:
  urls: ['tgram://1234:abc/chat', ' mailto://me:pw@example.org ']
  events: [errors, over_cap, errors]
  after: 0
  repeat: 60
""").notifications
    assert told.urls == ("tgram://1234:abc/chat", "mailto://me:pw@example.org")
    assert told.events == ("errors", "over_cap")
    assert (told.after_s, told.repeat_s) == (0.0, 60.0)


def test_nobody_is_told_by_default() -> None:
    told = settings("").notifications
    assert (told.urls, told.events, told.after_s, told.repeat_s) == ((), ALERT_EVENTS, 60.0, 21600.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{urls: [hunter2]}", "notifications.urls[0]: is not an Apprise URL. hint: write one such as"),
        ("{urls: ['a://b', 'a:// b']}", "notifications.urls[1]: is not an Apprise URL"),
        ("{urls: 'a://b'}", "notifications.urls: must be a list"),
        ("{events: [overcap]}", "notifications.events[0]: is not one of the values known here. hint: write 'over_cap'"),
        ("{after: -1}", "notifications.after: must be greater than or equal to 0"),
        ("{after: 86401}", "notifications.after: must be less than or equal to 86400"),
        ("{repeat: 59}", "notifications.repeat: must be greater than or equal to 60"),
        ("{repeat: .inf}", "notifications.repeat: must be a number"),
        ("{after: true}", "notifications.after: must be a number"),
    ],
)
def test_faults_of_notifications(text: str, words: str) -> None:
    assert words in fault(f"notifications: {text}")


# -- cross-seed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://localhost:2468", "http://localhost:2468/api/webhook"),
        ("http://localhost:2468/", "http://localhost:2468/api/webhook"),
        ("http://localhost:2468/api/webhook", "http://localhost:2468/api/webhook"),
        ("https://x.example/cs/api/webhook?apikey=abc", "https://x.example/cs/api/webhook?apikey=abc"),
        ("http://[::1]:2468?apikey=abc", "http://[::1]:2468/api/webhook?apikey=abc"),
    ],
)
def test_the_webhook_of_cross_seed(written: str, meant: str) -> None:
    made = settings(f"cross_seed: {{enabled: true, url: '{written}', api_key: k, timeout: 3}}").cross_seed
    assert made == CrossSeedSettings(url=meant, api_key="k", timeout_s=3.0)


@pytest.mark.parametrize("text", ["{}", "{enabled: false, url: 'http://x.example'}", "{url: '', api_key: ''}"])
def test_cross_seed_is_off_unless_enabled(text: str) -> None:
    made = settings(f"cross_seed: {text}").cross_seed
    assert (made.url, made.api_key) == (None, None)


@pytest.mark.parametrize("enabled", ["true", "'${E}'", "'yes'"])
@pytest.mark.parametrize("url", ["", ", url: ''", ", url: null"])
def test_cross_seed_needs_an_address(enabled: str, url: str) -> None:
    found = fault(f"cross_seed: {{enabled: {enabled}{url}}}", E="True")
    assert found.startswith("cross_seed.enabled: 'url' is missing, so that there is nobody to tell. hint: add 'url'")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:2468", "must be an address such as http://localhost:2468/api/webhook"),
        ("ftp://x.example", "must be an address"),
        ("http://x.example:port", "is not an address"),
        ("http://x.example/#a", "must not hold a '#'"),
        ("http://u:p@x.example", "must not hold credentials. hint: write them as api_key"),
    ],
)
def test_addresses_of_cross_seed_that_are_none(url: str, words: str) -> None:
    assert f"cross_seed.url: {words}" in fault(f"cross_seed: {{url: '{url}'}}")


# -- what else takes effect -------------------------------------------------------------------------------------------


def test_a_short_history_and_the_file_of_a_dry_run() -> None:
    assert settings("rollback: {retention_days: 7}").retention_s == 7 * 86400
    made = settings("rollback: {track_all_changes: false, retention_days: 7}\nglobal: {dry_run_store_path: a/b.json}")
    assert made.retention_s == 86400
    assert made.dry_run_path == "a/b.json"
    assert settings("").dry_run_path == "data/dry_run_limits.json"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "auth: none\nglobal: {host: 0.0.0.0}",
            "auth: nobody is asked for a key at 0.0.0.0: whoever reaches port 8089",
        ),
        ("auth: none\nglobal: {host: my-nas}", "auth: nobody is asked for a key at my-nas"),
        ("auth: none\nhttp: {trusted_proxies: [127.0.0.1]}", "auth: nobody is asked for a key: whoever reaches the pr"),
        ("http: {metrics: open}\nglobal: {host: '::'}", "http.metrics: whoever reaches :: can read"),
        ("http: {trusted_proxies: ['::/0']}", "http.trusted_proxies: a network of prefix 0"),
        ("auth: {forward_header: Remote-User}", "auth.forward_header has no effect: http.trusted_proxies does not"),
        ("http: {allowed_hosts: [a.example]}", "http.allowed_hosts has no effect while a key is asked for"),
        ("notifications: {after: 3}", "notifications.after has no effect without notifications.urls"),
    ],
)
def test_what_is_open_is_noted(text: str, words: str) -> None:
    (note,) = config(text).notes
    assert note.startswith(words)


@pytest.mark.parametrize(
    "text",
    [
        "auth: none",
        "auth: none\nglobal: {host: '::1', port: 99}\nhttp: {metrics: open}",
        "auth: none\nglobal: {host: localhost}",
        "global: {host: 0.0.0.0}",
        "cross_seed: {enabled: true, url: 'http://x.example'}\nrollback: {track_all_changes: false}",
        "global: {dry_run_store_path: x.json, port: 8089, host: 127.0.0.2}",
    ],
)
def test_what_is_as_it_should_be_is_not_noted(text: str) -> None:
    assert config(text).notes == ()


# -- secrets ----------------------------------------------------------------------------------------------------------

SECRETS = {
    "Q_NAME": "qbt-user",
    "Q_PASSWORD": "s3cret-qbt-password",
    "A_KEY": "s3cret-api-key-of-20",
    "A_PASSWORD": "s3cret-person",
    "C_URL": "s3cret-in-cross-seeds-path",
    "C_QUERY": "s3cret-query",
    "C_KEY": "s3cret-cross-seed-key",
    "N_TOKEN": "s3cret-telegram-token",
    "N_PASSWORD": "s3cret-mail",
    "T_TOKEN": "s3cret-tracker",
}
FULL = """
qbittorrent: {url: 'http://nas.example:8080/', username: "${Q_NAME}", password: "${Q_PASSWORD}"}
auth: {api_key: "${A_KEY}", username: me, password: "${A_PASSWORD}"}
cross_seed: {enabled: true, url: "http://cs.example:2468/${C_URL}?apikey=${C_QUERY}", api_key: "${C_KEY}"}
notifications: {urls: ["tgram://123456789:${N_TOKEN}/chat", "mailto://me:${N_PASSWORD}@mail.example"]}
trackers:
  - {id: one, name: "named ${T_TOKEN}", pattern: 'one\\.example/a{32}', max_upload_speed: 10 MB/s}
  - {id: all, pattern: '.*', max_upload_speed: unlimited}
"""


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As the daemon gets it, through the pipe."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(API_KEY_VARIABLE, "s3cret-of-the-environment")
    file = tmp_path / "c.yaml"
    file.write_text(FULL)
    return load_settings(file)


def test_what_is_shown_holds_no_secret(full: Settings) -> None:
    assert "s3cret" not in full.shown
    assert "argon2" not in full.shown
    tree = json.loads(full.shown)
    assert tree["qbittorrent"]["username"] == "qbt-user"
    assert tree["qbittorrent"]["password"] == "***"
    assert tree["qbittorrent"]["api_key"] is None
    assert tree["auth"] == {"api_key": "***", "username": "me", "password": "***", "forward_header": None}
    assert tree["cross_seed"] == {
        "enabled": True, "url": "http://cs.example:2468", "api_key": "***", "timeout": 15.0,
    }  # fmt: skip
    assert tree["notifications"]["urls"] == ["***", "***"]
    assert tree["trackers"][0]["name"] == "named ***"


@pytest.mark.parametrize("password", ["a", "wrong", "admin", "password"])
def test_a_short_secret_is_masked_where_it_stands_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, password: str
) -> None:
    monkeypatch.setenv("QBIT_PASSWORD", password)
    file = tmp_path / "c.yaml"
    file.write_text(
        """
qbittorrent: {username: admin, password: '${QBIT_PASSWORD}'}
trackers:
  - {id: what-a-wrong-admin-password, name: 'see ${QBIT_PASSWORD}', pattern: x, max_upload_speed: 1 MB/s}
  - {id: default, pattern: '.*', max_upload_speed: -1}
logging: {file: '${QBIT_PASSWORD}'}
"""
    )
    tree = json.loads(load_settings(file).shown)
    assert (tree["qbittorrent"]["username"], tree["qbittorrent"]["password"]) == ("admin", "***")
    assert (tree["trackers"][0]["id"], tree["trackers"][0]["name"]) == ("what-a-wrong-admin-password", "***")
    assert tree["logging"]["file"] == "***"


def test_what_is_shown_is_the_file_with_its_defaults(full: Settings) -> None:
    tree = json.loads(full.shown)
    assert set(tree) == {
        "global", "qbittorrent", "trackers", "rollback", "logging", "cross_seed", "auth", "http", "notifications",
    }  # fmt: skip
    assert [rule["max_upload_speed"] for rule in tree["trackers"]] == [10_000_000, -1]
    assert tree["trackers"][0]["pattern"] == "one\\.example/a{32}"
    assert tree["global"]["uplink"] == -1
    assert tree["global"]["update_interval"] == 2.0
    assert tree["rollback"]["database_path"].endswith("/data/qguardarr.db")
    assert json.loads(settings("auth: none").shown)["auth"] == "none"


def test_what_is_shown_loads_again() -> None:
    one = config("auth: none\nglobal: {uplink: 5 MB/s, idle_limit: off}\nhttp: {trusted_proxies: [10.0.0.1]}")
    assert loads(redacted(one), environment={}) == one


def test_all_comes_through_the_pipe_as_it_was(full: Settings, tmp_path: Path) -> None:
    """`full` came through it; equal settings are how a reload knows what has changed."""
    loaded = reads(FULL, "c.yaml", SECRETS, folder=tmp_path)
    assert full == settings_of(loaded, tmp_path / "c.yaml")


def test_every_secret_is_known_to_whoever_hides_secrets(full: Settings) -> None:
    for name, value in SECRETS.items():
        assert value in full.secrets or name == "Q_NAME", name
    assert "s3cret-of-the-environment" in full.secrets
    assert full.api.password_hash in full.secrets
    assert "tgram://123456789:s3cret-telegram-token/chat" in full.secrets
    assert not {"mail.example", "chat", "me", "123456789"} & set(full.secrets)


def test_no_repr_holds_a_secret(full: Settings) -> None:
    for shown_text in map(repr, (full, full.api, full.cross_seed, full.notifications)):
        assert not re.search(r"s3cret|argon2", shown_text)
    assert repr(full.api) == "<API at 127.0.0.1 port 8089>"
