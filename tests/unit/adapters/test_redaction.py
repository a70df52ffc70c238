"""Every kind of secret on every path to a log line: none may arrive, in any style."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, quote_plus, urlencode

import argon2
import msgspec
import pytest
import structlog
from itsdangerous import TimestampSigner

from qguardarr.adapters import logs
from qguardarr.adapters.redaction import HIDDEN, Redactor
from qguardarr.engine.settings import LogSettings

STYLES: Final = ("console", "json")


class Kind(NamedTuple):
    """A secret, and texts that hold it when the redactor does not know it."""

    secret: str
    texts: tuple[str, ...] = ()
    known: bool = True
    """Whether the redactor knows it: it is in the configuration, or made at the start."""


COOKIE: Final = TimestampSigner("the secret of the cookie").sign("Zk3-aa91ABc").decode()
HASH: Final = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("x")
PASSKEY: Final = "8f14e45fceea167a5a36dedd4bea2543"
ODD_PASSKEY: Final = "Zx81-odd.Passkey~1"
ANNOUNCE: Final = f"https://tracker.example.org/{ODD_PASSKEY}/announce"

KINDS: Final = {
    "qBittorrent's password": Kind('p"w ü/1&x\\ \'%2F'),
    "a password of eight signs": Kind("tiny-one"),
    "a password of eight letters": Kind("abcdefgh"),
    "a password with a newline": Kind("two\nlines of it"),
    "qBittorrent's API key": Kind("qbt_AbCdEfGhIjKlMnOpQrStUvWxYz12"),
    "another one's API key of qBittorrent": Kind(
        "qbt_ZyXwVuTsRqPoNmLkJiHgFeDcBa98", ("key qbt_ZyXwVuTsRqPoNmLkJiHgFeDcBa98!",), known=False
    ),
    "our API key": Kind("fUg3-kqR8wVbTm_Zp1sNdYx5cA0eLhJ"),
    "a stranger's API key": Kind(
        "gQ7r-wrong_Key.of~a/stranger",
        (
            "x-api-key: gQ7r-wrong_Key.of~a/stranger",
            "X-Api-Key=gQ7r-wrong_Key.of~a/stranger",
            "POST /webhook?event=add&apikey=gQ7r-wrong_Key.of~a/stranger&hash=00 HTTP/1.1",
            "[(b'host', b'x'), (b'x-api-key', b'gQ7r-wrong_Key.of~a/stranger')]",
            '{"x-api-key": "gQ7r-wrong_Key.of~a/stranger"}',
            "{\\\"apiKey\\\": \\\"gQ7r-wrong_Key.of~a/stranger\\\"}",
            "Authorization: Bearer gQ7r-wrong_Key.of~a/stranger",
            "refused bearer gQ7r-wrong_Key.of~a/stranger",
            "'proxy-authorization': 'Bearer gQ7r-wrong_Key.of~a/stranger'",
            "curl -H 'X-Api-Key: gQ7r-wrong_Key.of~a/stranger' http://localhost",
        ),
        known=False,
    ),
    "a session cookie": Kind(
        COOKIE,
        (
            f"Cookie: theme=dark; qguardarr_session={COOKIE}; x=1",
            f"cookie: qguardarr_session={COOKIE}",
            f"Set-Cookie: qguardarr_session={COOKIE}; HttpOnly; SameSite=Strict",
            f"(b'cookie', b'theme=dark; qguardarr_session={COOKIE}')",
            f"qguardarr_session={COOKIE}",
            f"session={COOKIE}",
            f"{{'Cookie': 'a=b; qguardarr_session={COOKIE}'}}",
        ),
        known=False,
    ),
    "qBittorrent's cookie": Kind(
        "jH8sPq2+x/Yz", ("SID=jH8sPq2+x/Yz; path=/", "QBT_SID_8080=jH8sPq2+x/Yz"), known=False
    ),
    "a CSRF token": Kind(
        "cs-Tok_en.1234567", ("X-CSRF-Token: cs-Tok_en.1234567", "csrf_token=cs-Tok_en.1234567"), known=False
    ),
    "a signed token": Kind(
        "eyJ1c2VyIjoiYWRhIn0.ZyXwVu.0123456789abcdefghij_-ABCDE",
        ("signed eyJ1c2VyIjoiYWRhIn0.ZyXwVu.0123456789abcdefghij_-ABCDE here",),
        known=False,
    ),
    "the hash of a password": Kind(HASH, (f"auth: {HASH}", f"password: {HASH}", f"({HASH})", f'"{HASH}"'), known=False),
    "the key in cross-seed's address": Kind("cr0ss-Seed~key"),
    "another one's key in that address": Kind(
        "4nother-Seed~key", ("http://cross-seed:2468/api/webhook?apikey=4nother-Seed~key",), known=False
    ),
    "the token of a bot": Kind(
        "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
        ("tgram://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/42", "sent to tgrams://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/@me."),
        known=False,
    ),
    "a password of a mailbox": Kind(
        "m4ilb0x!pw", ("mailto://user:m4ilb0x!pw@gmail.com", "mailtos://user:m4ilb0x!pw@x.org/?to=a@b.c"), known=False
    ),
    "the token of a webhook": Kind(
        "4n0ther-h00k-t0ken",
        ("discord://4174216298/4n0ther-h00k-t0ken/?footer=yes", "json://host/4n0ther-h00k-t0ken", "xml+x://h/?-X-T=4n0ther-h00k-t0ken"),
        known=False,
    ),
    "somebody's HTTP Basic": Kind("YWRhOmh1bnRlcjI=", ("sent Basic YWRhOmh1bnRlcjI=",), known=False),
    "a proxy's password": Kind(
        "pr0xy-pw", ("socks5://me:pr0xy-pw@proxy:1080", "http://me:pr0xy-pw@proxy:3128/"), known=False
    ),
    "a passkey of 32 digits": Kind(
        PASSKEY,
        (
            f"http://tracker.example.org/{PASSKEY}/announce",
            f"udp://tracker.example.org:1337/announce?passkey={PASSKEY}",
            f"magnet:?xt=urn:btih:00&tr=http%3A%2F%2Ftr.example%2F{PASSKEY}%2Fannounce&dn=x",
            f"the passkey {PASSKEY} itself",
            f"/announce/{PASSKEY}",
        ),
        known=False,
    ),
    "a passkey of another form": Kind(
        ODD_PASSKEY,
        (
            ANNOUNCE,
            f"wss://tracker.example.org:443/{ODD_PASSKEY}",
            f"'{ANNOUNCE}'",
            f"<{ANNOUNCE}>",
            f"{ANNOUNCE},{ANNOUNCE}",
            f"http://tracker.example.org?passkey={ODD_PASSKEY}",
            f"magnet:?xt=urn:btih:00&tr={quote(ANNOUNCE, safe='')}&tr=x",
            f"&tr={quote(ANNOUNCE, safe='')}&x=1",
            f"next={quote(quote(ANNOUNCE, safe=''), safe='')}",
            f"Max retries exceeded with url: /{ODD_PASSKEY}/announce (Caused by x)",
            f"GET /announce.php/{ODD_PASSKEY} 404",
            f"GET /ann?key={ODD_PASSKEY}&uploaded=1",
            f"torrent_pass={ODD_PASSKEY}",
            f"authkey={ODD_PASSKEY}",
        ),
        known=False,
    ),
    "a password in a form": Kind(
        "hunt-er2",
        (
            "username=admin&password=hunt-er2",
            "password=hunt-er2",
            "Login(username='ada', password='hunt-er2')",
            'Login(password="hunt-er2", more=1)',
            '{"password": "hunt-er2"}',
            "{'web_ui_password': 'hunt-er2'}",
            "{'password': b'hunt-er2'}",
            '"{\\"password\\": \\"hunt-er2\\"}"',
            "qbittorrent:\n  password: hunt-er2\n  port: 1",
            "('password', 'hunt-er2')",
        ),
        known=False,
    ),
}  # fmt: skip
KNOWN: Final = tuple(kind.secret for kind in KINDS.values() if kind.known)
ADDRESSES: Final = ("tgram://77:kn0wn-b0t-t0ken/1", "http://cross-seed:2468/api/webhook?apikey=cr0ss-Seed~key")


def spellings(secret: str) -> set[str]:
    """Texts in which a line might show it."""
    plain = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]}
    return plain | {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret.encode())[2:-1]}


def encoded(secret: str) -> tuple[str, ...]:
    """Return texts that hold a known secret, as libraries write them."""
    basic = base64.b64encode(f"admin:{secret}".encode()).decode()
    return (
        secret,
        f"before {secret} after",
        f"({secret})",
        repr(secret),
        json.dumps({"value": secret}),
        json.dumps(json.dumps([secret])),
        urlencode({"value": secret}),
        f"/path/{quote(secret, safe='')}?x",
        quote(secret, safe="").replace("%2F", "%2f").replace("%C3%BC", "%c3%bc"),
        str(secret.encode()),
        f"Authorization: Basic {basic}",
        f"Basic {basic}",
        base64.b64encode(secret.encode()).decode(),
    )


# -- the paths --------------------------------------------------------------------------------------------------------


class Opaque:
    """An object whose text holds a secret."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Opaque({self.text!r})"


