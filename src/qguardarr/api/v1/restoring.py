"""Restore original limits of some torrents or all, or tell beforehand what that would come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field

from qguardarr.api.bodies import Incoming, JsonBody, JsonResponse, answers
from qguardarr.api.dependencies import ApiContext, Context, caller
from qguardarr.core.units import limit_or_none
from qguardarr.engine.commands import one_line
from qguardarr.engine.restoring import Outlook, RollbackReport
from qguardarr.engine.rollback import PAUSE_REASON

router = APIRouter(prefix="/api/v1/journal", tags=["Version 1"], dependencies=[Depends(caller)])

MOST_HASHES: Final = 1_000
"""Torrents that can be named in one call: 44 kB of the 64 that a body may have."""
MOST_ROWS: Final = 200
MOST_ORIGINALS: Final = 20

Hash = Annotated[str, Field(pattern="^[0-9a-fA-F]{40}$")]
Outcome = Literal["failed", "set_by_hand", "gone", "never_limited", "restored", "already_original"]


class RestoreBody(Incoming):
    """Which torrents, and how."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dry_run": True, "hashes": None, "pause": True}]})

    dry_run: Annotated[bool, Field(description="true: only tell what would become of each torrent; false: do it.")]
    hashes: Annotated[
        list[Hash] | None,
        Field(min_length=1, max_length=MOST_HASHES, description="Ids of torrents, 40 hex digits. null: all of them."),
    ] = None
    instance: Annotated[
        str | None,
        Field(max_length=40, description="Only of the qBittorrent with this name, if there are several. null: of all."),
    ] = None
    pause: Annotated[
        bool,
        Field(
            description="Pause first, so that limits stay as they are then; false: the next cycle decides again, and "
            "may limit the same torrents again."
        ),
    ] = True
    reason: Annotated[str, Field(max_length=200, description="Why; shown while it is paused.")] = PAUSE_REASON


class RestoreCounts(msgspec.Struct, kw_only=True):
    """Number of torrents by outcome."""

    restored: int
    """Get their original limit back, or have got it."""
    already_original: int
    """Have it already."""
    set_by_hand: int
    """Have a limit that a person set meanwhile; left so."""
    gone: int
    """Are not in qBittorrent; noted in case they return."""
    failed: int
    """Could not be looked at, or not be restored; noted for the next attempt."""
    never_limited: int
    """Have no limit of ours to take back."""


class OriginalGroup(msgspec.Struct, kw_only=True):
    """Torrents that get the same limit back."""

    original: int | None
    """The limit, bytes/s; null is unlimited."""
    torrents: int
    """Number of torrents."""


class RestoreRow(msgspec.Struct, kw_only=True):
    """One torrent. Limits in bytes/s; null is unlimited."""

    instance: str = ""
    """Name of the qBittorrent that has it; empty for the only one."""
    hash: str
    """qBittorrent's id of the torrent, 40 hex digits."""
    name: str | None
    """Its name; null if qBittorrent does not tell."""
    tracker: str | None
    """Id of the rule that takes it now; null if qBittorrent does not have it."""
    outcome: Outcome
    """See the counts."""
    known: bool
    """Whether the limit in force and the original are known."""
    limit: int | None
    """Limit in force before, bytes/s; null is unlimited."""
    original: int | None
    """Limit that its person had set, bytes/s; null is unlimited."""
    problem: str
    """Why it failed; empty if it did not."""


class Restoring(msgspec.Struct, kw_only=True):
    """The outcome, as it would be (`dry_run`) or as it is."""

    dry_run: bool
    """Nothing was written."""
    paused: str | None
    """Why writing is paused now; null if it is not."""
    counts: RestoreCounts
    """All torrents, by outcome."""
    originals: list[OriginalGroup]
    """Limits that come back, those of the most torrents first; 20 at most."""
    torrents: list[RestoreRow]
    """Torrents, those first that need a look; 200 at most."""
    problems: list[str]
    """What went wrong, in words, the most frequent first."""


@router.post(
    "/restore",
    summary="Restore original limits of some torrents or all",
    description="With `dry_run` nothing is written, and the answer is what would become of each torrent now.",
    responses=answers(Restoring, problems=(404, 503)),
)
def post_restore(context: Context, body: Annotated[RestoreBody, Depends(JsonBody(RestoreBody))]) -> JsonResponse:
    hashes = None if body.hashes is None else list(dict.fromkeys(name.lower() for name in body.hashes))
    before = context.commands.foresee(hashes, instance=body.instance)
    report = before.report if body.dry_run else _restore(context, body, hashes)
    return JsonResponse(_answer(context, before, report, dry_run=body.dry_run))


def _restore(context: ApiContext, body: RestoreBody, hashes: list[str] | None) -> RollbackReport:
    reason = one_line(body.reason) or PAUSE_REASON
    if hashes is None and body.pause:
        return context.commands.rollback(reason, instance=body.instance)
    return context.commands.reset(hashes, pause_reason=reason if body.pause else None, instance=body.instance)


def _answer(context: ApiContext, before: Outlook, report: RollbackReport, *, dry_run: bool) -> Restoring:
    counts = RestoreCounts(
        restored=len(report.restored),
        already_original=len(report.already_original),
        set_by_hand=len(report.by_hand),
        gone=len(report.gone),
        failed=len(report.failed),
        never_limited=len(report.untouched),
    )
    groups = Counter(before.originals[name] for name in report.restored if name in before.originals)
    shown = [found for found, _ in zip(_outcomes(report), range(MOST_ROWS), strict=False)]
    names = context.torrents.names([name.rpartition("/")[2] for name, _ in shown])
    return Restoring(
        dry_run=dry_run,
        paused=context.commands.paused(),
        counts=counts,
        originals=[
            OriginalGroup(original=limit_or_none(limit), torrents=count)
            for limit, count in groups.most_common(MOST_ORIGINALS)
        ],
        torrents=[
            _row(context, before, report, name, outcome, names.get(name.rpartition("/")[2])) for name, outcome in shown
        ],
        problems=_problems(report),
    )


def _outcomes(report: RollbackReport) -> Iterator[tuple[str, Outcome]]:
    groups: dict[Outcome, Iterable[str]] = {
        "failed": report.failed,
        "set_by_hand": report.by_hand,
        "gone": report.gone,
        "never_limited": report.untouched,
        "restored": report.restored,
        "already_original": report.already_original,
    }
    return ((name, outcome) for outcome, names in groups.items() for name in names)


def _row(  # one caller, which has them all
    context: ApiContext, before: Outlook, report: RollbackReport, key: str, outcome: Outcome, name: str | None
) -> RestoreRow:
    known = key in before.limits and key in before.originals
    instance, _, hash_ = key.rpartition("/")
    return RestoreRow(
        instance=instance,
        hash=hash_,
        name=name,
        tracker=context.torrents.rule_of(hash_, instance),
        outcome=outcome,
        known=known,
        limit=limit_or_none(before.limits[key]) if known else None,
        original=limit_or_none(before.originals[key]) if known else None,
        problem=report.failed.get(key, ""),
    )


def _problems(report: RollbackReport) -> list[str]:
    found = [reason for reason, _ in Counter(report.failed.values()).most_common(5)]
    if report.unnoted:
        found.append(f"{len(report.unnoted)} restored torrents could not be noted: {report.unnoted_why}")
    return found
