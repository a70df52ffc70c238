"""The whole configuration, defaults included, without its secrets."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from qguardarr.secrecy import is_distinct

if TYPE_CHECKING:
    from qguardarr.config.schema import Config
    from qguardarr.errors import KeyPath

MASK: Final = "***"


def redacted(config: Config, hidden: Collection[str] = (), places: Collection[KeyPath] = ()) -> str:
    """Return `config` as JSON text. Speeds are in bytes/s; -1 is unlimited.

    A variable that holds a secret may be used in any setting. `hidden`: such secrets, masked wherever they occur if
    they are distinct. `places`: the settings that use them, masked as a whole if they are not.
    """
    distinct = [text for text in hidden if is_distinct(text)]
    tree = _plain(config.model_dump(by_alias=True), distinct)
    if servers := tree.pop("qbittorrents"):
        tree["qbittorrent"] = servers
    if len(distinct) < len(hidden):
        for path in places:
            _mask(tree, path)
    if config.cross_seed.url is not None:
        parts = urlsplit(config.cross_seed.url.get_secret_value())
        tree["cross_seed"]["url"] = f"{parts.scheme}://{parts.netloc}"
    return json.dumps(tree, ensure_ascii=False)


def _mask(tree: Any, path: KeyPath) -> None:
    *way, last = path
    with contextlib.suppress(LookupError, TypeError):  # a setting may be kept in another shape than it was written in
        for step in way:
            tree = tree[step]
        if tree[last] is not None:
            tree[last] = MASK


def _plain(value: Any, hidden: Collection[str]) -> Any:
    match value:
        case SecretStr():
            return MASK
        case dict():
            return {key: _plain(inner, hidden) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner, hidden) for inner in value]
        case str() | Path():
            text = str(value)
            for secret in hidden:
                text = text.replace(secret, MASK)
            return text
        case _:
            return value
