"""What qBittorrent's external programs tell: a torrent was added, has completed, or was deleted.

Answered from memory: no disk, no network, no waiting for the engine.
"""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, Final, Literal, cast
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException

from qguardarr.api import examples
from qguardarr.api.endpoint import Call, Endpoint, decoded, media_type
from qguardarr.api.parts import ApiContext
from qguardarr.api.problems import INVALID, Problem
from qguardarr.engine.triggers import Event

_HASH: Final = re.compile(r"[0-9a-fA-F]{40}(?:[0-9a-fA-F]{24})?")
_EVENTS: Final[dict[str, Event]] = {
    "add": "add",
    "added": "add",
    "complete": "complete",
    "completed": "complete",
    "delete": "delete",
    "deleted": "delete",
}
_MOST_FIELDS: Final = 50


class WebhookQuery(msgspec.Struct, kw_only=True):
    """The same fields as in the body; what the body says counts more."""

    event: str = ""
    """`add`, `complete` or `delete`."""
    hash: str = ""
    """qBittorrent's `%K`: 40 hex digits (64 of a v2 hash are cut)."""
    apikey: str = ""
    """The API key, for programs that cannot send a header; here alone."""


class WebhookBody(msgspec.Struct, kw_only=True):
    """An event. All other fields are ignored."""

    event: Annotated[str, Meta(examples=["add", "complete", "delete"])] = ""
    """`add`, `complete` or `delete`."""
    hash: Annotated[str, Meta(examples=["c12fe1c06bba254a9dc9f519b335aa7c1367a88a"])] = ""
    """qBittorrent's `%K`: 40 hex digits (64 of a v2 hash are cut)."""


class Queued(msgspec.Struct, kw_only=True):
    """It was taken note of."""

    status: Literal["queued", "dropped"]
    """`dropped`: the queue is full; everything will be looked at instead."""
    queue_size: int
    """Number of torrents in the queue now."""
    processing_time_ms: float
    """How long this took, milliseconds."""


async def post_webhook(parts: ApiContext, call: Call) -> Queued:
    began = time.perf_counter()
    try:
        event, hash_ = _event(call.query, await _fields(call))
    except Problem:
        parts.triggers.reject()
        raise
    room = parts.triggers.put(event, hash_)
    if event == "complete":
        parts.completions.complete(hash_)
    took = time.perf_counter() - began
    parts.metrics.observe_webhook(took)
    return Queued(
        status="queued" if room else "dropped",
        queue_size=len(parts.triggers),
        processing_time_ms=round(1000 * took, 3),
    )


def _event(query: WebhookQuery, body: WebhookBody) -> tuple[Event, str]:
    event = _EVENTS.get((body.event or query.event).strip().lower())
    if event is None:
        raise Problem(400, "event: must be add, complete or delete", type=INVALID)
    hash_ = (body.hash or query.hash).strip()
    if _HASH.fullmatch(hash_) is None:
        raise Problem(400, "hash: must be qBittorrent's %K, 40 hex digits", type=INVALID)
    return event, hash_[:40].lower()


async def _fields(call: Call) -> WebhookBody:
    kind = media_type(call.request)
    if kind == "multipart/form-data":
        return _of_form(await _form(call))
    raw = await call.request.body()
    if not raw:
        return WebhookBody()
    if kind == "application/json" or raw.lstrip().startswith(b"{"):  # as `curl -d` has it, which calls it a form
        return cast("WebhookBody", decoded(raw, WebhookBody))
    try:
        pairs = dict(parse_qsl(raw.decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise Problem(400, "the body has too many fields", type=INVALID) from None
    return _of_form(pairs)


def _of_form(fields: Any) -> WebhookBody:
    return WebhookBody(event=str(fields.get("event", "")), hash=str(fields.get("hash", "")))


async def _form(call: Call) -> FormData:
    try:
        return await call.request.form(max_files=0, max_fields=_MOST_FIELDS)
    except (MultiPartException, ValueError, KeyError):
        raise Problem(400, "the form cannot be read", type=INVALID) from None


ENDPOINTS: Final = (
    Endpoint(
        method="POST", path="/webhook", handler=post_webhook, summary="An event of qBittorrent", tag="Webhook",
        description="Form, JSON or query. `add` brings the next cycle forward, which limits the new torrent; "
        "`complete` also forwards to cross-seed; `delete` forgets the torrent. `qguardarr install-hook` sets it up.",
        answer=Queued, status=202, access="webhook", asynchronous=True, query_type=WebhookQuery,
        body_type=WebhookBody, body_raw=True, body_required=False,
        body_media_types=("application/json", "application/x-www-form-urlencoded", "multipart/form-data"),
        body_example={"event": "add", "hash": "c12fe1c06bba254a9dc9f519b335aa7c1367a88a"},
        example=examples.QUEUED,
    ),
)  # fmt: skip
