"""What is new: torrents, trackers, the journal, the history of rates, temporary caps, pause and resume, and events."""

from __future__ import annotations

import time
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from qguardarr.api import examples
from qguardarr.api.endpoint import Call, Endpoint
from qguardarr.api.parts import ApiContext
from qguardarr.api.problems import Problem, invalid
from qguardarr.core.model import UNLIMITED
from qguardarr.core.units import SpeedError, parse_speed
from qguardarr.engine.commands import UnknownTracker, one_line
from qguardarr.engine.health import health
from qguardarr.engine.status import TOLD_OF, Status, TrackerRow
from qguardarr.engine.torrent_list import Sort, TorrentFilter, TorrentPage, TorrentRow, limit_or_none

LONGEST_OVERRIDE_S: Final = 30 * 86400.0
_TAG: Final = "Version 1"
_DEFAULT_SPAN_S: Final = 6 * 3600.0

Hash = Annotated[str, Meta(pattern="^[0-9a-fA-F]{40}$")]
Id = Annotated[str, Meta(min_length=1, max_length=200)]
UnixTime = Annotated[float, Meta(ge=0, le=1e11)]


class HashPath(msgspec.Struct, kw_only=True):
    """A torrent."""

    hash: Hash
    """qBittorrent's id of the torrent, 40 hex digits."""


class TrackerPath(msgspec.Struct, kw_only=True):
    """A rule."""

    tracker: Id
    """Id of the rule."""


class TorrentsQuery(TorrentFilter, frozen=True, kw_only=True):
    """A filter, an order and a page."""

    hash_prefix: Annotated[str, Meta(max_length=40)] = ""
    """Only those whose hash begins with these digits."""
    sort: Sort = "rate"
    """What the list is sorted by."""
    order: Literal["asc", "desc"] = "desc"
    """`desc`: largest first."""
    offset: Annotated[int, Meta(ge=0, le=10_000_000)] = 0
    """Number of torrents to leave out at the beginning."""
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    """Most torrents on a page."""
    names: bool = True
    """Ask qBittorrent for names that are not known yet."""


class JournalQuery(msgspec.Struct, kw_only=True):
    """Which lines of the journal."""

    hash: Hash | None = None
    """Only lines of this torrent: its id, 40 hex digits."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    """Most lines in an answer."""
    before_id: Annotated[int, Meta(ge=1, le=2**62)] | None = None
    """Continue a list: the `next_before_id` of the last answer."""


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


class RatesQuery(msgspec.Struct, kw_only=True):
    """Which stretch of time."""

    tracker: Id | None = None
    """Id of a rule. Default: all of them."""
    start: UnixTime | None = None
    """Beginning, Unix seconds. Default: six hours before `end`."""
    end: UnixTime | None = None
    """End, Unix seconds. Default: now."""
    step: Annotated[float, Meta(ge=60, le=86400)] | None = None
    """Seconds that a point covers. Default: the finest that fits."""


class RateRow(msgspec.Struct, kw_only=True):
    """A stretch of time. Rates in bytes/s; null is unlimited."""

    at: float
    """Its beginning, Unix seconds."""
    seconds: float
    """Seconds of it that were watched."""
    rate: float
    """Mean rate, bytes/s."""
    peak: float
    """Highest rate over 10 s, bytes/s."""
    cap: float | None
    """Cap in force at its end, bytes/s; null is unlimited."""
    effective: float | None
    """What the tracker was allowed to use, bytes/s; null is unlimited."""
    over_cap_s: float
    """Seconds of it in which the rate over 10 s was above 1.02 × the effective cap."""


class RateHistory(msgspec.Struct, kw_only=True):
    """Points in time, oldest first, by tracker."""

    trackers: dict[str, list[RateRow]]
    """Points, by id of the rule."""


class OverrideBody(msgspec.Struct, kw_only=True):
    """Another cap for a while."""

    cap: int | float | Annotated[str, Meta(max_length=60)]
    """bytes/s, at least 1000; or words as in the configuration: `10 MB/s`, `unlimited`."""
    seconds: Annotated[float, Meta(gt=0, le=LONGEST_OVERRIDE_S)]
    """How long it is in force, seconds."""


class OverrideRow(msgspec.Struct, kw_only=True):
    """A temporary cap."""

    tracker: str
    """Id of the rule."""
    cap: int | None
    """bytes/s; null is unlimited."""
    until: float
    """When it ends, Unix seconds."""


class PauseBody(msgspec.Struct, kw_only=True):
    """What a pause asks for."""

    reason: Annotated[str, Meta(max_length=200)] = "paused through the API"
    """Why; shown while it is paused. Line ends and control characters become spaces."""


class PauseState(msgspec.Struct, kw_only=True):
    """Whether it is paused."""

    paused: str | None
    """Why it is paused; null if it is not."""


class Widget(msgspec.Struct, kw_only=True):
    """The picture in flat numbers and texts, for a dashboard's widget. Speeds in bytes/s."""

    status: Literal["starting", "healthy", "degraded", "unhealthy"]
    """As in `/health`."""
    state: str
    """As in `/api/v1/status`: starting, waiting, holding, observing, paused or failing."""
    problem: str
    """What is wrong, in words; empty if nothing is."""
    upload: int
    """Upload of all torrents over the last 10 s, bytes/s."""
    capped_upload: int
    """The part of it that goes to trackers with a cap, bytes/s."""
    cap: int
    """Sum of the caps in force, bytes/s; 0 if no tracker has one."""
    used_percent: float
    """`capped_upload` ÷ `cap`, percent; 0 without a cap."""
    uploaded: int
    """Bytes uploaded since the start."""
    trackers: int
    """Number of trackers with a cap."""
    over_cap: int
    """Number of trackers that ran above their cap by more than 5 % over the last 60 s."""
    torrents: int
    """Number of torrents known."""
    active_torrents: int
    """Number of torrents that upload."""
    limited_torrents: int
    """Number of torrents whose limit is ours now."""
    qbittorrent: str
    """qBittorrent's version; empty before it has answered."""


