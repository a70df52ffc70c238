"""JSON over HTTP to clients on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import urllib3

from lab.errors import LabError

_POOL: Final = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(20.0))


def post_json(
    url: str, message: object, headers: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], Mapping[str, str]]:
    """The answer's body and headers; LabError unless it is JSON. An error of the client comes as JSON, too."""
    every = {"Content-Type": "application/json", "Connection": "close", **(headers or {})}
    try:
        answer = _POOL.request("POST", url, body=json.dumps(message).encode(), headers=every)
    except urllib3.exceptions.HTTPError as error:
        raise LabError(f"{url}: {error}") from error
    try:
        body: dict[str, Any] = json.loads(answer.data)
    except ValueError:
        body = {"error": f"{answer.status} {answer.data[:200].decode(errors='replace')}"}
    return body, answer.headers
