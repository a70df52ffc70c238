"""Dependencies of routes: the running daemon, and who calls.

Those that say who calls read the body as well, within the bounds of `middleware.BodyBound`: after it is known who asks,
so that no stranger is waited for, and before an answer begins, so that a body that is too large is refused even where
it is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

import anyio
from fastapi import Depends
from starlette.requests import Request

from qguardarr.api.events import Events
from qguardarr.api.problems import invalid
from qguardarr.api.security.access import Access, Identity
from qguardarr.engine.commands import Commands
from qguardarr.engine.feature_ports import Completions, MetricsPage, RateHistory, UsageStore
from qguardarr.engine.ports import LimitHistory
from qguardarr.engine.settings import ApiSettings
from qguardarr.engine.status import Status
from qguardarr.engine.torrent_list import TorrentQuery
from qguardarr.engine.triggers import Triggers
from qguardarr.errors import QguardarrError

if TYPE_CHECKING:
    from qguardarr.engine.workshop import Workshop


@dataclass(frozen=True, kw_only=True)
class ApiContext:
    """Everything that handlers use. For any thread: what they are handed cannot change."""

    settings: ApiSettings
    access: Access
    events: Events
    status: Callable[[], Status]
    """The status as it is now."""
    torrents: TorrentQuery
    commands: Commands
    reload: Callable[[], Future[QguardarrError | None]]
    """Ask for the configuration to be read again. The outcome: why nothing was changed, or None."""
    configuration: Callable[[], str]
    """The configuration in force as JSON, without secrets."""
    origins: Callable[[], str]
    """Where its values come from as JSON; see `qguardarr.engine.origins`."""
    journal: LimitHistory
    triggers: Triggers
    completions: Completions
    rates: RateHistory
    usage: UsageStore
    metrics: MetricsPage
    workshop: Workshop


async def context_of(request: Request) -> ApiContext:
    """Return the view of the running daemon."""
    return cast("ApiContext", request.app.state.context)


async def slow_threads(request: Request) -> anyio.CapacityLimiter:
    """Return the limit on threads for calls that may take seconds; see `app.lifespan`."""
    return cast("anyio.CapacityLimiter", request.app.state.slow_threads)


Context = Annotated[ApiContext, Depends(context_of)]
SlowThreads = Annotated[anyio.CapacityLimiter, Depends(slow_threads)]


async def caller(request: Request, context: Context) -> Identity:
    """Return who calls, by key or session. `Problem` 401 or 403 for everybody else; see `Access.require`."""
    who = context.access.require(request.scope)
    _check_single(request)
    await request.body()
    return who


async def caller_if_known(request: Request, context: Context) -> Identity | None:
    """Return who calls; None for somebody without credentials, or with wrong ones."""
    who = context.access.identify(request.scope)
    await request.body()
    return who


async def anybody(request: Request) -> None:
    """Let everybody in."""
    await request.body()


async def metrics_reader(request: Request, context: Context) -> None:
    """Let in who has a key or session, or everybody if `http.metrics` is `open`."""
    if not context.settings.metrics_open:
        context.access.require(request.scope)
    await request.body()


Caller = Annotated[Identity, Depends(caller)]
CallerIfKnown = Annotated[Identity | None, Depends(caller_if_known)]


def _check_single(request: Request) -> None:
    """Refuse a parameter that is given twice: nobody could tell which one counts."""
    names = [name for name, _ in request.query_params.multi_items()]
    if len(names) != len(set(names)):
        twice = next(name for name in names if names.count(name) > 1)
        raise invalid("given more than once", "query", twice)
