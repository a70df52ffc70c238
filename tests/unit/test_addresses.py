"""Which addresses only this machine reaches."""

from __future__ import annotations

import pytest

from qguardarr.addresses import is_loopback


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "::ffff:127.0.0.1", "[::ffff:7f00:1]", "localhost", "LocalHost"],
)
def test_only_this_machine_reaches_them(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.9", "::ffff:192.168.1.9", "nas", "localhost.example", "127.0.0.1.example", ""]
)
def test_others_may_reach_them(host: str) -> None:
    assert not is_loopback(host)
