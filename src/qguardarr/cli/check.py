"""`check`: errors of the configuration, and whether qBittorrent lets Qguardarr in. Nothing is changed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from qguardarr.cli.opening import backtracker, client_for, closed_folder, journal_of, journal_path, loaded_at
from qguardarr.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath
from qguardarr.cli.tables import Column, print_table
from qguardarr.cli.terminal import out, print_json, working
from qguardarr.cli.text import counted, speed
from qguardarr.core.caps.chain import with_caps
from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.group_tree import sum_of_caps
from qguardarr.core.units import limit_or_none
from qguardarr.errors import ClientError, ConfigError, Fault, JournalError, QguardarrError
from qguardarr.exits import Exit, report

if TYPE_CHECKING:
    from qguardarr.config import Config
    from qguardarr.config.groups import Group
    from qguardarr.config.load import Loaded
    from qguardarr.config.servers import QBittorrent
    from qguardarr.engine.origins import SettingRow

_APPRISE_HINT: Final = "write it as https://github.com/caronc/apprise/wiki says for the service"


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of qBittorrent to `check --connect`."""

    version: str | None
    webapi_version: str | None
    login: str
    torrents: int
    global_limit: int | None
    """Bytes/s; None is unlimited."""
    torrents_by_rule: dict[str, int]
    warnings: tuple[str, ...] = ()