class ResetTorrents(msgspec.Struct, kw_only=True):
    """What became of a torrent's limit."""

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


# -- handlers ---------------------------------------------------------------------------------------------------------


def get_status(parts: ApiContext, _call: Call) -> Status:
    return parts.status()


def get_widget(parts: ApiContext, _call: Call) -> Widget:
    status = parts.status()
    found = health(status, time.time())
    capped = [row for row in status.trackers if row.cap is not None]
    cap, used = sum(row.cap or 0 for row in capped), sum(row.rate_10s for row in capped)
    return Widget(
        status=found.status,
        state=status.state,
        problem=found.reason or next(iter(found.troubles), ""),
        upload=round(sum(row.rate_10s for row in status.trackers)),
        capped_upload=round(used),
        cap=cap,
        used_percent=round(100 * used / cap, 1) if cap else 0.0,
        uploaded=round(sum(row.total_bytes for row in status.trackers)),
        trackers=len(capped),
        over_cap=sum(row.rate_60s > TOLD_OF * (row.cap or 0) for row in capped),
        torrents=status.torrents,
        active_torrents=sum(row.active for row in status.trackers),
        limited_torrents=status.limited,
        qbittorrent=status.qbittorrent_version or "",
    )


def get_torrents(parts: ApiContext, call: Call) -> TorrentPage:
    query = call.query
    descending = query.order == "desc"
    return parts.torrents.page(
        query, sort=query.sort, descending=descending, offset=query.offset, limit=query.limit, names=query.names
    )


def get_torrent(parts: ApiContext, call: Call) -> TorrentRow:
    found = parts.torrents.one(call.path.hash.lower())
    if found is None:
        raise Problem(404, "qBittorrent has no torrent with this hash, as far as is known")
    return found


def post_torrent_reset(parts: ApiContext, call: Call) -> ResetTorrents:
    report = parts.commands.reset([call.path.hash.lower()])
    return ResetTorrents(
        restored=[*report.restored, *report.already_original],
        set_by_hand=list(report.by_hand),
        gone=list(report.gone),
        failed=report.failed,
        never_limited=list(report.untouched),
    )


def get_trackers(parts: ApiContext, _call: Call) -> list[TrackerRow]:
    return list(parts.status().trackers)


def get_tracker(parts: ApiContext, call: Call) -> TrackerRow:
    found = next((row for row in parts.status().trackers if row.id == call.path.tracker), None)
    if found is None:
        raise Problem(404, "there is no tracker with this id")
    return found


def get_overrides(parts: ApiContext, _call: Call) -> list[OverrideRow]:
    return [
        OverrideRow(tracker=tracker, cap=limit_or_none(override.cap), until=override.until)
        for tracker, override in dict(parts.commands.overrides).items()
    ]


def put_override(parts: ApiContext, call: Call) -> OverrideRow:
    try:
        cap = parse_speed(call.body.cap)
    except SpeedError as error:
        raise invalid(str(error), "body", "cap") from None
    tracker = call.path.tracker
    try:
        override = parts.commands.set_override(tracker, cap, call.body.seconds)
    except UnknownTracker as error:
        raise Problem(404, str(error)) from None
    return OverrideRow(tracker=tracker, cap=limit_or_none(override.cap), until=override.until)


def delete_override(parts: ApiContext, call: Call) -> None:
    try:
        parts.commands.clear_override(call.path.tracker)
    except UnknownTracker as error:
        raise Problem(404, str(error)) from None


def get_journal(parts: ApiContext, call: Call) -> JournalPage:
    query = call.query
    hash_ = None if query.hash is None else query.hash.lower()
    lines = parts.journal.history(hash=hash_, limit=query.limit + 1, before_id=query.before_id)
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
    return JournalPage(lines=rows, next_before_id=rows[-1].id if more else None)


