"""Secrets in edits: a password is written as its hash, and a stored secret goes to its own address alone.

Whoever edits sees no secrets. With an address of their own, or a certificate that nobody checks, they would be sent
them. So a new address takes the secret along only if the same change gives it again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from qguardarr.adapters.keys import hash_password
from qguardarr.config.edit import Edit
from qguardarr.config.schema import Config
from qguardarr.config.validators import is_password_hash
from qguardarr.engine.editing import EditFault
from qguardarr.engine.origins import dotted
from qguardarr.errors import KeyPath

_PASSWORD: Final = ("auth", "password")
_UNKNOWN: Final = "to an address that cannot be compared with the former one, since the file has errors"
_PORTS: Final = {"http": 80, "https": 443}


class _Target(NamedTuple):
    """Where the secrets of a section go."""

    url: str
    checked: bool
    """Whether a certificate is."""
    secrets: dict[str, str | None]


_PLACES: Final = {"qbittorrent": ("url", "host", "port", "verify_tls"), "cross_seed": ("url",)}
"""The settings that say where the secrets of a section go."""


def leaks(
    old: Config | None, new: Config, edited: Collection[KeyPath], given: Collection[KeyPath]
) -> Iterator[EditFault]:
    """Yield a fault for each section whose stored secret would go elsewhere.

    `old`: None if the file was faulty, so that nobody knows where its secrets went. `edited`: the settings that are
    changed; `given`: those of them that get a value.
    """
    for section, places in _PLACES.items():
        touched = [(section, name) for name in places if (section, name) in edited]
        now = _target(new, section)
        was = None if old is None else _target(old, section)
        why = _why_elsewhere(was, now) if was is not None else _UNKNOWN if touched and now.url else ""
        for key, secret in now.secrets.items():
            if secret is None or (section, key) in given:
                continue
            if why:
                yield _leak(touched[0] if touched else (section, "url"), key, f"would send the stored {key} {why}")
                break
            if was is not None and now.url and was.secrets[key] != secret:
                yield _leak((section, key), key, "would be another stored one, which would be sent")
                break


def _target(config: Config, section: str) -> _Target:
    if section == "cross_seed":
        seeds = config.cross_seed
        url = seeds.url.get_secret_value() if seeds.url else ""
        return _Target(url, True, {"api_key": seeds.api_key.get_secret_value() if seeds.api_key else None})
    web = config.qbittorrent
    secrets = {"password": web.password, "api_key": web.api_key}
    return _Target(
        web.base_url,
        web.verify_tls,
        {key: value.get_secret_value() if value else None for key, value in secrets.items()},
    )


def _why_elsewhere(was: _Target, now: _Target) -> str:
    """Return how the secrets would reach somebody else; empty if they would not."""
    if not now.url:
        return ""
    if not was.url:
        return "to an address, where there was none"
    old, new = urlsplit(was.url), urlsplit(now.url)
    if old.hostname != new.hostname:
        return "to another machine"
    if (old.port or _PORTS.get(old.scheme)) != (new.port or _PORTS.get(new.scheme)):
        return "to another port"
    if old.scheme == "https" and new.scheme != "https":
        return "without encryption"
    if new.scheme == "https" and was.checked and not now.checked:
        return "without a look at the certificate"
    return ""


def _leak(path: KeyPath, key: str, reason: str) -> EditFault:
    hint = f"give {path[0]}.{key} again in the same change, or change it in the file itself"
    return EditFault(path=path, setting=dotted(path), reason=reason, hint=hint)


def hashed(edit: Edit) -> Edit:
    """Return the edit with the hash of a password in its place."""
    value = edit.value
    if edit.path != _PASSWORD or not isinstance(value, str) or not value or is_password_hash(value):
        return edit
    return edit._replace(value=hash_password(value))