def check(
    config: ConfigPath = DEFAULT_CONFIG,
    connect: Annotated[bool, typer.Option("--connect", help="Also log in to qBittorrent, and count torrents.")] = False,
    sources: Annotated[bool, typer.Option("--sources", help="List all settings, and where each comes from.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the configuration, with --connect also qBittorrent.

    Every error is listed with its line or its variable, and how to correct it.
    """
    from qguardarr.app.read_settings import settings_of
    from qguardarr.engine.origins import setting_rows

    try:
        whole = loaded_at(config)
        loaded, settings = whole.config, settings_of(whole, config)
        rows = setting_rows(settings.shown, settings.origins)
        _refuse_bad_addresses(config, whole)
        with journal_of(loaded):
            _refuse_unwritable(journal_path(loaded))
        found, failed = _ask_all(loaded) if connect else ({}, {})
    except QguardarrError as error:
        if not as_json:
            raise
        faults = error.faults if isinstance(error, ConfigError) else (error,)
        print_json({"ok": False, "faults": [_fault_line(fault) for fault in faults]})
        sys.exit(report(error))
    if as_json:
        answers = found.get("") or {**found, **{name: {"error": str(one)} for name, one in failed.items()}}
        parts: dict[str, object] = {"file": str(config), "notes": whole.notes, "settings": rows}
        parts["qbittorrent"] = answers or None  # of several: by name
        if len(loaded.servers) > 1:
            parts["warnings"] = _warnings(loaded, found)
        print_json({"ok": not failed, **parts})
        sys.exit(_report(failed))
    capped = [rule for rule in loaded.trackers if rule.max_upload_speed < UNLIMITED]
    out(f"{config}: no faults; {counted(len(loaded.trackers), 'rule')}, {len(capped) or 'none'} of them with a cap")
    for note in whole.notes:
        out(f"note: {note}")
    if sources:
        table: list[Column[SettingRow]] = [
            Column("setting", lambda row: _as_written(whole, row.setting), least=24),
            Column("from", _origin, least=12),
            Column("value", lambda row: _value(row.value), least=8),
        ]
        print_table(table, rows)
    elif variables := dict.fromkeys(row.variables[0] for row in rows if row.source == "environment"):
        out(f"from the environment: {', '.join(variables)} (`qguardarr check --sources` lists all settings)")
    steps = settings.next_steps
    if step := (steps.caps or steps.live) if next(iter(loaded.servers.values())).base_url else steps.address:
        out(f"next: {step}")
    if connect:
        _print_found(loaded, found)
        sys.exit(_report(failed))


def _fault_line(fault: Fault | QguardarrError) -> dict[str, str | int | None]:
    """Return an error as JSON has it. Without a line of a file, all of it is in `text`."""
    if isinstance(fault, Fault) and fault.line is not None:
        return {"file": fault.file, "line": fault.line, "text": fault.text}
    return {"file": None, "line": None, "text": str(fault)}


def _as_written(loaded: Loaded, setting: str) -> str:
    """Return the name of a setting with the key that the file has for the list of groups."""
    from qguardarr.config.source import ENTRIES

    head = f"{ENTRIES}["
    return loaded.source.key_of_entries + setting.removeprefix(ENTRIES) if setting.startswith(head) else setting


def _origin(row: SettingRow) -> str:
    if row.source == "file":
        return f"line {row.line}" + (f", {', '.join(row.variables)}" if row.variables else "")
    return row.variables[0] if row.source == "environment" else "default"


def _value(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _refuse_bad_addresses(path: Path, loaded: Loaded) -> None:
    """Refuse addresses in `notifications.urls` that Apprise does not understand. Loads Apprise."""
    urls = [url.get_secret_value() for url in loaded.config.notifications.urls]
    if not urls:
        return
    from qguardarr.adapters.notify_child import not_understood

    if faulty := not_understood(urls):
        places = [("notifications", "urls", index) for index in faulty]
        faults = [Fault(place, "Apprise does not understand this address", _APPRISE_HINT) for place in places]
        raise ConfigError(faults=[loaded.placed(fault, str(path)) for fault in faults])


def _refuse_unwritable(path: Path) -> None:
    """Refuse a journal that the user who runs this could not write or create."""
    is_closed = path.exists() and not os.access(path, os.W_OK, effective_ids=True)
    closed = path if is_closed else closed_folder(path)
    if closed is not None:
        raise JournalError(
            f"{closed} cannot be written by this user",
            place=f"journal {path}",
            hint="give the user who runs Qguardarr write permission for the journal and its folder, and run this as "
            "that user",
        )


def _ask_all(config: Config) -> tuple[dict[str, Connected], dict[str, ClientError]]:
    """Ask each qBittorrent. Return the answers and the failures, by name. Raises ClientError if it is the only one."""
    found: dict[str, Connected] = {}
    failed: dict[str, ClientError] = {}
    for name in config.servers:
        try:
            found[name] = connected(config, name)
        except ClientError as error:
            if not name:
                raise
            failed[name] = error
    if len(found) == 1 and not failed:
        [(name, one)] = found.items()
        found[name] = msgspec.structs.replace(one, warnings=tuple(_warnings(config, found)))
    return found, failed


def _report(failed: Mapping[str, ClientError]) -> Exit:
    """Print which of several qBittorrents could not be asked, and return the exit code."""
    code = Exit.OK
    for name, error in failed.items():
        code = report(ClientError(f"{name}: {error}"))
    return code


def connected(config: Config, instance: str = "") -> Connected:
    """Ask one qBittorrent. `warnings` is left empty."""
    from qguardarr.core.select.matcher import Matcher

    server = config.servers[instance]
    with client_for(config, instance=instance or None) as client, working(f"asking qBittorrent at {server.base_url}"):
        rules = config.policy().classes
        matcher = Matcher(rules, config.global_.match_mode, backtracker(), instance)
        seen, now = client.observe(names=matcher.wants_names), time.time()
        counts = dict.fromkeys((rule.id for rule in rules), 0)
        for torrent in seen.torrents.values():
            counts[rules[matcher.match(torrent.urls, torrent, now)].id] += 1
        return Connected(
            version=client.stats.server_version,
            webapi_version=client.stats.webapi_version,
            login=_login_words(server),
            torrents=len(seen.torrents),
            global_limit=None if seen.global_limit is None else limit_or_none(seen.global_limit),
            torrents_by_rule=counts,
        )


def _login_words(section: QBittorrent) -> str:
    if section.api_key is not None:
        return "accepts the API key"
    if section.username is not None:
        return f"accepts the login of {section.username} ({section.auth})"
    return "lets this machine in without a login"


def _warnings(config: Config, found: Mapping[str, Connected]) -> list[str]:
    """Return what is remarkable about all qBittorrents together."""
    from qguardarr.engine.unknown_private import private_unknown

    policy, answers = with_caps(config.policy(), [], 0.0), found.values()
    warnings = [] if any(rule.is_capped for rule in policy.classes) else ["no rule has a cap: nothing will be limited"]
    for name, one in found.items():
        warnings += private_unknown(policy.classes, one.version, name)
    if len(found) < len(config.servers):  # of the rest nothing can be said
        return warnings
    own = [UNLIMITED if one.global_limit is None else one.global_limit for one in answers]
    total, bound = min(sum_of_caps(policy), policy.uplink), min(UNLIMITED, sum(own))
    if total > bound:
        whose = "qBittorrent's own global limit" if len(own) == 1 else "the global limits of all qBittorrents"
        warnings.append(
            f"the caps together ({speed(total)}) are more than {whose} ({speed(bound)}), which holds all the same"
        )
    if any(one.torrents for one in answers):
        for rule in policy.classes[:-1]:
            if not any(one.torrents_by_rule[rule.id] for one in answers):
                hint = " (`qguardarr trackers` shows the hosts)" if rule.pattern else ""
                warnings.append(f"the rule {rule.id!r} has selected no torrent so far{hint}")
    return warnings


def _print_found(config: Config, found: Mapping[str, Connected]) -> None:
    for name, one in found.items():
        whose = f"{name}: " if name else ""
        where = config.servers[name].base_url
        out(f"{whose}qBittorrent {one.version} (Web API {one.webapi_version}) at {where} {one.login}")
        out(f"{counted(one.torrents, 'torrent')}; qBittorrent's own global upload limit: {speed(one.global_limit)}")
    if found:
        print_table(_table(found, several=len(config.servers) > 1), config.trackers)
    for warning in _warnings(config, found):
        out(f"warning: {warning}")


def _table(found: Mapping[str, Connected], *, several: bool) -> list[Column[Group]]:
    """Return the columns of the rules with their torrents: of several qBittorrents in all, and of each."""

    def torrents(*names: str) -> Callable[[Group], object]:
        def cell(rule: Group) -> object:
            counts = [found[name].torrents_by_rule.get(rule.id) for name in names]
            return sum(filter(None, counts)) if counts[0] is not None else ""

        return cell

    table: list[Column[Group]] = [
        Column("rule", lambda rule: rule.id, least=12),
        Column(">cap", lambda rule: speed(rule.max_upload_speed)),
        Column(">torrents", torrents(*found)),
    ]
    each = [Column(f">{name}", torrents(name), drop=1) for name in found]
    return [*table, *each] if several else table