def get_history(parts: ApiContext, call: Call) -> RateHistory:
    query = call.query
    end = time.time() if query.end is None else query.end
    start = end - _DEFAULT_SPAN_S if query.start is None else query.start
    if start >= end:
        raise invalid("must be before 'end'", "query", "start")
    trackers: dict[str, list[RateRow]] = {}
    for point in parts.rates.rates(query.tracker, start, end, query.step):
        trackers.setdefault(point.tracker, []).append(
            RateRow(
                at=point.at,
                seconds=point.seconds,
                rate=point.bytes / point.seconds if point.seconds > 0 else 0.0,
                peak=point.peak,
                cap=point.cap,
                effective=point.effective,
                over_cap_s=point.over_s,
            )
        )
    return RateHistory(trackers=trackers)


def post_pause(parts: ApiContext, call: Call) -> PauseState:
    reason = one_line(call.body.reason) or "paused through the API"
    parts.commands.pause(reason)
    return PauseState(paused=reason)


def post_resume(parts: ApiContext, _call: Call) -> PauseState:
    parts.commands.resume()
    return PauseState(paused=None)


ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/api/v1/status", handler=get_status, summary="The whole picture after the last cycle",
        tag=_TAG, answer=Status, example=examples.STATUS,
    ),
    Endpoint(
        method="GET", path="/api/v1/widget", handler=get_widget, summary="Flat figures for a dashboard's widget",
        tag=_TAG, answer=Widget, example=examples.WIDGET,
    ),
    Endpoint(
        method="GET", path="/api/v1/torrents", handler=get_torrents, summary="Torrents: limit, rate, demand, reason",
        tag=_TAG, answer=TorrentPage, query_type=TorrentsQuery, blocking=True, slow=True,
        example=examples.TORRENTS,
    ),
    Endpoint(
        method="GET", path="/api/v1/torrents/{hash}", handler=get_torrent, summary="One torrent", tag=_TAG,
        answer=TorrentRow, path_type=HashPath, blocking=True, slow=True, problems=(404,), example=examples.TORRENT,
    ),
    Endpoint(
        method="POST", path="/api/v1/torrents/{hash}/reset", handler=post_torrent_reset,
        summary="Put a torrent's own limit back", description="The next cycle decides anew.", tag=_TAG,
        answer=ResetTorrents, path_type=HashPath, blocking=True, example=examples.TORRENT_RESET,
    ),
    Endpoint(
        method="GET", path="/api/v1/trackers", handler=get_trackers, summary="Trackers: caps, rates, demand", tag=_TAG,
        answer=list[TrackerRow], example=[examples.TRACKER],
    ),
    Endpoint(
        method="GET", path="/api/v1/overrides", handler=get_overrides, summary="Temporary caps", tag=_TAG,
        answer=list[OverrideRow], example=[examples.OVERRIDE],
    ),
    Endpoint(
        method="PUT", path="/api/v1/trackers/{tracker:path}/override", handler=put_override,
        summary="Another cap for a while", description="Outlives restarts; ends by itself.", tag=_TAG,
        answer=OverrideRow, path_type=TrackerPath, body_type=OverrideBody,
        body_example={"cap": "2 MB/s", "seconds": 3600}, blocking=True, problems=(404,), example=examples.OVERRIDE,
    ),
    Endpoint(
        method="DELETE", path="/api/v1/trackers/{tracker:path}/override", handler=delete_override,
        summary="The configured cap counts again", tag=_TAG, answer=None, status=204, path_type=TrackerPath,
        blocking=True, problems=(404,),
    ),
    Endpoint(
        method="GET", path="/api/v1/trackers/{tracker:path}", handler=get_tracker, summary="One tracker", tag=_TAG,
        answer=TrackerRow, path_type=TrackerPath, problems=(404,), example=examples.TRACKER,
    ),
    Endpoint(
        method="GET", path="/api/v1/journal", handler=get_journal, summary="What was written, newest first", tag=_TAG,
        answer=JournalPage, query_type=JournalQuery, blocking=True, example=examples.JOURNAL,
    ),
    Endpoint(
        method="GET", path="/api/v1/history", handler=get_history, summary="Rates of trackers over time", tag=_TAG,
        description="Minutes for two days, ten minutes for a month, hours for a year; at most 2,000 points a tracker.",
        answer=RateHistory, query_type=RatesQuery, blocking=True, example=examples.HISTORY,
    ),
    Endpoint(
        method="POST", path="/api/v1/pause", handler=post_pause, summary="Stop writing; limits in force stay", tag=_TAG,
        answer=PauseState, body_type=PauseBody, body_required=False, body_example={"reason": "maintenance"},
        blocking=True, example=examples.PAUSED,
    ),
    Endpoint(
        method="POST", path="/api/v1/resume", handler=post_resume, summary="Write again", tag=_TAG, answer=PauseState,
        blocking=True, example=examples.RESUMED,
    ),
)  # fmt: skip
