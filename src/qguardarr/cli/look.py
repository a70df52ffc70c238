"""`check` and `trackers`: what is configured, and what qBittorrent knows. Nothing is changed."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from qguardarr.cli.common import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    backtracker,
    client_for,
    config_at,
    config_for,
    counted,
    journal_of,
    journal_path,
    limit_json,
    loaded_at,
    speed,
)
from qguardarr.cli.terminal import Column, clean, out, print_json, print_table, progress, say, secret, working
from qguardarr.core.model import UNLIMITED
from qguardarr.core.select.matcher import Matcher, host_of
from qguardarr.errors import ConfigError, Fault, JournalError, QguardarrError
from qguardarr.exits import report

if TYPE_CHECKING:
    from qguardarr.adapters.qbittorrent import QBittorrentClient
    from qguardarr.config import Config
    from qguardarr.config.load import Loaded
    from qguardarr.config.starter import Rule
    from qguardarr.core.model import Observation, Torrent

_WATCH_S: Final = 6.0
_LOOK_EVERY_S: Final = 0.5
NO_TRACKER: Final = "(none)"
_APPRISE_MEND: Final = "write it as https://github.com/caronc/apprise/wiki says for the service"


class FaultLine(msgspec.Struct, frozen=True, kw_only=True):
    """A fault, as `check --json` says it. Without a place: only `text`."""

    file: str | None = None
    line: int | None = None
    text: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What `check --connect` found at qBittorrent."""

    version: str | None
    webapi_version: str | None
    login: str
    torrents: int
    global_limit: int | None
    """Bytes/s; None is unlimited."""
    torrents_by_rule: dict[str, int]
    warnings: tuple[str, ...]


