"""What the next cycle would write, and which rule takes an announce URL."""

from __future__ import annotations

from typing import Annotated, Final

import anyio.to_thread
import msgspec
from fastapi import APIRouter, Depends
from fastapi import Query as InQuery
from pydantic import Field

from qguardarr.api.answers import JsonResponse, answers
from qguardarr.api.bodies import Query
from qguardarr.api.compat.units import mib, old_limit, words
from qguardarr.api.problems import invalid
from qguardarr.api.security.dependencies import Context, SlowThreads, caller
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile.decide import Decision
from qguardarr.core.select.matcher import host_of

router = APIRouter(tags=["Paths of the earlier Qguardarr"], dependencies=[Depends(caller)])

_TOP: Final = 10


class PreviewTracker(msgspec.Struct, kw_only=True):
    """bytes/s; -1 is unlimited."""

    base_cap: int
    """Cap in force, bytes/s; -1 is unlimited."""
    effective_cap: int
    """What it may use now, with what it borrows and without what it pays back, bytes/s; -1 is unlimited."""
    borrowed: int
    """What other trackers lend it of that, bytes/s."""


class PreviewTrackerSummary(msgspec.Struct, kw_only=True):
    """The same for people; `…_h` in words."""

    id: str
    """Id of the rule."""
    base_cap_mbps: float | None
    """MiB/s; null is unlimited."""
    base_cap_h: str
    """Cap in force, with its unit."""
    effective_cap_mbps: float | None
    """MiB/s; null is unlimited."""
    effective_cap_h: str
    """What it may use now, with its unit."""
    borrowed_mbps: float
    """MiB/s."""
    borrowed_h: str
    """What other trackers lend it, with its unit."""


class PreviewChange(msgspec.Struct, kw_only=True):
    """One of the largest changes."""

    hash: str
    """qBittorrent's id of the torrent, 40 hex digits."""
    new_limit_kib: int
    """New limit, KiB/s; -1 is unlimited."""
    new_limit_h: str
    """The same, with its unit."""
    delta_kib: int | None
    """New limit less the present one, KiB/s; null if one of them is unlimited."""
    delta_h: str | None
    """The same, with its unit."""
    reason: str
    """Why, in words."""


class PreviewSummary(msgspec.Struct, kw_only=True):
    """For people."""

    trackers: list[PreviewTrackerSummary]
    """All trackers."""
    top_changes: list[PreviewChange]
    """The ten largest changes."""


class Preview(msgspec.Struct, kw_only=True):
    """What the next cycle would write."""

    strategy: str
    """How caps are divided: equal, weighted or soft."""
    torrents_considered: int
    """Number of torrents looked at."""
    proposed_count: int
    """Number of limits that would be written."""
    proposed_changes: dict[str, int]
    """New limit by torrent, bytes/s; -1 is unlimited."""
    trackers: dict[str, PreviewTracker]
    """Caps, by id of the rule."""
    summary: PreviewSummary
    """The same in words."""


class MatchQuery(Query):
    """A URL to try."""

    url: Annotated[str, Field(max_length=4096, description="Announce URL.")]
    detailed: Annotated[bool, Field(description="Also say which patterns match.")] = False


class PatternMatch(msgspec.Struct, kw_only=True):
    """A rule, and whether it matches by itself."""

    tracker_id: str
    """Id of the rule."""
    pattern: str
    """Its regular expression."""
    matches: bool
    """Whether the expression by itself is found in the URL."""


class Match(msgspec.Struct, kw_only=True):
    """The rule of a URL."""

    url: str
    """Host only: the rest of an announce URL is a secret."""
    matched_tracker: str
    """Id of the rule that takes the URL."""
    matches: list[PatternMatch]
    """All rules, with `detailed`; else none."""


@router.get(
    "/preview/next-cycle",
    summary="What the next cycle would write",
    responses=answers(Preview, problems=(409, 502, 503)),
)
async def get_preview(context: Context, slow_threads: SlowThreads) -> JsonResponse:
    def preview() -> JsonResponse:
        decision = context.commands.preview()
        changes = decision.plan.changes
        return JsonResponse(
            Preview(
                strategy=context.status().strategy,
                torrents_considered=sum(report.torrents for report in decision.trackers),
                proposed_count=len(changes),
                proposed_changes={change.hash: old_limit(change.new) for change in changes},
                trackers={
                    r.id: PreviewTracker(
                        base_cap=old_limit(r.cap), effective_cap=old_limit(r.effective), borrowed=int(r.borrowed)
                    )
                    for r in decision.trackers
                },
                summary=PreviewSummary(trackers=_summary(decision), top_changes=_top(decision)),
            )
        )

    return await anyio.to_thread.run_sync(preview, limiter=slow_threads)


@router.get("/match/test", summary="Which rule takes an announce URL", responses=answers(Match))
async def get_match(context: Context, query: Annotated[MatchQuery, InQuery()]) -> JsonResponse:
    host = host_of(query.url)
    if not host:
        raise invalid("not an announce URL such as https://tracker.example.org/announce", "query", "url")
    found = context.torrents.match(query.url)
    return JsonResponse(
        Match(
            url=f"{query.url.partition('://')[0].strip().lower()}://{host}/…",
            matched_tracker=next(rule.id for rule, matches in found if matches),
            matches=[
                PatternMatch(tracker_id=rule.id, pattern=rule.pattern, matches=matches)
                for rule, matches in found
                if query.detailed
            ],
        )
    )


def _summary(decision: Decision) -> list[PreviewTrackerSummary]:
    return [
        PreviewTrackerSummary(
            id=report.id,
            base_cap_mbps=mib(report.cap),
            base_cap_h=words(report.cap),
            effective_cap_mbps=mib(report.effective),
            effective_cap_h=words(report.effective),
            borrowed_mbps=mib(report.borrowed) or 0.0,
            borrowed_h=words(report.borrowed),
        )
        for report in decision.trackers
    ]


def _top(decision: Decision) -> list[PreviewChange]:
    def size(change: Change) -> int:
        return abs(min(change.new, 10**9) - min(change.old, 10**9))

    return [
        PreviewChange(
            hash=change.hash,
            new_limit_kib=-1 if change.new >= UNLIMITED else change.new // 1024,
            new_limit_h=words(change.new),
            delta_kib=(delta := None if UNLIMITED in (change.new, change.old) else (change.new - change.old) // 1024),
            delta_h=None if delta is None else f"{delta} KiB/s",
            reason=change.reason,
        )
        for change in sorted(decision.plan.changes, key=size, reverse=True)[:_TOP]
    ]
