"""`install-hook`: make qBittorrent report torrents when they are added and when they are complete.

qBittorrent has one program for each event. On Linux it runs it without a shell, and splits the line at spaces outside
double quotes before it inserts values. So no value can become a second argument, and our lines must only avoid `%` with
a letter.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple
from urllib.parse import quote, urlsplit

import typer

from qguardarr.addresses import is_loopback
from qguardarr.cli.opening import client_for, config_at, journal_path, known_secrets, server_of
from qguardarr.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath
from qguardarr.cli.terminal import out, print_json, say
from qguardarr.cli.text import clean
from qguardarr.errors import ConfigError, Refused
from qguardarr.exits import Exit

if TYPE_CHECKING:
    from qguardarr.adapters.qbittorrent import QBittorrentClient
    from qguardarr.config import Config
    from qguardarr.config.servers import QBittorrent


class Hook(NamedTuple):
    """One of qBittorrent's external programs."""

    event: str
    """Its name for the webhook."""
    label: str
    """Its name for `--print`."""
    when: str
    """Its name in a sentence."""
    enabled: str
    """Preference that switches it on."""
    program: str
    """Preference with its command line."""


class Program(NamedTuple):
    """The present setting of a hook in qBittorrent."""

    enabled: bool
    line: str


HOOKS: Final = (
    Hook("add", "on added", "is added", "autorun_on_torrent_added_enabled", "autorun_on_torrent_added_program"),
    Hook("complete", "on finished", "is complete", "autorun_enabled", "autorun_program"),
)

_SECTIONS: Final = ("qbittorrent", "global", "http", "auth", "rollback")
_HIDDEN: Final = "…"
_URL: Final = re.compile(r"[\w.~:/\[\]-]+", re.ASCII)
_FILE: Final = re.compile(r'/[^"%\x00-\x1f\x7f]+')
_OURS: Final = re.compile(r"/webhook\b.*\bevent=|\bevent=.*/webhook\b", re.DOTALL)