def check(
    config: ConfigPath = DEFAULT_CONFIG,
    connect: Annotated[bool, typer.Option("--connect", help="Also log in to qBittorrent and look around.")] = False,
    sources: Annotated[bool, typer.Option("--sources", help="List all settings, and where each comes from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the configuration, with --connect also qBittorrent.

    Every fault is listed with its line, or its variable, and what would mend it.
    """
    from qguardarr.app.settings import settings_of
    from qguardarr.cli.sources import print_overrides, print_table_of
    from qguardarr.engine.origins import setting_rows

    try:
        whole = loaded_at(config)
        loaded, settings = whole.config, settings_of(whole, config)
        rows = setting_rows(settings.shown, settings.origins)
        _check_addresses(config, whole)
        with journal_of(loaded):
            _check_folder(journal_path(loaded))
        found = _look_around(loaded) if connect else None
    except QguardarrError as error:
        if not as_json:
            raise
        print_json({"ok": False, "faults": _fault_lines(error)})
        sys.exit(report(error))
    if as_json:
        parts = {"file": str(config), "notes": whole.notes, "settings": rows, "qbittorrent": found}
        print_json({"ok": True, **parts})
        return
    capped = [rule for rule in loaded.trackers if rule.max_upload_speed < UNLIMITED]
    out(f"{config}: no faults; {counted(len(loaded.trackers), 'rule')}, {len(capped) or 'none'} of them with a cap")
    for note in whole.notes:
        out(f"note: {note}")
    (print_table_of if sources else print_overrides)(rows)
    steps = settings.next_steps
    if step := (steps.caps or steps.live) if loaded.qbittorrent.base_url else steps.address:
        out(f"next: {step}")
    if found is not None:
        _print_found(loaded, found)


def _fault_lines(error: QguardarrError) -> list[FaultLine]:
    if not isinstance(error, ConfigError):
        return [FaultLine(text=str(error))]
    return [
        FaultLine(text=str(fault))
        if fault.line is None
        else FaultLine(file=fault.file, line=fault.line, text=fault.text)
        for fault in error.faults
    ]


def _check_addresses(path: Path, loaded: Loaded) -> None:
    """Whether Apprise, which only this command and the child that sends load, understands `notifications.urls`."""
    urls = [url.get_secret_value() for url in loaded.config.notifications.urls]
    if not urls:
        return
    from qguardarr.adapters.notify_child import not_understood

    if faulty := not_understood(urls):
        places = [("notifications", "urls", index) for index in faulty]
        faults = [Fault(place, "Apprise does not understand this address", _APPRISE_MEND) for place in places]
        raise ConfigError(faults=[loaded.placed(fault, str(path)) for fault in faults])


def _check_folder(path: Path) -> None:
    """Whether the journal could be written, or made, by whoever runs this."""
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    files = [file for file in (path, folder) if file.exists()]
    wanted = {path: os.W_OK, folder: os.W_OK | os.X_OK}
    closed = next((file for file in files if not os.access(file, wanted[file], effective_ids=True)), None)
    if closed is not None:
        raise JournalError(
            f"{closed} cannot be written by this user",
            place=f"journal {path}",
            hint="give the user who runs Qguardarr write permission for the journal and its folder, and run this as "
            "that user",
        )


def _look_around(config: Config) -> Found:
    with client_for(config) as client, working(f"asking qBittorrent at {config.qbittorrent.base_url}"):
        seen = client.observe()
        matcher = Matcher(config.policy().classes, config.global_.match_mode, backtracker())
        counts = dict.fromkeys((rule.id for rule in config.trackers), 0)
        for torrent in seen.torrents.values():
            counts[config.trackers[matcher.match(torrent.urls)].id] += 1
        return Found(
            version=client.stats.server_version,
            webapi_version=client.stats.webapi_version,
            login=_login_words(config),
            torrents=len(seen.torrents),
            global_limit=None if seen.global_limit is None else limit_json(seen.global_limit),
            torrents_by_rule=counts,
            warnings=tuple(_warnings(config, seen.global_limit or UNLIMITED, counts)),
        )


def _login_words(config: Config) -> str:
    section = config.qbittorrent
    if section.api_key is not None:
        return "accepts the API key"
    if section.username is not None:
        return f"accepts the login of {section.username} ({section.auth})"
    return "lets this machine in without a login"


def _warnings(config: Config, global_limit: int, counts: dict[str, int]) -> list[str]:
    warnings, torrents = [], sum(counts.values())
    caps = [rule.max_upload_speed for rule in config.trackers if rule.max_upload_speed < UNLIMITED]
    if not caps:
        warnings.append("no rule has a cap: nothing will be limited")
    total = min(sum(caps), config.global_.uplink)
    if total > global_limit:
        warnings.append(
            f"the caps together ({speed(total)}) are more than qBittorrent's own global limit ({speed(global_limit)}), "
            "which holds all the same"
        )
    warnings += [
        f"the rule {rule.id!r} matches no torrent (`qguardarr trackers` shows the hosts)"
        for rule in config.trackers[:-1]
        if torrents and not counts[rule.id]
    ]
    return warnings


def _print_found(config: Config, found: Found) -> None:
    out(f"qBittorrent {found.version} (Web API {found.webapi_version}) at {config.qbittorrent.base_url} {found.login}")
    out(f"{counted(found.torrents, 'torrent')}; qBittorrent's own global upload limit: {speed(found.global_limit)}")
    rows = ((rule.id, speed(rule.max_upload_speed), str(found.torrents_by_rule[rule.id])) for rule in config.trackers)
    print_table((Column("rule", least=12), ">cap", ">torrents"), rows)
    for warning in found.warnings:
        out(f"warning: {warning}")


# -- trackers ---------------------------------------------------------------------------------------------------------


class Host(msgspec.Struct, kw_only=True):
    """A tracker that qBittorrent knows."""

    host: str
    torrents: int = 0
    uploading: int = 0
    rate: float = 0.0
    """Bytes/s of its torrents; a torrent on several trackers counts at each."""
    rules: tuple[str, ...] = ()
    """Ids of the rules that match its announce URLs; empty without rules."""


def trackers(
    config: ConfigPath = DEFAULT_CONFIG,
    url: Annotated[
        str | None, typer.Option(help="Address of qBittorrent's Web UI, instead of a configuration.")
    ] = None,
    username: Annotated[
        str | None, typer.Option(help="User name there; the password is asked for, or QBIT_PASSWORD.")
    ] = None,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print rules to paste into a configuration.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the trackers that qBittorrent knows.

    With their torrents, their speed over some seconds, and the rules that match. Needs no more of a configuration than
    how to reach qBittorrent, or none at all with --url.
    """
    if username is not None and url is None:
        raise ConfigError("--username goes with --url; without it, the configuration says how to log in")
    loaded = _config_given(url, username) if url is not None else _config_found(config)
    stands_in = all(rule.pattern == ".*" and rule.max_upload_speed >= UNLIMITED for rule in loaded.trackers)
    configured = url is None and not stands_in
    with client_for(loaded) as client:
        hosts = watch_hosts(client, loaded)
    if not configured:
        for host in hosts:
            host.rules = ()
    if as_json:
        print_json(hosts)
    elif as_yaml:
        _print_rules(hosts)
    elif not hosts:
        out("qBittorrent has no torrents.")
    else:
        print_hosts(hosts, rules=True)
        if not configured:
            say("`qguardarr trackers --yaml` prints rules to paste into a configuration.")


def print_hosts(hosts: list[Host], *, rules: bool = False) -> None:
    """Print a table of trackers, with the rules that match them."""
    heads: list[str | Column] = [
        Column("tracker", least=16),
        ">torrents",
        Column("uploading", right=True, drop=1),
        ">speed",
    ]
    lines = [[host.host, str(host.torrents), str(host.uploading), speed(host.rate)] for host in hosts]
    if rules:
        heads.append(Column("rule", least=8))
        lines = [[*line, ", ".join(host.rules) or "-"] for line, host in zip(lines, hosts, strict=True)]
    print_table(heads, lines)


def _config_found(path: Path) -> Config:
    try:
        return config_at(path, "qbittorrent")
    except ConfigError as error:
        if os.path.lexists(path):
            raise
        first = error.faults[0]
        raise ConfigError(faults=[first._replace(hint=f"{first.hint}; or give --url (and --username)")]) from None


def _config_given(url: str, username: str | None) -> Config:
    from qguardarr.config import validators as texts

    try:
        texts.web_url(url, credentials="--username, and QBIT_PASSWORD")
    except texts.TextError as error:
        raise ConfigError(error.reason, place="--url", hint=error.hint) from None
    api_key = None if username is not None else os.environ.get("QBIT_API_KEY")
    password = None
    if username is not None:
        password = os.environ.get("QBIT_PASSWORD")
        if password is None and not sys.stdin.isatty():
            raise ConfigError("no password: set QBIT_PASSWORD, or run this in a terminal, where it is asked for")
        if password is None:
            password = secret("Password of qBittorrent's Web UI")
    return config_for(url, username, password, api_key)


def watch_hosts(client: QBittorrentClient, config: Config, *, watch_s: float | None = None) -> list[Host]:
    """Look for some seconds; speeds are taken between two moments at which qBittorrent renewed its counters."""
    watch_s = _WATCH_S if watch_s is None else watch_s
    with working(f"asking qBittorrent at {config.qbittorrent.base_url}"):
        torrents = dict(client.observe().torrents)
    if not torrents:
        return []
    first, last = _Copy(torrents), _Copy(torrents)
    with progress("watching the counters", unit="s") as advance:
        began = time.monotonic()
        while (watched := time.monotonic() - began) < watch_s:
            advance(watched, watch_s)
            time.sleep(_LOOK_EVERY_S)
            seen = client.observe()
            if _take_in(torrents, seen):
                last = _Copy(torrents, seen.at)
                first = first if first.at is not None else last
    seconds = (last.at or 0.0) - (first.at or 0.0)
    moved = {h: max(0, n - first.counters.get(h, n)) / seconds for h, n in last.counters.items()} if seconds else {}
    return _by_host(torrents, moved, config)


class _Copy:
    """Counters as qBittorrent renewed them at one moment (None: some time before)."""

    def __init__(self, torrents: dict[str, Torrent], at: float | None = None) -> None:
        self.at = at
        self.counters = {name: torrent.uploaded for name, torrent in torrents.items()}


def _take_in(torrents: dict[str, Torrent], seen: Observation) -> bool:
    """True if some counter moved."""
    moved = any(name in torrents and torrents[name].uploaded != now.uploaded for name, now in seen.torrents.items())
    torrents.update(seen.torrents)
    return moved


def _by_host(torrents: dict[str, Torrent], rates: dict[str, float], config: Config) -> list[Host]:
    matcher = Matcher(config.policy().classes, config.global_.match_mode, backtracker())
    hosts: dict[str, Host] = {}
    rules: dict[str, set[int]] = defaultdict(set)
    for name, torrent in torrents.items():
        urls = {url: host_of(url) for url in torrent.urls}
        usable = {url: host for url, host in urls.items() if host} or {"": NO_TRACKER}
        for url, shown in usable.items():
            rules[shown].add(matcher.match((url,)))
        for shown in set(usable.values()):
            host = hosts.setdefault(shown, Host(host=shown))
            host.torrents += 1
            rate = rates.get(name, 0.0)
            host.rate += rate
            host.uploading += rate > 0
    for shown, host in hosts.items():
        host.rules = tuple(config.trackers[index].id for index in sorted(rules[shown]))
    return sorted(hosts.values(), key=lambda host: (-host.rate, -host.torrents, host.host))


def _print_rules(hosts: list[Host]) -> None:
    from qguardarr.config.starter import rules_text

    out("# The first rule that matches counts. Give each tracker its cap: 10 MB/s, 80 Mbit/s, unlimited.")
    for line in rules_text(rules_for(hosts)).splitlines():
        out(line)


_LONGEST_ID: Final = 60
"""Characters. Whoever made a torrent chose the host's name, and the configuration allows 200."""


def rules_for(hosts: list[Host]) -> list[Rule]:
    """A rule without a cap for each of these trackers."""
    from qguardarr.config.starter import Rule

    used, rules = {"default"}, []
    for host in hosts:
        if host.host == NO_TRACKER:
            continue
        name = _unique(re.sub(r"[^a-z0-9]+", "-", host.host)[:_LONGEST_ID].strip("-") or "tracker", used)
        remark = f"{counted(host.torrents, 'torrent')}, {speed(host.rate)} now"
        rules.append(Rule(name, _pattern(host.host), remark=remark))
    return rules


def _unique(name: str, used: set[str]) -> str:
    """`name`, or `name-2` …, not used before."""
    candidate, number = name, 2
    while candidate in used:
        candidate, number = f"{name}-{number}", number + 1
    used.add(candidate)
    return candidate


def _pattern(host: str) -> str:
    end = r"\b" if host[-1:].isalnum() else ""
    return "//" + re.sub(r"([^\w:-])", r"\\\1", clean(host)) + end
