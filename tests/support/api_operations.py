"""The API's operations, out of the OpenAPI document that is shipped."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from docs.openapi import DOCUMENT as DOCUMENT_FILE
from tests.support.api_client import HASHES

DOCUMENT: Final[dict[str, Any]] = msgspec.json.decode(DOCUMENT_FILE.read_bytes())
Access = Literal["open", "optional", "key", "webhook", "metrics"]


class Operation(msgspec.Struct, frozen=True):
    """One method of one path."""

    method: str
    path: str
    """As in the document: `/api/v1/torrents/{hash}`."""
    described: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def access(self) -> Access:
        """Who may call."""
        if self.path == "/metrics":
            return "metrics"
        security = self.described["security"]
        if {} in security or not security:
            return "optional" if security else "open"
        return "webhook" if {"query": []} in security else "key"

    @property
    def body_example(self) -> Any:
        """An example of the body; None if there is none."""
        for content in self.described.get("requestBody", {}).get("content", {}).values():
            return content["example"]
        return None

    @property
    def takes_something(self) -> bool:
        """Whether there is something about it that can be faulty."""
        return "parameters" in self.described or "requestBody" in self.described

    @property
    def real_path(self) -> str:
        """A path that exists."""
        return self.path.replace("{hash}", HASHES[0]).replace("{tracker}", "example")


OPERATIONS: Final = tuple(
    Operation(method.upper(), path, described)
    for path, operations in DOCUMENT["paths"].items()
    for method, described in operations.items()
)
