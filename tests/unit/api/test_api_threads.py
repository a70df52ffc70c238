"""Threads of the application: a person who wants to pause waits for nobody."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI

from qguardarr.api.app import MOST_THREADS, application, lifespan
from qguardarr.api.security.access import Identity
from qguardarr.errors import Busy, QguardarrError
from tests.support import samples
from tests.support.api_site import settings
from tests.support.asgi import asked, eventually, scope


class Commands:
    """Commands that wait until `over` is set, except those that people need in a hurry."""

    def __init__(self) -> None:
        self.hanging: list[threading.Thread] = []
        self.over = threading.Event()

    def hang(self, *_: Any, **__: Any) -> Any:
        self.hanging.append(threading.current_thread())
        self.over.wait()
        raise Busy("enough")

    force_cycle = preview = reset_smoothing = page = hang

    def pause(self, *_: Any) -> None:
        pass

    def resume(self) -> None:
        pass

    def rollback(self, _reason: str) -> Any:
        raise Busy("at once")


def application_with(commands: Any, **more: Any) -> FastAPI:
    """Return an application that lets everybody do everything."""
    known = SimpleNamespace(require=lambda *_, **__: Identity("anyone", "anyone"))
    context: Any = SimpleNamespace(
        access=known, commands=commands, torrents=commands, status=samples.status, settings=settings(), **more
    )
    return application(context)


@pytest.mark.parametrize(
    ("wanted", "body", "status"),
    [("/api/v1/pause", b"", 200), ("/api/v1/resume", b"", 200), ("/rollback", b'{"confirm":true}', 409)],
)
@pytest.mark.parametrize(
    ("method", "slow"),
    [
        ("POST", "/cycle/force"),
        ("GET", "/preview/next-cycle"),
        ("POST", "/smoothing/reset"),
        ("GET", "/api/v1/torrents"),
    ],
)
def test_a_pause_does_not_wait_for_calls_that_wait_for_qbittorrent(
    method: str, slow: str, wanted: str, body: bytes, status: int
) -> None:
    commands = Commands()
    app = application_with(commands)

    async def run() -> None:
        async with lifespan(app):
            waiting = [asyncio.create_task(asked(app, scope(method, slow))) for _ in range(3 * MOST_THREADS)]
            try:
                await asyncio.wait_for(eventually(lambda: len(commands.hanging) == MOST_THREADS), 60)
                answer = await asyncio.wait_for(asked(app, scope("POST", wanted), body), 60)
                assert answer.status == status
                assert not any(task.done() for task in waiting)
            finally:
                commands.over.set()
            assert {answer.status for answer in await asyncio.gather(*waiting)} == {409}, "they queue up"

    asyncio.run(run())


def test_waiting_for_a_reload_takes_no_thread() -> None:
    count, waits, outcome = 3 * MOST_THREADS, [], Future[QguardarrError | None]()

    def reload() -> Future[QguardarrError | None]:
        waits.append(threading.current_thread())
        return outcome

    app = application_with(None, reload=reload)

    async def run() -> None:
        async with lifespan(app):
            asking = [asyncio.create_task(asked(app, scope("POST", "/config/reload"))) for _ in range(count)]
            await asyncio.wait_for(eventually(lambda: len(waits) == count), 60)
            outcome.set_result(Busy("enough"))
            assert {answer.status for answer in await asyncio.gather(*asking)} == {409}
        assert set(waits) == {threading.current_thread()}

    asyncio.run(run())
