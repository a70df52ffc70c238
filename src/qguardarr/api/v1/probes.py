"""Look at what there is before rules are written, and try connections and notifications."""

from __future__ import annotations

import math
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends
from fastapi import Query as InQuery
from pydantic import ConfigDict, Field

from qguardarr.api.bodies import Incoming, JsonBody, JsonResponse, Query, answers
from qguardarr.api.dependencies import Context, SlowThreads, caller
from qguardarr.api.problems import Problem
from qguardarr.engine.hosts import HostList
from qguardarr.engine.probes import ConnectionAnswer, MessageAnswer, TooSoon, Wanted

router = APIRouter(prefix="/api/v1", tags=["Version 1"], dependencies=[Depends(caller)])


class HostsQuery(Query):
    """How to list."""

    fresh: Annotated[bool, Field(description="Ask qBittorrent even if a list of the last 15 s is at hand.")] = False


class ConnectionBody(Incoming):
    """The connection to try; what is left out is as configured."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"url": "http://localhost:8080", "username": "admin", "password": "…"}]}
    )

    url: Annotated[str | None, Field(max_length=2000, description="Address of qBittorrent's Web UI.")] = None
    username: Annotated[str | None, Field(max_length=256, description="User name there.")] = None
    password: Annotated[str | None, Field(max_length=1024, description="Its password.", repr=False)] = None
    api_key: Annotated[
        str | None, Field(max_length=1024, description="API key, instead of both (5.2 and newer).", repr=False)
    ] = None


class MessageBody(Incoming):
    """Where to send a test message."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"urls": ["ntfy://localhost/topic"]}]})

    urls: Annotated[
        list[Annotated[str, Field(max_length=2000)]] | None,
        Field(max_length=20, description="Apprise addresses; without them, all that are configured.", repr=False),
    ] = None


@router.get(
    "/hosts",
    summary="Trackers that qBittorrent knows, and the rules that take them",
    description="By host names alone. Reads all torrents of qBittorrent, one list at a time; "
    "it is shown again for 15 s.",
    responses=answers(HostList, problems=(409, 502, 503)),
)
async def get_hosts(
    context: Context, query: Annotated[HostsQuery, InQuery()], slow_threads: SlowThreads
) -> JsonResponse:
    found = await anyio.to_thread.run_sync(lambda: context.workshop.hosts.list(fresh=query.fresh), limiter=slow_threads)
    return JsonResponse(found)


@router.post(
    "/connection/test",
    summary="Try a connection to qBittorrent",
    description="Logs in and asks for the version; at most 15 s. Stored credentials go to the configured address only.",
    responses=answers(ConnectionAnswer, problems=(429,)),
)
async def post_connection(
    context: Context,
    body: Annotated[ConnectionBody, Depends(JsonBody(ConnectionBody, required=False))],
    slow_threads: SlowThreads,
) -> JsonResponse:
    wanted = Wanted(url=body.url, username=body.username, password=body.password, api_key=body.api_key)
    try:
        found = await anyio.to_thread.run_sync(lambda: context.workshop.probes.connection(wanted), limiter=slow_threads)
    except TooSoon as error:
        again = {"Retry-After": str(math.ceil(error.wait_s))}
        raise Problem(429, str(error), type="/problems/too-many-logins", headers=again) from None
    return JsonResponse(found)


@router.post(
    "/notifications/test",
    summary="Send a test notification",
    description="At most 30 s.",
    responses=answers(MessageAnswer, problems=(422,)),
)
async def post_message(
    context: Context,
    body: Annotated[MessageBody, Depends(JsonBody(MessageBody, required=False))],
    slow_threads: SlowThreads,
) -> JsonResponse:
    def send() -> MessageAnswer:
        probes = context.workshop.probes
        if not body.urls and (body.urls is not None or not probes.has_addresses):
            raise Problem(422, "there is no address to send to: add an Apprise URL to notifications.urls")
        return probes.message(body.urls)

    return JsonResponse(await anyio.to_thread.run_sync(send, limiter=slow_threads))
