"""The address that the log tells a person to open."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from qguardarr.api.server import Listening, page_address


@pytest.mark.parametrize(
    ("host", "base_path", "wanted"),
    [
        ("127.0.0.1", "", "http://127.0.0.1:{port}/"),
        ("127.0.0.1", "/guard", "http://127.0.0.1:{port}/guard/"),
        ("0.0.0.0", "", "http://<this machine>:{port}/"),  # all addresses
        ("::1", "", "http://[::1]:{port}/"),
        ("::", "/guard", "http://<this machine>:{port}/guard/"),
    ],
)
def test_the_page_has_an_address_for_a_person(host: str, base_path: str, wanted: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("this machine has no IPv6")
    listening = Listening([opened])
    with closing(listening):
        assert page_address(listening, base_path) == wanted.format(port=listening.port)


def test_nothing_that_listens_has_no_page() -> None:
    assert page_address(None, "/guard") == ""
