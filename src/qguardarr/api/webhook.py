"""Events of qBittorrent: a torrent was added, has completed, or was deleted.

Answered from memory: no disk, no network, no waiting for the engine. The handler takes the bare request: models and
dependencies would double its p99 at 500 requests a second (bench/webhook.py: 8 to 11 ms with a model, 4 ms without).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from qguardarr.api.bodies import JsonResponse, answers, media_type
from qguardarr.api.dependencies import ApiContext
from qguardarr.api.problems import INVALID, Problem, invalid
from qguardarr.engine.triggers import Event

router = APIRouter(tags=["Webhook"])

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


class _Event(msgspec.Struct):
    """An event as it was sent."""

    event: str = ""
    hash: str = ""
    instance: str = ""


@router.post(
    "/webhook",
    summary="An event of qBittorrent",
    description="Form, JSON or query. `add` brings the next cycle forward, which limits the new torrent; `complete` "
    "also forwards to cross-seed; `delete` forgets the torrent. `qguardarr install-hook` sets it up. `instance` names "
    "the qBittorrent, if there are several.",
    status_code=202,
    responses=answers("Queued", status=202),
)
async def post_webhook(request: Request) -> JsonResponse:
    context: ApiContext = request.app.state.context
    context.access.require(request.scope, query_key=True)
    began = time.perf_counter()
    try:
        event, hash_, instance = _event(_of_query(request), await _of_body(request))
        if instance and instance not in context.torrents.instances:
            raise Problem(400, "instance: there is no qBittorrent with this name", type=INVALID)
    except Problem:
        context.triggers.reject()
        raise
    room = context.triggers.put(event, hash_, instance)
    if event == "complete":
        context.completions.complete(hash_)
    took = time.perf_counter() - began
    context.metrics.observe_webhook(took)
    queued = {
        "status": "queued" if room else "dropped",
        "queue_size": len(context.triggers),
        "processing_time_ms": round(1000 * took, 3),
    }
    return JsonResponse(queued, status_code=202)


def _event(query: _Event, body: _Event) -> tuple[Event, str, str]:
    event = _EVENTS.get((body.event or query.event).strip().lower())
    if event is None:
        raise Problem(400, "event: must be add, complete or delete", type=INVALID)
    hash_ = (body.hash or query.hash).strip()
    if _HASH.fullmatch(hash_) is None:
        raise Problem(400, "hash: must be qBittorrent's %K, 40 hex digits", type=INVALID)
    return event, hash_[:40].lower(), (body.instance or query.instance).strip()


def _of_query(request: Request) -> _Event:
    if not request.scope["query_string"]:
        return _Event()
    given = request.query_params
    for name in ("event", "hash", "instance", "apikey"):
        if len(given.getlist(name)) > 1:
            raise Problem(400, f"query.{name}: given more than once", type=INVALID)
    return _of_fields(given)


async def _of_body(request: Request) -> _Event:
    kind = media_type(request)
    if kind == "multipart/form-data":
        try:
            return _of_fields(await request.form(max_files=0, max_fields=_MOST_FIELDS))
        except (MultiPartException, HTTPException, ValueError, KeyError):
            raise Problem(400, "the form cannot be read", type=INVALID) from None
    raw = await request.body()
    if kind == "application/json" or raw.lstrip().startswith(b"{"):  # as `curl -d` sends it, which calls it a form
        return _of_json(raw) if raw else _Event()
    try:
        return _of_fields(dict(parse_qsl(raw.decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS)))
    except ValueError:
        raise Problem(400, "the body has too many fields", type=INVALID) from None


def _of_json(raw: bytes) -> _Event:
    try:
        return msgspec.json.decode(raw, type=_Event)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        raise invalid(what, "body", place.rstrip("`")) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "the body is no JSON", type=INVALID) from None


def _of_fields(fields: Mapping[str, Any]) -> _Event:
    given = {name: str(fields.get(name, "")) for name in _Event.__struct_fields__}
    return _Event(**given)
