"""Sessions of people, metrics, events, and the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from qguardarr.api import docs, examples
from qguardarr.api.endpoint import Call, Endpoint
from qguardarr.api.parts import ApiContext
from qguardarr.api.security import Login, SessionInfo

_TAG: Final = "Sessions, metrics, events"


def get_session(parts: ApiContext, call: Call) -> SessionInfo:
    assert call.identity is not None
    return parts.access.describe(call.identity)


async def post_session(parts: ApiContext, call: Call) -> SessionInfo:
    return await parts.access.login(call.request.scope, await call.request.body())


def delete_session(parts: ApiContext, call: Call) -> None:
    parts.access.logout(call.request.scope)


def get_metrics(parts: ApiContext, call: Call) -> Response:
    body, kind = parts.metrics.render(call.request.headers.get("accept"))
    return Response(body, headers={"Content-Type": kind})


async def get_events(parts: ApiContext, call: Call) -> Response:
    if call.request.method == "HEAD":  # has an end
        return Response(media_type="text/event-stream")
    return parts.events.stream()


def get_document(parts: ApiContext, _call: Call) -> Response:
    return Response(parts.describe(), media_type="application/json")


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET", path="/api/v1/session", handler=get_session, summary="Who one is", tag=_TAG, answer=SessionInfo,
        description="Of a session also the CSRF token, to be sent as `X-CSRF-Token` with whatever is not GET.",
        example=examples.SESSION,
    ),
    Endpoint(
        method="POST", path="/api/v1/session", handler=post_session, summary="Log in", tag=_TAG, answer=SessionInfo,
        body_type=Login, body_raw=True, asynchronous=True, access="open", problems=(401, 403, 429, 503),
        body_example=examples.LOGIN, example=examples.SESSION,
    ),
    Endpoint(
        method="DELETE", path="/api/v1/session", handler=delete_session, summary="Log out", tag=_TAG, answer=None,
        status=204,
    ),
    Endpoint(
        method="GET", path="/api/v1/events", handler=get_events, summary="Each cycle's picture, as server-sent events",
        description="Events are named `status`; their data is that of `/api/v1/status`.", tag=_TAG, answer=str,
        media_type="text/event-stream", asynchronous=True, problems=(503,), example=examples.EVENTS,
    ),
    Endpoint(
        method="GET", path="/metrics", handler=get_metrics, summary="Metrics for Prometheus", tag=_TAG, answer=str,
        media_type="text/plain", access="metrics", example=examples.METRICS,
    ),
    Endpoint(
        method="GET", path="/openapi.json", handler=get_document, summary="This document", tag="Documentation",
        answer=dict[str, Any], access="open", blocking=True, slow=True, example=examples.DOCUMENT,
    ),
    Endpoint(
        method="GET", path="/docs", handler=docs.get_page, summary="This document, for people", tag="Documentation",
        answer=str, media_type="text/html", access="open", blocking=True, slow=True, example=examples.PAGE,
    ),
)  # fmt: skip
