"""`trackers`: list the trackers that qBittorrent knows, with their speeds, and make rules for them."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from qguardarr.cli.opening import backtracker, clients_for, config_at, config_for
from qguardarr.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, InstanceName
from qguardarr.cli.tables import Column, print_table
from qguardarr.cli.terminal import out, print_json, progress, say, secret, working
from qguardarr.cli.text import counted, speed
from qguardarr.core.model import UNLIMITED
from qguardarr.engine.hosts import host_pattern
from qguardarr.errors import ClientError, ConfigError

if TYPE_CHECKING:
    from qguardarr.adapters.qbittorrent import QBittorrentClient
    from qguardarr.config import Config
    from qguardarr.config.starter import Rule
    from qguardarr.core.model import Observation, Torrent

WATCH_S: Final = 6.0
"""Four refreshes of qBittorrent's counters."""
READ_EVERY_S: Final = 0.5
NO_TRACKER: Final = "(none)"


class Host(msgspec.Struct, kw_only=True):
    """A tracker that qBittorrent knows."""

    host: str
    torrents: int = 0
    uploading: int = 0
    rate: float = 0.0
    """Bytes/s of its torrents; a torrent on several trackers counts at each."""
    rules: tuple[str, ...] = ()
    """Ids of the rules that match its announce URLs; empty without rules."""
    instances: tuple[str, ...] = ()
    """Names of the qBittorrents that have its torrents; empty if there is only one."""


