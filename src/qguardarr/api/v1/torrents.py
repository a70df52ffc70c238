"""Torrents: a list, one of them, and its own limit back."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import anyio.to_thread
import msgspec
from fastapi import APIRouter, Depends, Path
from fastapi import Query as InQuery
from pydantic import Field

from qguardarr.api.bodies import JsonResponse, Query, answers
from qguardarr.api.dependencies import ApiContext, Context, SlowThreads, caller
from qguardarr.api.problems import Problem
from qguardarr.engine.torrent_browser import ListQuery, Order, TorrentHosts
from qguardarr.engine.torrent_list import TorrentFilter, TorrentPage, TorrentRow
from qguardarr.engine.torrent_watch import RecentTorrent

router = APIRouter(prefix="/api/v1/torrents", tags=["Version 1"], dependencies=[Depends(caller)])

UNKNOWN: Final = "qBittorrent has no torrent with this hash, as far as is known"
Hash = Annotated[str, Path(pattern="^[0-9a-fA-F]{40}$", description="qBittorrent's id of the torrent, 40 hex digits.")]


INSTANCE: Final[Any] = Field(max_length=40, description="Only of the qBittorrent with this name, if there are several.")


class InstanceQuery(Query):
    """Which qBittorrent."""

    instance: Annotated[str | None, INSTANCE] = None


class TorrentsQuery(Query):
    """A filter, an order and a page."""

    instance: Annotated[str | None, INSTANCE] = None
    tracker: Annotated[str | None, Field(description="Only torrents of the rule with this id.")] = None
    activity: Annotated[
        Literal["stopped", "idle", "active"] | None,
        Field(description="Only active, idle or stopped ones; see `activity` in the answer."),
    ] = None
    uploading: Annotated[
        bool | None, Field(description="Only those that upload, or did a moment ago; false: only the others.")
    ] = None
    hungry: Annotated[
        bool | None, Field(description="Only those that use their limit and want more; false: only the others.")
    ] = None
    limited: Annotated[
        bool | None, Field(description="Only those whose limit in force is ours; false: only the others.")
    ] = None
    set_by_hand: Annotated[
        bool | None, Field(description="Only those to which their person gave a limit; false: only the others.")
    ] = None
    search: Annotated[
        str,
        Field(max_length=200, description="Words of the name, or the beginning of the hash: six digits or more."),
    ] = ""
    hash_prefix: Annotated[str, Field(max_length=40, description="Only those whose hash begins with these digits.")] = (
        ""
    )
    sort: Annotated[Order, Field(description="What the list is sorted by.")] = "rate"
    order: Annotated[Literal["asc", "desc"], Field(description="`desc`: largest first.")] = "desc"
    offset: Annotated[
        int, Field(ge=0, le=10_000_000, description="Number of torrents to leave out at the beginning.")
    ] = 0
    limit: Annotated[int, Field(ge=1, le=500, description="Most torrents on a page.")] = 50
    names: Annotated[bool, Field(description="Ask qBittorrent for names that are not known yet.")] = True
    view: Annotated[
        str,
        Field(
            max_length=32,
            description="`new`: keep the order, so that pages do not shift; then the `view` of the last answer, with "
            "the same filter and order. It is kept for a minute after each page, and made again if it is gone.",
        ),
    ] = ""


class ResetTorrents(msgspec.Struct, kw_only=True):
    """Result for a torrent's limit."""

    restored: list[str]
    """Hashes of torrents that have their original limit."""
    set_by_hand: list[str]
    """Hashes of torrents whose limit a person changed meanwhile; left so."""
    gone: list[str]
    """Hashes of torrents that qBittorrent does not have any more."""
    failed: dict[str, str]
    """Why some could not be restored, by hash."""
    never_limited: list[str]
    """Hashes of torrents that never had a limit of ours."""


def _owner(context: ApiContext, hash_: str, instance: str | None) -> str | None:
    """Return the name of the qBittorrent that has a torrent, if there are several. Raises `SeveralHaveIt`."""
    if instance is not None or len(context.torrents.instances) == 1:
        return instance
    found = context.torrents.state(hash_)
    if found is None:
        raise Problem(404, UNKNOWN)
    return context.torrents.instances_of(hash_)[0]


