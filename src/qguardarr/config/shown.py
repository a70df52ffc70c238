"""The configuration as it may be seen: in full, with the defaults filled in, and without its secrets."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

if TYPE_CHECKING:
    from qguardarr.config.schema import Config

MASK: Final = "***"
_SHORT: Final = 4
"""Secrets shorter than this are not searched for in other texts, which would be torn to pieces."""


def shown(config: Config, hidden: Collection[str] = ()) -> str:
    """`config` as JSON text. Speeds are bytes/s, -1 is unlimited. `hidden`: texts to mask wherever they stand, since
    a variable that holds a secret may have gone into any setting."""
    tree = _plain(config.model_dump(by_alias=True), [text for text in hidden if len(text) >= _SHORT])
    if config.cross_seed.url is not None:
        parts = urlsplit(config.cross_seed.url.get_secret_value())
        tree["cross_seed"]["url"] = f"{parts.scheme}://{parts.netloc}"
    return json.dumps(tree, ensure_ascii=False)


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