class Struct(msgspec.Struct):
    text: str


def structlog_levels(text: str) -> None:
    log = structlog.get_logger("qguardarr.test")
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(log, level)(f"event {text}")
        getattr(log, level)("event", field=text)


def structlog_fields(text: str) -> None:
    log = structlog.get_logger()
    log.info("bytes", value=text.encode(), array=bytearray(text.encode()))
    log.info("nested", value={"a": [{"b": (text, {text})}, frozenset([text])]}, deep=[[[[text.encode()]]]])
    log.info("a key", value={text: 1, text.encode(): 2})
    log.info("an object", value=Opaque(text), struct=Struct(text), error=ValueError(text), kind=type(text, (), {}))
    log.bind(bound=text).warning("bound")
    log.info("positional %s", text)
    with structlog.contextvars.bound_contextvars(context=text):
        log.info("context")


def standard_loggers(text: str) -> None:
    for name in ("uvicorn.error", "uvicorn.access", "urllib3.connectionpool", "apprise", "asyncio", "some.library"):
        log = logging.getLogger(name)
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.CRITICAL):
            log.log(level, "message %s", text)
        log.error("message " + text)
    log.error("mapping %(it)s", {"it": text})
    log.error("extra", extra={"field": text, "nested": {"x": [text.encode()]}})
    log.error(Opaque(text))
    log.error("%s: too many arguments", *("one", text))
    log.error(text, stack_info=True)
    logging.getLogger(f"named.{text}").error("a name")


