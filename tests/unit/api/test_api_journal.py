"""The journal searched by name: however many lines are looked at, names are waited for once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from types import SimpleNamespace
from typing import Any

import msgspec
from fastapi import FastAPI

from qguardarr.api.app import application, lifespan
from qguardarr.api.security.access import Identity
from qguardarr.engine.ports import HistoryEntry
from tests.support import samples
from tests.support.api_site import settings
from tests.support.asgi import asked, scope


class Browser:
    """Every fourth torrent has the name that is looked for."""

    def __init__(self) -> None:
        self.searched: list[str] = []

    def named(self, text: str) -> Collection[str]:
        self.searched.append(text)
        return {hash_of_line(line) for line in range(0, 30_000, 4)}

    def names(self, hashes: Iterable[str]) -> dict[str, str]:
        return {hash_: f"A Film {int(hash_, 16)}" for hash_ in hashes}


def hash_of_line(line: int) -> str:
    return f"{line:040x}"


def history(*, limit: int, before_id: int | None, **_: Any) -> list[HistoryEntry]:
    first = 30_000 if before_id is None else before_id - 1
    return [
        HistoryEntry(line, 1000.0, hash_of_line(line), 1, 2, "applied", "") for line in range(first, first - limit, -1)
    ]


def site(browser: Browser) -> FastAPI:
    def names(_hashes: Any) -> dict[str, str]:
        raise AssertionError("asked for names a second time")

    context: Any = SimpleNamespace(
        access=SimpleNamespace(require=lambda *_, **__: Identity("anyone", "anyone")),
        settings=settings(),
        status=samples.status,
        journal=SimpleNamespace(history=history),
        torrents=SimpleNamespace(names=names, rule_of=lambda hash_: "odd" if int(hash_, 16) % 8 else "even"),
        workshop=SimpleNamespace(browser=browser),
    )
    return application(context)


def found(query: str) -> tuple[Browser, Any]:
    browser = Browser()

    async def run() -> Any:
        app = site(browser)
        async with lifespan(app):
            answer = await asked(app, scope("GET", "/api/v1/journal", query=query.encode()))
        assert answer.status == 200
        return msgspec.json.decode(answer.body)

    return browser, asyncio.run(run())


def test_names_are_read_once_for_a_search() -> None:
    browser, page = found("search=A+film&names=true&limit=1000&tracker=even")

    assert browser.searched == ["a film"]
    assert [line["id"] for line in page["lines"][:3]] == [29_992, 29_984, 29_976]
    assert len(page["lines"]) == 1000
    assert page["lines"][0]["name"] == "A Film 29992"


def test_a_search_for_blanks_is_none() -> None:
    browser, page = found("search=++&limit=10")

    assert browser.searched == []
    assert len(page["lines"]) == 10
