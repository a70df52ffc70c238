"""`init`: write a first configuration, from answers or from options, after trying it with qBittorrent."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from qguardarr.cli.opening import client_for, closed_folder, config_for, known_secrets
from qguardarr.cli.options import DEFAULT_CONFIG, ConfigPath
from qguardarr.cli.terminal import asked, confirmed, out, say, secret
from qguardarr.cli.text import clean, counted
from qguardarr.cli.trackers import NO_TRACKER, print_hosts, rules_for, watch_hosts
from qguardarr.core.units import SpeedError, parse_speed
from qguardarr.errors import AuthRejected, Banned, ConfigError, QguardarrError, Refused, Unreachable

if TYPE_CHECKING:
    from qguardarr.cli.trackers import Host
    from qguardarr.config import Config
    from qguardarr.config.starter import Rule

_USUAL_URL: Final = "http://localhost:8080"
_USUAL_NAME: Final = "admin"
_VARIABLES: Final = ("QBIT_URL", "QBIT_USERNAME", "QBIT_PASSWORD", "QBIT_API_KEY")
_MOST_LOGINS: Final = 4
"""qBittorrent blocks an address after five failures, and counts those of others too."""


class _Login(NamedTuple):
    """How to reach qBittorrent, and how the file is to refer to it."""

    url: str
    username: str = ""
    password: str = ""
    api_key: str = ""
    written_password: str = ""
    """YAML for the file: the password itself, or a reference to a variable; empty: a variable is looked for."""
    written_api_key: str = ""

    def config(self) -> Config:
        """Return a configuration that only has this login. Raises `ConfigError`."""
        login = (self.username or None, self.password if self.username else None, self.api_key or None)
        return config_for(self.url, *login)


def init(
    config: ConfigPath = DEFAULT_CONFIG,
    url: Annotated[str | None, typer.Option(help="Address of qBittorrent's Web UI. Default: QBIT_URL.")] = None,
    username: Annotated[
        str | None,
        typer.Option(help="User name there. Default: QBIT_USERNAME. The password is asked for, or QBIT_PASSWORD."),
    ] = None,
    cap: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST=SPEED", help="Cap for a tracker, e.g. tracker.example.org=10MB/s; may be repeated."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a configuration that is there.")] = False,
    non_interactive: Annotated[
        bool, typer.Option("--non-interactive", help="Ask nothing: options and environment say everything.")
    ] = False,
) -> None:
    """Write a first configuration, from answers or options.

    Asks for qBittorrent's address and login, tries them, shows the trackers with their speeds, and asks for a cap for
    each. The configuration only observes (dry_run). QBIT_API_KEY may hold an API key (qBittorrent 5.2 and newer).
    """
    caps = _given_caps(cap or ())
    if not non_interactive and not sys.stdin.isatty():
        hint = "--non-interactive, and --url or QBIT_URL"
        raise ConfigError("init asks questions, and this is no terminal", hint=hint)
    _refuse_unwritable(config)
    if os.path.lexists(config) and not force:
        if non_interactive:
            raise ConfigError(f"{config} is there already", hint="--force replaces it")
        if not confirmed(f"{config} is there already. Replace it?"):
            raise QguardarrError("nothing was written")
    given = _given(url, username)
    if non_interactive:
        if not given.url:
            hint = "give --url, or set QBIT_URL"
            raise ConfigError("qBittorrent's address is missing", place="--non-interactive", hint=hint)
        login, hosts = given, _read_hosts(given, watch_s=0.0)
    else:
        login, hosts = _logged_in(given)
    hosts = [host for host in hosts if host.host != NO_TRACKER]
    rules = [r._replace(cap=caps.get(h.host, r.cap)) for h, r in zip(hosts, rules_for(hosts), strict=True)]
    if not non_interactive:
        rules = _asked_caps(rules, hosts, set(caps))
    for name in sorted(caps.keys() - {host.host for host in hosts}):
        say(f"note: qBittorrent knows no tracker {clean(name)}; its cap is left out.")
    _write(config, login, rules)
    _print_next_steps(config, login, rules)


# -- options and environment -------------------------------------------------------------------------------------------


def _given_caps(texts: list[str] | tuple[()]) -> dict[str, str]:
    caps: dict[str, str] = {}
    for text in texts:
        host, equals, given = text.rpartition("=")
        try:
            if not equals or not host:
                raise SpeedError("must look like tracker.example.org=10MB/s")
            parse_speed(given)
        except SpeedError as error:
            raise ConfigError(error.reason, place=f"--cap {clean(text, 60)}", hint=error.hint) from None
        caps[host.lower()] = given.strip()
    return caps


def _given(url: str | None, username: str | None) -> _Login:
    """Return the address and login that options and environment give."""
    from qguardarr.config.environment import lookup

    found = {name: lookup(name, os.environ, Path.cwd()) for name in _VARIABLES}
    address, name, password, api_key = ("" if value is None else value.text for value in found.values())
    known_secrets.extend(filter(None, (password, api_key)))
    # A secret stays where it is. One that a file holds is looked up by the name of its variable.
    references = {name: f"${{{name}}}" for name, value in found.items() if value is not None and value.file is None}
    login = _Login(_web_url(url or address) if url or address else "", username or name, password)
    login = login._replace(written_password=references.get("QBIT_PASSWORD", ""))
    if login.username:
        return login
    return login._replace(api_key=api_key, written_api_key=references.get("QBIT_API_KEY", ""))


def _web_url(text: str) -> str:
    """Return an address as people type it in full. Raises `ConfigError`."""
    from qguardarr.config import validators

    text = text.strip()
    try:
        url = validators.web_url(text if "://" in text else f"http://{text}", credentials="user name and password")
    except validators.TextError as error:
        raise ConfigError(f"the address {error.reason}", hint=error.hint) from None
    return url.rstrip("/")


def _refuse_unwritable(path: Path) -> None:
    """Refuse a file that cannot be written before any question is asked."""
    if os.path.isdir(path):  # noqa: PTH112 # `Path` raises if it is closed to us
        raise ConfigError(f"{path} is a folder", hint="--config names the file")
    if (folder := closed_folder(Path(os.path.realpath(path)))) is not None:  # where it is written, if it is a link
        raise ConfigError(f"{path} cannot be written: {folder} is no folder that this user may write to")


# -- qBittorrent -------------------------------------------------------------------------------------------------------


def _read_hosts(login: _Login, *, watch_s: float | None = None) -> list[Host]:
    """Log in, and list the trackers."""
    config = login.config()
    with client_for(config) as client:
        return watch_hosts({"": client}, config, watch_s=watch_s)


def _logged_in(login: _Login) -> tuple[_Login, list[Host]]:
    """Ask for address and login until qBittorrent lets us in."""
    failures, ask_address = 0, not login.url
    while True:
        if ask_address:
            address = asked("Address of qBittorrent's Web UI", login.url or _USUAL_URL, _web_url)
            login = login._replace(url=address)
        try:
            return login, _read_hosts(login)
        except Banned:
            raise
        except AuthRejected as error:
            failures += bool(login.username)
            if failures == _MOST_LOGINS:
                raise
            ask_address = False
            login = _asked_login(login, str(error))
        except (Unreachable, Refused, ConfigError) as error:
            say(f"{error}.")
            ask_address = True


def _asked_login(login: _Login, refusal: str) -> _Login:
    """Ask for name and password. `refusal`: why qBittorrent refuses the present ones, if there are any."""
    from qguardarr.config.starter import quoted

    if login.username or login.api_key:
        say(f"{refusal}.")
    else:
        say("qBittorrent wants a login.")
        if login.password:  # of the environment, and not tried yet
            return login._replace(username=asked("User name", _USUAL_NAME))
    username = asked("User name", login.username or _USUAL_NAME)
    password = secret("Password")
    if password:
        known_secrets.append(password)
    return _Login(login.url, username, password, written_password=quoted(password))


def _asked_caps(rules: list[Rule], hosts: list[Host], given: set[str]) -> list[Rule]:
    """Ask for a cap for each rule whose tracker has none yet."""
    if not rules:
        say("qBittorrent has no torrents with trackers yet: the file has one rule, for everything.")
        return rules
    print_hosts(hosts)
    say("Give each tracker a cap, such as 10 MB/s, 2 MiB/s or 80 Mbit/s. Enter: no cap. q: no cap for all that follow.")
    answers = list(rules)
    for number, (host, rule) in enumerate(zip(hosts, rules, strict=True)):
        if host.host in given:
            continue
        cap = asked(f"Cap for {clean(host.host, 60)}", check=_speed_or_q)
        if cap == "q":
            break
        answers[number] = rule._replace(cap=cap or rule.cap)
    return answers


def _speed_or_q(text: str) -> str:
    if text not in ("", "q"):
        parse_speed(text)
    return text


# -- the file ----------------------------------------------------------------------------------------------------------


def _write(path: Path, login: _Login, rules: list[Rule]) -> None:
    """Write the file, whole or not at all, over one that is there."""
    from qguardarr.config.load import reads
    from qguardarr.config.starter import scalar, starter_file
    from qguardarr.smallfile import write_new

    connection = {"url": scalar(login.url)}
    if login.written_api_key:
        connection["api_key"] = login.written_api_key
    elif login.username:
        connection |= {"username": scalar(login.username), "password": login.written_password or "''"}
    text = starter_file(connection, rules)
    reads(text, str(path), folder=path.absolute().parent)
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_new(target, text.encode(), replace=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or 'unknown reason'}") from None


def _print_next_steps(path: Path, login: _Login, rules: list[Rule]) -> None:
    capped = sum(rule.cap != "unlimited" for rule in rules)
    option = ""
    if path != DEFAULT_CONFIG and os.environ.get("QGUARDARR_CONFIG") != str(path):
        option = f" --config {shlex.quote(str(path))}"
    out(f"Written: {clean(str(path))}, with {counted(len(rules) + 1, 'rule')}, {capped or 'none'} of them with a cap.")
    out("It observes only (dry_run: true): it decides and shows everything, and writes nothing to qBittorrent.")
    reference = login.written_api_key or (login.written_password if login.username else "")
    if reference.startswith("${"):
        out(f"It names {reference[2:-1]}, which has to be set wherever Qguardarr runs.")
    out("`qguardarr preview` shows what it would write; `qguardarr status`, what it does. Now start it:")
    out(f"  qguardarr serve{clean(option)}")