def exceptions(text: str) -> None:
    def broken() -> None:
        try:
            try:
                raise KeyError(text)
            except KeyError as error:
                error.add_note(text)
                raise OSError(5, text, text) from error
        except OSError:
            raise ValueError({"value": text, "bytes": text.encode()})  # noqa: B904 # an implicit context

    for log in (structlog.get_logger(), logging.getLogger("uvicorn.error")):
        try:
            broken()
        except ValueError as error:
            log.exception("caught")
            log.error("handed over", exc_info=error)
            log.error("as text", exc_info=(type(error), error, error.__traceback__))
        try:
            raise ExceptionGroup(text, [ValueError(text), OSError(text)])
        except ExceptionGroup:
            log.exception("several")


def uncaught(text: str) -> None:
    def fail() -> None:
        raise RuntimeError(text)

    thread = threading.Thread(target=fail, name=f"thread {text}")
    thread.start()
    thread.join()

    class Unraisable:
        def __del__(self) -> None:
            fail()

    Unraisable()
    try:
        fail()
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)
    warnings.warn(text, UserWarning, stacklevel=1)


PATHS: Final = (structlog_levels, structlog_fields, standard_loggers, exceptions, uncaught)


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore logging and hooks after the test."""
    root, quiet = logging.getLogger(), [logging.getLogger(name) for name in logs.QUIET]
    handlers, level, levels, noisy = root.handlers, root.level, [log.level for log in quiet], logging.raiseExceptions
    root.handlers = []
    for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        yield
    logging.captureWarnings(False)
    for handler in root.handlers:
        handler.close()
    root.handlers, logging.raiseExceptions = handlers, noisy
    root.setLevel(level)
    for log, before in zip(quiet, levels, strict=True):
        log.setLevel(before)
    structlog.reset_defaults()


class Site(NamedTuple):
    """Configured logging, and all lines that it wrote."""

    file: Path
    capsys: pytest.CaptureFixture[str]

    def written(self) -> dict[str, str]:
        captured = self.capsys.readouterr()
        assert captured.out == ""
        return {"file": self.file.read_text(encoding="utf-8"), "terminal": captured.err}


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str], restored: None) -> Callable[[str], Site]:
    def make(style: str, *secrets: str) -> Site:
        file = tmp_path / "log" / "qguardarr.log"
        redactor = Redactor(secrets, username="admin")
        logs.prepare(redactor, LogSettings(style=style, file=str(file), level="DEBUG"))()
        logs.catch_uncaught()
        return Site(file, capsys)

    return make


def checked(written: dict[str, str], secret: str, style: str) -> None:
    for where, text in written.items():
        for spelling in spellings(secret):
            assert spelling not in text, f"{where}: {next(line for line in text.splitlines() if spelling in line)}"
        if style == "json":
            assert all(isinstance(json.loads(line), dict) for line in text.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.known])
def test_a_known_secret_reaches_no_line(name: str, style: str, path: Any, site: Any) -> None:
    secret = KINDS[name].secret
    where = site(style, *KNOWN)
    for text in encoded(secret):
        path(text)
    written = where.written()
    assert all(HIDDEN in text for text in written.values())
    checked(written, secret, style)
    basic = base64.b64encode(f"admin:{secret}".encode()).decode()
    assert not any(basic in text for text in written.values())


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.known])
def test_text_that_looks_like_a_secret_reaches_no_line(name: str, style: str, path: Any, site: Any) -> None:
    kind = KINDS[name]
    where = site(style)
    for text in kind.texts:
        assert kind.secret in text or quote(kind.secret) in text
        path(text)
        structlog.get_logger().info(f"before {text} after")
    checked(where.written(), kind.secret, style)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_known_address_reaches_no_line(address: str, style: str, site: Any) -> None:
    where = site(style, address)
    for path in PATHS:
        path(address)
    for secret in ("kn0wn-b0t-t0ken", "cr0ss-Seed~key"):
        checked(where.written(), secret, style)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "key",
    [
        "password", "qbit_password", "Password", "pass", "passkey", "passphrase", "secret", "client_secret", "token",
        "botToken", "tokens", "cookie", "Set-Cookie", "authorization", "api_key", "apikey", "x-api-key", "X-Api-Key",
        "session", "qguardarr_session", "credentials", "password_hash", "csrf_token", "authkey",
    ],
)  # fmt: skip
def test_values_under_secret_names_are_hidden(key: str, style: str, site: Any) -> None:
    where = site(style)
    secret = "plain-word"
    structlog.get_logger().info("a field", **{key: secret})
    structlog.get_logger().info("bytes", headers={key.encode(): secret.encode()})
    structlog.get_logger().info("pairs", headers=[(key, secret), (key.encode(), secret.encode()), [key, [secret]]])
    structlog.get_logger().info("deep", value={"more": [{key: {"inner": secret, "list": [secret]}}]})
    logging.getLogger("some.library").warning("extra", extra={key: secret})
    checked(where.written(), secret, style)


@pytest.mark.parametrize("key", ["key", "compass", "passed", "tracker", "author", "hash", "monkey", "secretary"])
def test_other_values_stay(key: str, site: Any) -> None:
    where = site("json")
    structlog.get_logger().info("a field", **{key: "plain-word"}, pairs=[(key, "plain-word")])
    assert where.file.read_text().count("plain-word") == 2


@pytest.mark.parametrize(
    "text",
    [
        "torrent 0123456789abcdef0123456789abcdef01234567 restored",
        "no connection to qBittorrent at http://localhost:8080 within 4 s",
        "listening at http://[::1]:8089",
        "qBittorrent refuses HTTP Basic (wrong user name or password, a ban, or older than 5.2)",
        "HTTP Basic authentication is off",
        "qBittorrent refuses the API key (it needs qBittorrent 5.2 or newer)",
        "config/qguardarr.yaml:4: qbittorrent.password: 'username' is missing. hint: add 'username'",
        "config/qguardarr.yaml:7: auth.api_key: must have 16 to 512 ASCII characters",
        "notifications.urls[0] is not an Apprise URL; write one such as ntfy",
        "the session ends; tokens: 5 of 10; the password is wrong",
        "limits of 12 torrents written in 3 calls, 0.12 s, C:\\folder 'quoted' \"twice\"",
        "/var/lib/qguardarr/data/qguardarr.db-wal: disk is full",
    ],
)
def test_useful_text_stays(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (ANNOUNCE, "https://tracker.example.org/…"),
        ("http://me:pw@proxy:3128/x", "http://proxy:3128/…"),
        ("tgram://1:secret/2 failed", "tgram://… failed"),
        ("magnet:?xt=urn:btih:00&dn=a%20name added", "magnet:… added"),
        ("see <json://x/y>, then", "see <json://…>, then"),
        ('Login(name="a", password="b c", more=1)', f'Login(name="a", password="{HIDDEN}", more=1)'),
        ('{"token": "a\\"b", "x": 1}', f'{{"token": "{HIDDEN}", "x": 1}}'),
        ("passphrase='it\\'s hunt-er2', x=1", f"passphrase='{HIDDEN}', x=1"),
        ("password='never closed\nthe next line", f"password='{HIDDEN}\nthe next line"),
        ("- passwd: hunt er2\n  port: 1", f"- passwd: {HIDDEN}\n  port: 1"),
        ("Cookie: a=b; c=d, and more", f"Cookie: {HIDDEN}, and more"),
    ],
)
def test_text_around_a_secret_stays(text: str, left: str) -> None:
    assert Redactor().text(text) == left


def test_quotation_marks_and_backslashes_leave_json_whole(site: Any) -> None:
    where = site("json")
    for text in ('"', "'", "\\", '"http://x/y"', "password=", 'password="', "token='", '\\"secret\\": \\"', "C:\\"):
        structlog.get_logger().info(text, first=text, second={text: [text]}, third='"', fourth="it's")
    lines = [json.loads(line) for line in where.file.read_text().splitlines()]
    assert len(lines) == 9
    assert all(line["fourth"] == "it's" for line in lines)


SHORT: Final = ("a", "wrong", "admin", "tiny", "seven77", "user", "login")


@pytest.mark.parametrize("secret", [*SHORT, "password", "Password", "qBittorrent", "username"])
@pytest.mark.parametrize(
    "text",
    [
        "qBittorrent refuses the login: wrong user name or password, or host name",
        "login of the user admin with username and password: a tiny seven77",
    ],
)
def test_an_indistinct_secret_tears_no_sentence(secret: str, text: str, site: Any) -> None:
    where = site("json", secret)
    structlog.get_logger().warning(text, wrong=text, user="admin")
    line = json.loads(where.file.read_text())
    assert (line["event"], line["wrong"], line["user"]) == (text, text, "admin")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("secret", SHORT)
def test_form_and_place_protect_short_secrets_too(secret: str, style: str, site: Any) -> None:
    where = site(style, secret)
    basic = base64.b64encode(f"admin:{secret}".encode()).decode()
    log = structlog.get_logger()
    log.info("x", password=secret, headers=[("Cookie", f"SID={secret}")], api_key=secret, deep={"token": secret})
    log.info(f"x username=x&password={secret} apikey={secret} torrent_pass={secret}")
    log.info(f"x Cookie: SID={secret}; x-api-key: {secret}")
    log.info(f"x Authorization: Basic {basic}")
    log.info(f"x http://x:{secret}@host/{secret}/announce?passkey={secret}")
    log.info(f"x {basic}")
    for text in where.written().values():
        for line in text.splitlines():
            said = line.partition(" x" if style == "console" else '"event": "x')[2] or line
            for other in ("password", "passkey", "torrent_pass", "username", "headers", "apikey", "api_key", "hidden"):
                said = said.replace(other, "")
            assert f"{secret}@" not in said
            assert f"={secret}" not in said
            assert f": {secret}" not in said
            assert f'"{secret}"' not in said
            assert f"/{secret}" not in said
            assert basic not in said


# -- loggers of others ------------------------------------------------------------------------------------------------


def test_loggers_of_libraries_are_quiet(site: Any) -> None:
    where = site("json")
    for name in ("uvicorn.access", "uvicorn.error", "urllib3.connectionpool", "watchfiles.main", "asyncio", "apprise"):
        for level in (logging.INFO, logging.WARNING, logging.CRITICAL):
            logging.getLogger(name).log(level, "%s", logging.getLevelName(level))
    said = {(line["logger"], line["event"]) for line in map(json.loads, where.file.read_text().splitlines())}
    assert said == {
        *((name, level) for name in ("asyncio", "apprise") for level in ("INFO", "WARNING", "CRITICAL")),
        *(
            (name, level)
            for name in ("uvicorn.error", "urllib3.connectionpool", "watchfiles.main")
            for level in ("WARNING", "CRITICAL")
        ),
    }


# -- what nobody caught -----------------------------------------------------------------------------------------------


def test_uncaught_exceptions_become_lines_with_their_traces(site: Any) -> None:
    where = site("json")
    uncaught("something")
    lines = [json.loads(line) for line in where.file.read_text().splitlines()]
    assert [(line["level"], line["event"]) for line in lines[:3]] == [
        ("critical", "uncaught in the thread thread something"),
        ("critical", "uncaught where none can be raised"),
        ("critical", "uncaught in the main thread"),
    ]
    assert all("RuntimeError: something" in line["exception"] for line in lines[:3])
    assert "UserWarning: something" in lines[3]["event"]
    assert len(lines) == 4


def test_ending_a_thread_or_the_program_is_no_uncaught_exception(site: Any) -> None:
    where = site("json")
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()
    error = KeyboardInterrupt()
    sys.excepthook(KeyboardInterrupt, error, None)
    assert where.written()["file"] == ""


def test_a_process_that_dies_says_why_without_secrets() -> None:
    program = f"""
from qguardarr.adapters import logs
from qguardarr.adapters.redaction import HIDDEN, Redactor
from qguardarr.engine.settings import LogSettings
logs.prepare(Redactor(["the-known-secret"]), LogSettings(style="json"))()
logs.catch_uncaught()
raise RuntimeError("it was the-known-secret, {ANNOUNCE}")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    line = json.loads(done.stderr)
    assert "RuntimeError: it was [hidden], https://tracker.example.org/…" in line["exception"]
    assert ODD_PASSKEY not in done.stderr