def install_hook(
    config: ConfigPath = DEFAULT_CONFIG,
    url: Annotated[
        str | None,
        typer.Option(help="Address at which qBittorrent reaches Qguardarr. Default: from the configuration."),
    ] = None,
    header_file: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="File on qBittorrent's machine with the line `X-Api-Key: KEY`. Keeps the key out of qBittorrent.",
        ),
    ] = None,
    instance: Annotated[
        str | None, typer.Option("--instance", metavar="NAME", help="The one of several qBittorrents.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace other programs.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove our programs again.")] = False,
    show: Annotated[bool, typer.Option("--print", help="Only print the two command lines, including the key.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make qBittorrent report added and completed torrents.

    Sets the two programs that qBittorrent runs then. Your own programs are kept.
    """
    if remove and (force or show or url or header_file):
        raise ConfigError("--remove goes with none of --url, --header-file, --force and --print")
    loaded = config_at(config, *_SECTIONS)
    if remove:
        with client_for(loaded, instance=instance) as client:
            outcomes = _take_away(client)
        _tell(outcomes, {}, as_json=as_json)
        return
    server = server_of(loaded, instance)
    base = _base_url(loaded, server, url)
    if header_file is not None and not _FILE.fullmatch(header_file):
        raise ConfigError('--header-file: must be a whole path, as qBittorrent sees it, without % and "')
    key = None if header_file is not None else _key(loaded)
    commands = {hook.event: command(hook.event, base, key, header_file, instance) for hook in HOOKS}
    if show:
        if as_json:
            print_json(commands)
        else:
            for hook in HOOKS:
                out(f"{hook.label + ':':<12} {commands[hook.event]}")
        return
    with client_for(loaded, instance=instance) as client:
        outcomes = _install(client, commands, force=force)
    if key is not None:
        commands = {event: line.replace(_quoted(key), _HIDDEN) for event, line in commands.items()}
    _tell(outcomes, commands, as_json=as_json)
    if "kept" in outcomes.values():
        sys.exit(Exit.INCOMPLETE)


def command(event: str, base_url: str, key: str | None, header_file: str | None, instance: str | None = None) -> str:
    """Return the command line for qBittorrent: it posts `event` and the torrent's id, and gives up after 5 s."""
    query = "" if key is None else f"?apikey={_quoted(key)}"
    whose = f"-d instance={instance} " if instance else ""
    header = "" if header_file is None else f'-H "@{header_file}" '
    return f'curl -fsS -m 5 -o /dev/null -d event={event} -d hash=%K {whose}{header}"{base_url}/webhook{query}"'


def is_ours(program: str) -> bool:
    """Return whether a command line is a hook of Qguardarr, this version's or an earlier one's."""
    first = program.split(maxsplit=1)[0].strip('"') if program.strip() else ""
    return PurePosixPath(first).name == "curl" and _OURS.search(program) is not None


def _base_url(config: Config, server: QBittorrent, given: str | None) -> str:
    """Return the API's address without `/webhook`, fit for the command line."""
    from qguardarr.config import validators

    if given is None:
        host = config.global_.host
        if host in ("0.0.0.0", "::"):  # noqa: S104 # to be reached, not to be listened at
            host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
        at = urlsplit(server.base_url).hostname or ""
        if is_loopback(host) and not is_loopback(at):
            say(f"note: qBittorrent is at {at}. If that is not this machine, give --url: it cannot reach {host} here.")
        bracketed = f"[{host}]" if ":" in host else host
        return f"http://{bracketed}:{config.global_.port}{config.http.base_path}"
    try:
        url = validators.web_url(given).rstrip("/").removesuffix("/webhook")
    except validators.TextError as error:
        raise ConfigError(error.reason, place="--url", hint=error.hint) from None
    if not _URL.fullmatch(url):
        raise ConfigError("--url: may hold letters, digits and . ~ : / [ ] _ - only, or qBittorrent misreads it")
    return url


def _key(config: Config) -> str | None:
    """Return the API key in force; None if no key is required."""
    from qguardarr.adapters import keys
    from qguardarr.app.read_settings import api_key_of

    if config.auth is None:
        return None
    key = keys.api_key(journal_path(config).parent, api_key_of(config))
    known_secrets.extend((key, _quoted(key)))
    return key


def _quoted(key: str) -> str:
    """Return a key as in a query: letters, digits, `-._~`, and % with digits."""
    return quote(key, safe="")


def _install(client: QBittorrentClient, commands: Mapping[str, str], *, force: bool) -> dict[str, str]:
    """Set the programs; return for each event: installed, unchanged, or kept (another program is there)."""
    outcomes: dict[str, str] = {}
    for hook, found in _read(client).items():
        if found == (True, commands[hook.event]):
            outcomes[hook.event] = "unchanged"
        elif found.line and not is_ours(found.line) and not force:
            outcomes[hook.event] = "kept"
            say(
                f"qBittorrent has another program for when a torrent {hook.when}, and keeps it: "
                f"{clean(found.line.split()[0], 60)} … Make that one also run the line that --print shows for "
                f"event={hook.event} (with the id in place of %K), or replace it by --force."
            )
        else:
            outcomes[hook.event] = "installed"
    _write(client, {hook: Program(True, commands[hook.event]) for hook in HOOKS if outcomes[hook.event] == "installed"})
    return outcomes


def _take_away(client: QBittorrentClient) -> dict[str, str]:
    """Remove our programs; return for each event: removed, or absent (none of ours was there)."""
    ours = [hook for hook, found in _read(client).items() if is_ours(found.line)]
    _write(client, dict.fromkeys(ours, Program(False, "")))
    return {hook.event: "removed" if hook in ours else "absent" for hook in HOOKS}


def _read(client: QBittorrentClient) -> dict[Hook, Program]:
    found = client.preferences([name for hook in HOOKS for name in (hook.enabled, hook.program)])
    return {
        hook: Program(found.get(hook.enabled) is True, str(found.get(hook.program) or "").strip()) for hook in HOOKS
    }


def _write(client: QBittorrentClient, programs: Mapping[Hook, Program]) -> None:
    """Set programs, and read them back."""
    if not programs:
        return
    values: dict[str, object] = {}
    for hook, program in programs.items():
        values |= {hook.enabled: program.enabled, hook.program: program.line}
    client.set_preferences(values)
    found = _read(client)
    if any(found[hook] != program for hook, program in programs.items()):
        raise Refused("qBittorrent did not keep the programs that it was given; was something else set just now?")


def _tell(outcomes: Mapping[str, str], commands: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        print_json(outcomes)
        return
    for hook in HOOKS:
        outcome = outcomes[hook.event]
        line = commands[hook.event] if outcome in ("installed", "unchanged") else ""
        out(f"when a torrent {hook.when}: {outcome}{': ' if line else ''}{line}")
