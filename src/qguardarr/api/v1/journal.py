"""Every limit that was written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Final, Literal

import anyio.to_thread
import msgspec
from fastapi import APIRouter, Depends
from fastapi import Query as InQuery
from pydantic import Field

from qguardarr.api.bodies import JsonResponse, Query, answers
from qguardarr.api.dependencies import ApiContext, Context, SlowThreads, caller
from qguardarr.core.model import UNLIMITED
from qguardarr.core.units import limit_or_none
from qguardarr.engine.ports import HistoryEntry, HistoryFilter

router = APIRouter(prefix="/api/v1", tags=["Version 1"], dependencies=[Depends(caller)])

_LAST_TIME: Final = 1e11
"""Unix seconds, in the year 5138."""
_MOST_LOOKED_AT: Final = 20_000
"""Lines that are looked at for one answer if a tracker or a name is asked for: 0.1 s."""
_AT_ONCE: Final = 1_000


class JournalQuery(Query):
    """Which lines of the journal."""

    hash: Annotated[
        str | None,
        Field(pattern="^[0-9a-fA-F]{40}$", description="Only lines of this torrent: its id, 40 hex digits."),
    ] = None
    hash_prefix: Annotated[
        str,
        Field(pattern="^[0-9a-fA-F]{0,40}$", description="Only lines of torrents whose hash begins with these digits."),
    ] = ""
    instance: Annotated[
        str | None,
        Field(max_length=40, description="Only lines of the qBittorrent with this name, if there are several."),
    ] = None
    tracker: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            description="Only lines of torrents that the rule with this id takes now. 20,000 lines are looked at for "
            "an answer, which may have none and go on all the same.",
        ),
    ] = None
    search: Annotated[
        str,
        Field(
            max_length=200,
            description="Only lines of torrents whose name has each of these words, or whose hash begins with the "
            "text. 20,000 lines are looked at for an answer.",
        ),
    ] = ""
    status: Annotated[
        Literal["intended", "applied", "failed", "restored", "adopted"] | None,
        Field(description="Only lines with this status."),
    ] = None
    start: Annotated[
        float | None, Field(ge=0, le=_LAST_TIME, description="Only lines from this time on, Unix seconds.")
    ] = None
    end: Annotated[float | None, Field(ge=0, le=_LAST_TIME, description="Only lines before it, Unix seconds.")] = None
    names: Annotated[bool, Field(description="Ask qBittorrent for names of torrents.")] = False
    limit: Annotated[int, Field(ge=1, le=1000, description="Most lines in an answer.")] = 100
    before_id: Annotated[
        int | None,
        Field(ge=1, le=2**62, description="Continue a list: the `next_before_id` of the last answer."),
    ] = None


class JournalRow(msgspec.Struct, kw_only=True):
    """One line of the journal. Limits in bytes/s; null is unlimited."""

    id: int
    """Number of the line."""
    at: float
    """When, Unix seconds."""
    instance: str = ""
    """Name of the qBittorrent that has the torrent; empty for the only one."""
    hash: str
    """qBittorrent's id of the torrent, 40 hex digits."""
    name: str | None = None
    """Its name; null if it was not asked for, or qBittorrent does not tell."""
    tracker: str | None = None
    """Id of the rule that takes it now; null if qBittorrent does not have it."""
    old: int | None
    """Limit before, bytes/s; null is unlimited."""
    new: int | None
    """Limit after, bytes/s; null is unlimited."""
    status: Literal["intended", "applied", "failed", "restored", "adopted"]
    """intended: about to be sent. applied: qBittorrent took it. failed: it did not. restored: the original was written
    back. adopted: a limit that a person had set became the original."""
    reason: str
    """Why, in words."""


class JournalPage(msgspec.Struct, kw_only=True):
    """Newest first."""

    lines: list[JournalRow]
    """The lines."""
    next_before_id: int | None
    """What to give as `before_id` for the next page; null: there are no older lines."""


@router.get("/journal", summary="What was written, newest first", responses=answers(JournalPage, problems=(503,)))
async def get_journal(
    context: Context, query: Annotated[JournalQuery, InQuery()], slow_threads: SlowThreads
) -> JsonResponse:
    return await anyio.to_thread.run_sync(lambda: JsonResponse(_page(context, query)), limiter=slow_threads)


def _page(context: ApiContext, query: JournalQuery) -> JournalPage:
    lines, next_id = _found(context, query)
    hashes = list(dict.fromkeys(line.hash for line in lines))
    names: Mapping[str, str] = {}
    if query.names:  # a search has just read them all, and waits no second time
        names = context.workshop.browser.names(hashes) if query.search.strip() else context.torrents.names(hashes)
    trackers = {hash_: context.torrents.rule_of(hash_) for hash_ in hashes}
    rows = [
        JournalRow(
            id=line.id,
            at=line.at,
            instance=line.instance,
            hash=line.hash,
            name=names.get(line.hash),
            tracker=trackers[line.hash],
            old=limit_or_none(line.old or UNLIMITED),
            new=limit_or_none(line.new),
            status=line.status,  # type: ignore[arg-type] # one of the journal's own words
            reason=line.reason,
        )
        for line in lines
    ]
    return JournalPage(lines=rows, next_before_id=next_id)


def _found(context: ApiContext, query: JournalQuery) -> tuple[list[HistoryEntry], int | None]:
    """Return lines, newest first, and the number from which to go on; None if there are no older ones.

    The journal knows neither rules nor names. Where these are asked for, it is read in pieces.
    """
    text = query.search.strip().casefold()
    if query.tracker is None and not text:
        lines = _lines(context, query, query.limit + 1, query.before_id)
        return lines[: query.limit], lines[query.limit - 1].id if len(lines) > query.limit else None
    found: list[HistoryEntry] = []
    before_id = query.before_id
    named = context.workshop.browser.named(text) if text else ()
    for _ in range(_MOST_LOOKED_AT // _AT_ONCE):
        lines = _lines(context, query, _AT_ONCE, before_id)
        for line in _passing(context, query, text, named, lines):
            if len(found) == query.limit:
                return found, found[-1].id
            found.append(line)
        if len(lines) < _AT_ONCE:
            return found, None
        before_id = lines[-1].id
    return found, before_id


def _lines(context: ApiContext, query: JournalQuery, limit: int, before_id: int | None) -> list[HistoryEntry]:
    wanted = HistoryFilter(
        hash_prefix=query.hash_prefix.lower(),
        start=query.start,
        end=query.end,
        status=query.status or "",
        instance=query.instance,
    )
    return context.journal.history(
        hash=query.hash and query.hash.lower(), limit=limit, before_id=before_id, wanted=wanted
    )


def _passing(
    context: ApiContext, query: JournalQuery, text: str, named: Collection[str], lines: list[HistoryEntry]
) -> Iterator[HistoryEntry]:
    """Yield the lines of torrents that the rule takes, and that are among the `named` ones or have such a hash."""
    rule_of = context.torrents.rule_of
    hashes = dict.fromkeys(line.hash for line in lines)
    passing = {hash_ for hash_ in hashes if query.tracker is None or rule_of(hash_) == query.tracker}
    if text:
        passing = {hash_ for hash_ in passing if hash_ in named or hash_.startswith(text)}
    return (line for line in lines if line.hash in passing)
