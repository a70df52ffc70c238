"""Checks between settings.

They work on plain mappings, so that `load.py` can report them beside faults of single fields, and ignore values of a
wrong type, which are reported already.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from qguardarr.config.bounds import parent_bound_faults, tier_faults
from qguardarr.config.outline import LISTED
from qguardarr.config.selectors import SELECTORS, is_set
from qguardarr.config.tree_checks import tree_faults
from qguardarr.core.select.matcher import is_catch_all
from qguardarr.errors import Fault, KeyPath


def cross_faults(config: Mapping[str, Any]) -> list[Fault]:
    """Return all faults between settings. `config` only holds settings that are set."""
    return [
        *_rule_faults(config.get("trackers")),
        *_tree_faults(config),
        *_connection_faults(("qbittorrent",), config.get("qbittorrent")),
        *_instance_faults(config.get(LISTED)),
        *_place_faults(config.get("trackers"), config.get(LISTED)),
        *_login_faults(("auth",), config.get("auth")),
        *_cross_seed_faults(config.get("cross_seed")),
    ]


def _rule_faults(rules: object) -> Iterator[Fault]:
    if not isinstance(rules, list | tuple):
        return
    if not rules:
        yield Fault(("trackers",), "there is no rule", "add at least the catch-all: id, pattern '.*', max_upload_speed")
        return
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules):
        if not isinstance(rule, Mapping):
            continue
        yield from tier_faults(("trackers", index), rule)
        name = rule.get("id")
        if isinstance(name, str) and name in seen:
            yield Fault(
                ("trackers", index, "id"),
                f"is the id of trackers[{seen[name]}] already",
                "give each rule an id of its own",
            )
        elif isinstance(name, str):
            seen[name] = index
        catches_all = _catches_all(rule.get("pattern"))
        conditions = [key for key in SELECTORS if key != "pattern" and is_set(rule.get(key))]
        if catches_all is not False and conditions and index == len(rules) - 1:
            yield Fault(
                ("trackers", index, conditions[0]),
                "the last rule must be a catch-all, which takes every torrent that is left",
                "add a last rule with the pattern '.*' and no other condition",
            )
        if catches_all is True and not conditions and index < len(rules) - 1:
            yield Fault(
                ("trackers", index, "pattern"),
                "matches every URL, so that the rules below it can never match",
                "move the rule to the end, or narrow the pattern",
            )
        if catches_all is False and index == len(rules) - 1:
            yield Fault(
                ("trackers", index, "pattern"),
                "the last rule must be a catch-all, which takes torrents of all other trackers and of none",
                "add a last rule with the pattern '.*' ('.+' leaves out torrents without a tracker)",
            )


def _tree_faults(config: Mapping[str, Any]) -> Iterator[Fault]:
    entries, section = config.get("trackers"), config.get("global")
    if isinstance(entries, list | tuple):
        yield from tree_faults(entries, section.get("uplink") if isinstance(section, Mapping) else None)
        yield from parent_bound_faults(entries)


def _catches_all(pattern: object) -> bool | None:
    """Return None for an invalid pattern, which is reported elsewhere."""
    try:
        return is_catch_all(pattern) if isinstance(pattern, str) else None
    except ValueError:
        return None


def _instance_faults(servers: object) -> Iterator[Fault]:
    if not isinstance(servers, list | tuple):
        return
    if not servers:
        yield Fault((LISTED,), "the list is empty", "add an entry, or write one mapping in its place")
    seen: dict[object, int] = {}
    for index, server in enumerate(servers):
        if not isinstance(server, Mapping):
            continue
        yield from _connection_faults((LISTED, index), server)
        for key in ("name", "formerly"):
            name = server.get(key)
            if isinstance(name, str) and seen.setdefault(name, index) != index:
                yield Fault(
                    (LISTED, index, key),
                    f"is a name of qbittorrent[{seen[name]}] already",
                    "give each qBittorrent a name of its own",
                )


def _place_faults(rules: object, servers: object) -> Iterator[Fault]:
    """Yield faults of groups that select by a qBittorrent which is not there."""
    entries = servers if isinstance(servers, list | tuple) else ()
    known = [name for entry in entries if isinstance(entry, Mapping) and isinstance(name := entry.get("name"), str)]
    formerly = {entry.get("formerly"): entry.get("name") for entry in entries if isinstance(entry, Mapping)}
    for index, rule in enumerate(rules if isinstance(rules, list | tuple) else ()):
        if not isinstance(rule, Mapping):
            continue
        left_out = rule.get("not")
        places: list[tuple[KeyPath, object]] = [(("trackers", index), rule)]
        if isinstance(left_out, Mapping):
            places.append((("trackers", index, "not"), left_out))
        elif isinstance(left_out, list | tuple):
            places += [(("trackers", index, "not", number), one) for number, one in enumerate(left_out)]
        for place, selector in places:
            wanted = selector.get("instance") if isinstance(selector, Mapping) else None
            listed = isinstance(wanted, list | tuple)
            for number, name in enumerate(wanted if isinstance(wanted, list | tuple) else (wanted,)):
                if not isinstance(name, str) or name in known:
                    continue
                where: KeyPath = (*place, "instance", number) if listed else (*place, "instance")
                if not known:
                    reason = "there is one qBittorrent, which has no name"
                    yield Fault(where, reason, "remove it, or make 'qbittorrent' a list with names")
                    break
                close = next(iter(difflib.get_close_matches(name, known, 1)), formerly.get(name))
                hint = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
                yield Fault(where, f"there is no qBittorrent with the name {name!r}", hint)


def _connection_faults(place: KeyPath, section: object) -> Iterator[Fault]:
    if not isinstance(section, Mapping):
        return
    given = {key for key, value in section.items() if value is not None}
    for key in sorted({"host", "port"} & given):
        if section.get("url"):  # empty: not known yet
            yield Fault((*place, key), "'url' names the place already", f"remove either 'url' or '{key}'")
    for key in sorted({"username", "password"} & given):
        if "api_key" in given:
            yield Fault((*place, key), "'api_key' is used instead of it", f"remove either 'api_key' or '{key}'")
    if "api_key" in given and section.get("auth") == "basic":
        yield Fault((*place, "auth"), "'api_key' does not go with 'basic'", "remove 'auth' or 'api_key'")
    if "api_key" not in given:
        yield from _login_faults(place, section)
        if section.get("auth") == "basic" and not {"username", "password"} & given:
            yield Fault((*place, "auth"), "'basic' needs credentials", "add 'username' and 'password'")


def _login_faults(place: KeyPath, section: object) -> Iterator[Fault]:
    if not isinstance(section, Mapping):
        return
    for key, other in (("username", "password"), ("password", "username")):
        if section.get(key) is not None and section.get(other) is None:
            yield Fault((*place, key), f"'{other}' is missing", f"add '{other}', or remove '{key}'")


def _cross_seed_faults(section: object) -> Iterator[Fault]:
    if not isinstance(section, Mapping) or section.get("url"):
        return
    if str(section.get("enabled")).strip().lower() in ("true", "t", "yes", "y", "on", "1"):
        yield Fault(
            ("cross_seed", "enabled"),
            "'url' is missing, so that there is nobody to tell",
            "add 'url', such as http://localhost:2468/api/webhook, or set 'enabled' to false",
        )
