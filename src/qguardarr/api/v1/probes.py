"""Look at what there is before rules are written, and try connections and notifications."""

from __future__ import annotations

import math
import time
from typing import Annotated, Literal

import anyio.to_thread
import msgspec
from fastapi import APIRouter, Depends
from fastapi import Query as InQuery
from pydantic import ConfigDict, Field

from qguardarr.api.bodies import Incoming, JsonBody, JsonResponse, Query, answers
from qguardarr.api.dependencies import Context, SlowThreads, caller
from qguardarr.api.problems import Problem
from qguardarr.core.model import LONGEST_NAME, LONGEST_URL, Labels, float32
from qguardarr.core.select.matcher import NOTHING_KNOWN
from qguardarr.engine.hosts import HostList
from qguardarr.engine.judging import Judged
from qguardarr.engine.labels import LabelList, label_list
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

    instance: Annotated[
        str | None, Field(max_length=40, description="Name of the configured one, of several; null: the first.")
    ] = None
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


class MatchBody(Incoming):
    """A torrent, as far as rules may ask about it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"urls": ["http://hd.example/announce"], "tags": ["keep"], "ratio": 1.5}]}
    )

    instance: Annotated[
        str | None,
        Field(max_length=40, description="Name of the qBittorrent that it is on, of several; null: the first."),
    ] = None
    urls: Annotated[
        list[Annotated[str, Field(max_length=LONGEST_URL)]],
        Field(default_factory=list, max_length=64, description="Its announce URLs.", repr=False),
    ]
    name: Annotated[str, Field(max_length=LONGEST_NAME, description="Its name.")] = ""
    category: Annotated[str, Field(max_length=500, description="Its category; empty: none.")] = ""
    tags: Annotated[
        list[Annotated[str, Field(max_length=200)]],
        Field(default_factory=list, max_length=100, description="Its tags."),
    ]
    private: Annotated[bool | None, Field(description="Whether it is private; null: not known.")] = None
    state: Annotated[Literal["downloading", "seeding"], Field(description="Whether it is complete.")] = "seeding"
    ratio: Annotated[float, Field(ge=0, le=1e9, description="Bytes uploaded ÷ bytes downloaded.")] = 0.0
    age: Annotated[float, Field(ge=0, le=1e9, description="Seconds since it was added.")] = 0.0
    size: Annotated[float, Field(ge=0, le=1e18, description="Bytes of the files that are wanted.")] = 0.0


@router.post(
    "/match",
    summary="Which rule a torrent would get, and why",
    description="Says for each rule which condition does not hold. Asks nobody.",
    responses=answers(Judged, problems=(404, 503)),
)
async def post_match(
    context: Context, body: Annotated[MatchBody, Depends(JsonBody(MatchBody))], slow_threads: SlowThreads
) -> JsonResponse:
    def match() -> JsonResponse:
        now = time.time()
        about = msgspec.structs.replace(
            NOTHING_KNOWN,
            name=body.name,
            labels=Labels(body.category, tuple(sorted(body.tags)), body.private),
            downloading=body.state == "downloading",
            ratio=float32(body.ratio),
            added_on=max(1, int(now - body.age)),
            size=int(body.size),
        )
        return JsonResponse(context.torrents.judge(tuple(body.urls), about, now, body.instance))

    return await anyio.to_thread.run_sync(match, limiter=slow_threads)


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


@router.get(
    "/labels",
    summary="Categories and tags of torrents",
    description="With the number of their torrents, to choose from. Asks nobody.",
    responses=answers(LabelList),
)
async def get_labels(context: Context, slow_threads: SlowThreads) -> JsonResponse:
    counts = await anyio.to_thread.run_sync(context.torrents.label_counts, limiter=slow_threads)
    return JsonResponse(label_list(counts))


@router.post(
    "/connection/test",
    summary="Try a connection to qBittorrent",
    description="Logs in and asks for the version; at most 15 s. Stored credentials go to the configured address only.",
    responses=answers(ConnectionAnswer, problems=(404, 429)),
)
async def post_connection(
    context: Context,
    body: Annotated[ConnectionBody, Depends(JsonBody(ConnectionBody, required=False))],
    slow_threads: SlowThreads,
) -> JsonResponse:
    wanted = Wanted(
        instance=body.instance,
        url=body.url,
        username=body.username,
        password=body.password,
        api_key=body.api_key,
    )
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
