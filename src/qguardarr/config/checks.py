"""What no single field can know, and texts that need more than a type.

The checks across fields work on plain mappings, so that `load` can report them beside faults of single fields: they
pass over whatever has a wrong type, since that is reported already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from qguardarr.core.match import is_catch_all

KeyPath: TypeAlias = tuple[str | int, ...]


class Fault(NamedTuple):
    """Something to mend."""

    path: KeyPath
    message: str
    mend: str = ""

    def __str__(self) -> str:
        mend = f" mend: {self.mend}" if self.mend else ""
        return f"{dotted(self.path)}: {self.message}.{mend}" if self.path else f"{self.message}.{mend}"


def dotted(path: KeyPath) -> str:
    """`trackers[2].pattern`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def web_url(value: str) -> str:
    """An http(s) address without credentials. Messages never show it."""
    try:
        parts = urlsplit(value.strip())
        _ = parts.port
    except ValueError:
        raise ValueError("is not an address such as https://example.org:8080/prefix") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address such as https://example.org:8080/prefix")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold credentials; write them as username and password")
    if parts.query or parts.fragment:
        raise ValueError("must end with the path; '?' and '#' have no meaning here")
    return value.strip()


def host_name(value: str) -> str:
    """A bare host name or address."""
    if not re.fullmatch(r"[\w.-]+|\[?[0-9a-fA-F:.%]*:[0-9a-fA-F:.%]*\]?", value) or re.fullmatch(r"[\w.-]+:\d+", value):
        raise ValueError("must be a bare host name or address; write 'url' instead for a scheme, a port or a path")
    return value


def log_level(value: object) -> object:
    """Upper case, and the other usual spelling."""
    if not isinstance(value, str):
        return value
    upper = value.strip().upper()
    return {"WARN": "WARNING", "CRITICAL": "ERROR", "FATAL": "ERROR"}.get(upper, upper)


def cross_faults(config: Mapping[str, Any]) -> list[Fault]:
    """All faults between fields. `config` holds only what the file sets."""
    return [*_rule_faults(config.get("trackers")), *_connection_faults(config.get("qbittorrent"))]


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
        if catches_all is True and index < len(rules) - 1:
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


def _catches_all(pattern: object) -> bool | None:
    """None: not a pattern, which is reported by itself."""
    try:
        return is_catch_all(pattern) if isinstance(pattern, str) else None
    except ValueError:
        return None


def _connection_faults(section: object) -> Iterator[Fault]:
    if not isinstance(section, Mapping):
        return
    given = {key for key, value in section.items() if value is not None}
    for key in sorted({"host", "port"} & given):
        if "url" in given:
            yield Fault(("qbittorrent", key), "'url' names the place already", f"remove either 'url' or '{key}'")
    for key in sorted({"username", "password"} & given):
        if "api_key" in given:
            yield Fault(("qbittorrent", key), "'api_key' is used instead of it", f"remove either 'api_key' or '{key}'")
    if "api_key" in given and section.get("auth") == "basic":
        yield Fault(("qbittorrent", "auth"), "'api_key' does not go with 'basic'", "remove 'auth' or 'api_key'")
    if "api_key" not in given:
        for key, other in (("username", "password"), ("password", "username")):
            if key in given and other not in given:
                yield Fault(("qbittorrent", key), f"'{other}' is missing", f"add '{other}', or remove '{key}'")
        if section.get("auth") == "basic" and not {"username", "password"} & given:
            yield Fault(("qbittorrent", "auth"), "'basic' needs credentials", "add 'username' and 'password'")
