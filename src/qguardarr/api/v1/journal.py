"""The journal: every limit that was written."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends
from fastapi import Query as InQuery
from pydantic import Field

from qguardarr.api.answers import JsonResponse, answers
from qguardarr.api.bodies import Query
from qguardarr.api.security.dependencies import Context, caller
from qguardarr.core.model import UNLIMITED
from qguardarr.core.units import limit_or_none

router = APIRouter(prefix="/api/v1", tags=["Version 1"], dependencies=[Depends(caller)])


class JournalQuery(Query):
    """Which lines of the journal."""

    hash: Annotated[
        str | None,
        Field(pattern="^[0-9a-fA-F]{40}$", description="Only lines of this torrent: its id, 40 hex digits."),
    ] = None
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
    hash: str
    """qBittorrent's id of the torrent, 40 hex digits."""
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


@router.get("/journal", summary="What was written, newest first", responses=answers(JournalPage))
def get_journal(context: Context, query: Annotated[JournalQuery, InQuery()]) -> JsonResponse:
    hash_ = None if query.hash is None else query.hash.lower()
    lines = context.journal.history(hash=hash_, limit=query.limit + 1, before_id=query.before_id)
    more, lines = len(lines) > query.limit, lines[: query.limit]
    rows = [
        JournalRow(
            id=line.id,
            at=line.at,
            hash=line.hash,
            old=limit_or_none(line.old or UNLIMITED),
            new=limit_or_none(line.new),
            status=line.status,  # type: ignore[arg-type] # one of the journal's own words
            reason=line.reason,
        )
        for line in lines
    ]
    return JsonResponse(JournalPage(lines=rows, next_before_id=rows[-1].id if more else None))
