"""Pages of the API as a browser asks for them, and what stands in them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any, Final

from tests.support.api_client import ServedApi

BROWSER: Final = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def browse(api: ServedApi, path: str, key: str | None = None, accept: str = BROWSER, **rest: Any) -> Any:
    return api.client.get(path, key=key, headers={"Accept": accept}, **rest)


class Page(HTMLParser):
    """Tags and words of a page; checks that all that is opened is closed."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(content.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.words += data

    @property
    def links(self) -> list[str]:
        return [attributes["href"] or "" for tag, attributes in self.tags if tag == "a"]