def trackers(
    config: ConfigPath = DEFAULT_CONFIG,
    url: Annotated[
        str | None, typer.Option(help="Address of qBittorrent's Web UI, instead of a configuration.")
    ] = None,
    username: Annotated[
        str | None, typer.Option(help="User name there; the password is asked for, or QBIT_PASSWORD.")
    ] = None,
    instance: InstanceName = None,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print rules to paste into a configuration.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the trackers that qBittorrent knows.

    With the number of torrents, the speed over some seconds, and the matching rules. Only needs to know how to reach
    qBittorrent; with --url it needs no configuration.
    """
    if username is not None and url is None:
        raise ConfigError("--username goes with --url; without it, the configuration says how to log in")
    loaded = _config_given(url, username) if url is not None else _config_found(config)
    stands_in = all(rule.pattern == ".*" and rule.max_upload_speed >= UNLIMITED for rule in loaded.trackers)
    configured = url is None and not stands_in
    with clients_for(loaded, instance=instance) as clients:
        hosts = watch_hosts(clients, loaded)
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
    table: list[Column[Host]] = [
        Column("tracker", lambda host: host.host, least=16),
        Column(">torrents", lambda host: host.torrents),
        Column(">uploading", lambda host: host.uploading, drop=1),
        Column(">speed", lambda host: speed(host.rate)),
    ]
    if any(host.instances for host in hosts):
        table.append(Column("on", lambda host: ", ".join(host.instances), least=6, drop=2))
    if rules:
        table.append(Column("rule", lambda host: ", ".join(host.rules) or "-", least=8))
    print_table(table, hosts)


def _config_found(path: Path) -> Config:
    try:
        return config_at(path, "qbittorrent")
    except ConfigError as error:
        if os.path.lexists(path):
            raise
        first = error.faults[0]
        raise ConfigError(faults=[first._replace(hint=f"{first.hint}; or give --url (and --username)")]) from None


def _config_given(url: str, username: str | None) -> Config:
    from qguardarr.config import validators

    try:
        validators.web_url(url, credentials="--username, and QBIT_PASSWORD")
    except validators.TextError as error:
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


def watch_hosts(
    clients: Mapping[str, QBittorrentClient], config: Config, *, watch_s: float | None = None
) -> list[Host]:
    """List the trackers, with speeds over `watch_s` seconds between two refreshes of qBittorrent's counters.

    `clients`: by name of the qBittorrent. One of several that cannot be read is left out with a warning; ClientError if
    none can.
    """
    watch_s = WATCH_S if watch_s is None else watch_s
    views: dict[str, _View] = {}
    failed: dict[str, ClientError] = {}
    for name, client in clients.items():
        try:
            with working(f"asking qBittorrent at {config.servers[name].base_url}"):
                views[name] = _View(client)
        except ClientError as error:
            failed[name] = error
    if failed and not views:
        raise next(iter(failed.values()))
    for name, problem in failed.items():
        say(f"warning: {name} is left out: {problem}")
    if not any(view.torrents for view in views.values()):
        return []
    with progress("watching the counters", unit="s") as advance:
        began = time.monotonic()
        while (watched := time.monotonic() - began) < watch_s:
            advance(watched, watch_s)
            time.sleep(READ_EVERY_S)
            for view in views.values():
                try:
                    view.look()
                except ClientError:
                    if len(clients) == 1:
                        raise
    return _by_host(views, config)


class _View:
    """The torrents of one qBittorrent, and how their counters move."""

    def __init__(self, client: QBittorrentClient) -> None:
        """Read all torrents. Raises ClientError."""
        self._client = client
        self.torrents = dict(client.observe(names=True).torrents)
        self._refreshes: list[tuple[float, dict[str, int]]] = []

    def look(self) -> None:
        """Read again. Raises ClientError."""
        seen = self._client.observe(known=self.torrents.get)
        if _merge(self.torrents, seen):
            self._refreshes.append((seen.at, {name: torrent.uploaded for name, torrent in self.torrents.items()}))

    def rates(self) -> dict[str, float]:
        """Return upload rates by hash, bytes/s; of none before a second refresh."""
        if len(self._refreshes) < 2:
            return {}
        (start, before), (end, after) = self._refreshes[0], self._refreshes[-1]
        return {name: max(0, count - before.get(name, count)) / (end - start) for name, count in after.items()}


def _merge(torrents: dict[str, Torrent], seen: Observation) -> bool:
    """Update `torrents`, but for their names; return whether a counter moved."""
    known = {name: torrents[name] for name in seen.torrents if name in torrents}
    moved = any(was.uploaded != seen.torrents[name].uploaded for name, was in known.items())
    torrents.update(seen.torrents)
    torrents.update((n, msgspec.structs.replace(torrents[n], name=was.name)) for n, was in known.items())
    return moved


def _by_host(views: Mapping[str, _View], config: Config) -> list[Host]:
    from qguardarr.core.select.matcher import Matcher, host_of

    groups, search, now = config.policy().classes, backtracker(), time.time()
    hosts: dict[str, Host] = {}
    rules: dict[str, set[int]] = defaultdict(set)
    for instance, view in views.items():
        matcher, rates = Matcher(groups, config.global_.match_mode, search, instance), view.rates()
        for name, torrent in view.torrents.items():
            urls = {url: host_of(url) for url in torrent.urls}
            usable = {url: host for url, host in urls.items() if host} or {"": NO_TRACKER}
            for url, shown in usable.items():
                rules[shown].add(matcher.match((url,), torrent, now))
            for shown in set(usable.values()):
                host = hosts.setdefault(shown, Host(host=shown))
                host.torrents += 1
                rate = rates.get(name, 0.0)
                host.rate += rate
                host.uploading += rate > 0
                if instance and instance not in host.instances:
                    host.instances += (instance,)
    for shown, host in hosts.items():
        host.rules = tuple(groups[index].id for index in sorted(rules[shown]))
    return sorted(hosts.values(), key=lambda host: (-host.rate, -host.torrents, host.host))


def _print_rules(hosts: list[Host]) -> None:
    from qguardarr.config.starter import rules_text

    out("# The first rule that matches counts. Give each tracker its cap: 10 MB/s, 80 Mbit/s, unlimited.")
    for line in rules_text(rules_for(hosts)).splitlines():
        out(line)


_LONGEST_ID: Final = 60
"""Characters; the configuration allows 200. Strangers choose the names of hosts."""


def rules_for(hosts: list[Host]) -> list[Rule]:
    """Return a rule without a cap for each of these trackers."""
    from qguardarr.config.starter import Rule

    used, rules = {"default"}, []
    for host in hosts:
        if host.host == NO_TRACKER:
            continue
        name = _unique(re.sub(r"[^a-z0-9]+", "-", host.host)[:_LONGEST_ID].strip("-") or "tracker", used)
        remark = counted(host.torrents, "torrent") + (f", {speed(host.rate)} now" if host.rate else "")
        rules.append(Rule(name, host_pattern(host.host), remark=remark))
    return rules


def _unique(name: str, used: set[str]) -> str:
    """Return `name`, or `name-2` and so on, whichever is free."""
    candidate, number = name, 2
    while candidate in used:
        candidate, number = f"{name}-{number}", number + 1
    used.add(candidate)
    return candidate