@router.get("", summary="Torrents: limit, rate, demand, reason", responses=answers(TorrentPage, problems=(409, 503)))
async def get_torrents(
    context: Context, query: Annotated[TorrentsQuery, InQuery()], slow_threads: SlowThreads
) -> JsonResponse:
    def page() -> JsonResponse:
        wanted = TorrentFilter(**query.model_dump(include=set(TorrentFilter.__struct_fields__)))
        descending = query.order == "desc"
        if query.view or query.search.strip() or query.sort == "name":
            asked = ListQuery(wanted=wanted, sort=query.sort, descending=descending, search=query.search.strip())
            browser = context.workshop.browser
            return JsonResponse(browser.page(asked, offset=query.offset, limit=query.limit, view=query.view))
        found = context.torrents.page(
            wanted,
            sort=query.sort,
            descending=descending,
            offset=query.offset,
            limit=query.limit,
            names=query.names,
        )
        return JsonResponse(found)

    return await anyio.to_thread.run_sync(page, limiter=slow_threads)


@router.get("/{hash}", summary="One torrent", responses=answers(TorrentRow, problems=(404, 409, 503)))
async def get_torrent(
    context: Context,
    hash: Hash,  # noqa: A002 # the path's
    query: Annotated[InstanceQuery, InQuery()],
    slow_threads: SlowThreads,
) -> JsonResponse:
    found = await anyio.to_thread.run_sync(context.torrents.one, hash.lower(), query.instance, limiter=slow_threads)
    if found is None:
        raise Problem(404, UNKNOWN)
    return JsonResponse(found)


class RecentQuery(InstanceQuery):
    """Since when."""

    since: Annotated[float, Field(ge=0, le=1e11, description="Only samples after this time, Unix seconds.")] = 0.0


@router.get(
    "/{hash}/recent",
    summary="One torrent and its last minutes",
    description="Recorded from the first call on, at each cycle, until nobody has asked for a minute.",
    responses=answers(RecentTorrent, problems=(404, 409, 503)),
)
async def get_torrent_recent(
    context: Context,
    hash: Hash,  # noqa: A002 # the path's
    query: Annotated[RecentQuery, InQuery()],
    slow_threads: SlowThreads,
) -> JsonResponse:
    def recent() -> JsonResponse:
        found = context.workshop.browser.watch.recent(hash.lower(), query.since, query.instance)
        if found is None:
            raise Problem(404, UNKNOWN)
        return JsonResponse(found)

    return await anyio.to_thread.run_sync(recent, limiter=slow_threads)


@router.get(
    "/{hash}/hosts",
    summary="Trackers of a torrent, and the rules that take them",
    description="By host names alone. Asks qBittorrent.",
    responses=answers(TorrentHosts, problems=(404, 409, 502, 503)),
)
async def get_torrent_hosts(
    context: Context,
    hash: Hash,  # noqa: A002 # the path's
    query: Annotated[InstanceQuery, InQuery()],
    slow_threads: SlowThreads,
) -> JsonResponse:
    found = await anyio.to_thread.run_sync(
        lambda: context.workshop.browser.hosts(hash.lower(), query.instance), limiter=slow_threads
    )
    if found is None:
        raise Problem(404, UNKNOWN)
    return JsonResponse(found)


@router.post(
    "/{hash}/reset",
    summary="Put a torrent's own limit back",
    description="The next cycle decides again.",
    responses=answers(ResetTorrents, problems=(404,)),
)
def post_torrent_reset(
    context: Context,
    hash: Hash,  # noqa: A002 # the path's
    query: Annotated[InstanceQuery, InQuery()],
) -> JsonResponse:
    report = context.commands.reset([hash.lower()], instance=_owner(context, hash.lower(), query.instance))
    return JsonResponse(
        ResetTorrents(
            restored=[*report.restored, *report.already_original],
            set_by_hand=list(report.by_hand),
            gone=list(report.gone),
            failed=report.failed,
            never_limited=list(report.untouched),
        )
    )
