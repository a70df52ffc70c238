"""At which addresses the API can be reached. Real sockets, in both families."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from lab.processes import free_port
from qguardarr.api import server
from qguardarr.api.server import Listening, listen
from qguardarr.errors import ConfigError
from tests.support.api_client import KEY, served
from tests.support.api_site import settings

USER, PASSWORD = "ada", "correct horse battery"


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def accepts(host: str, port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), 5.0).close()
        return True
    return False


@contextlib.contextmanager
def listening(host: str, port: int = 0, beside: Listening | None = None) -> Iterator[Listening]:
    found = listen(settings(host=host, port=port), beside)
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def two_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` is in both, as on most machines."""
    real = socket.getaddrinfo

    def both(host: str, *args: Any, **rest: Any) -> Any:
        hosts = ("::1", "127.0.0.1", "::1") if host == "localhost" else (host,)
        return [found for one in hosts for found in real(one, *args, **rest)]

    monkeypatch.setattr(socket, "getaddrinfo", both)


@ipv6
def test_two_colons_are_both_families() -> None:
    with listening("::") as found:
        assert str(found) == f"[::]:{found.port}"
        assert accepts("127.0.0.1", found.port)
        assert accepts("::1", found.port)


@ipv6
@pytest.mark.parametrize(("host", "other"), [("0.0.0.0", "::1"), ("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
def test_any_other_address_is_one_family(host: str, other: str) -> None:
    with listening(host) as found:
        assert accepts("127.0.0.1" if host == "0.0.0.0" else host, found.port)
        assert not accepts(other, found.port)


@ipv6
def test_where_the_kernel_has_no_common_sockets_it_is_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with listening("::") as found:
        assert accepts("::1", found.port)


@ipv6
@pytest.mark.usefixtures("two_families")
def test_a_name_is_all_addresses_that_it_has_at_one_port() -> None:
    with listening("localhost") as found:
        assert str(found) == f"[::1]:{found.port} and 127.0.0.1:{found.port}"
        assert accepts("127.0.0.1", found.port)
        assert accepts("::1", found.port)


@pytest.mark.usefixtures("two_families")
@pytest.mark.parametrize("reason", server.ABSENT)
def test_an_address_of_a_family_that_is_not_there_is_left_out(reason: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.create_server

    def without_ipv6(address: tuple[str, int], **rest: Any) -> socket.socket:
        if rest["family"] == socket.AF_INET6:
            raise OSError(reason, "not here")
        return real(address, **rest)

    monkeypatch.setattr(socket, "create_server", without_ipv6)
    with listening("localhost") as found:
        assert str(found) == f"127.0.0.1:{found.port}"
    with pytest.raises(ConfigError, match=r"global\.host.*not here"), listening("::1"):
        pass


@ipv6
@pytest.mark.usefixtures("two_families")
def test_a_name_is_not_listened_at_by_half() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}"), listening("localhost", port):
            pass
        assert not accepts("::1", port), "what was bound is closed again"


@ipv6
def test_one_address_of_ours_gives_way_to_another_at_the_same_port() -> None:
    hosts = ["127.0.0.1", "::", "0.0.0.0", "::1", "::", "127.0.0.1"]
    port = free_port()
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(listening(hosts[0], port))
        for host in hosts[1:]:
            there = stack.enter_context(listening(host, port, here))
            with pytest.raises(ConfigError), listening(host, port):
                pass
            here.close()
            here = there
        assert accepts("127.0.0.1", port)


@ipv6
def test_a_daemon_on_both_families_knows_ipv4_callers_by_their_usual_addresses(tmp_path: Path) -> None:
    auth = {"username": USER, "password": PASSWORD, "api_key": KEY}
    http = {"trusted_proxies": ["127.0.0.1"]}
    with served(tmp_path, auth=auth, http=http, **{"global": {"host": "::"}}) as api:
        api.daemon.wait_for_log("[::]:")
        answer = api.client.post("/api/v1/session", {"username": USER, "password": "x"}, key=None)
        answer.problem(401)
        api.daemon.wait_for_log("address=127.0.0.1")
        body = {"username": USER, "password": "y"}
        api.client.post("/api/v1/session", body, key=None, headers={"X-Forwarded-For": "192.0.2.77"}).problem(401)
        api.daemon.wait_for_log("address=192.0.2.77")
        url = f"http://[::1]:{api.port}/stats"
        with urllib3.PoolManager(retries=False) as pool:
            assert pool.request("GET", url, headers={"X-Api-Key": KEY, "Connection": "close"}).status == 200
        api.set_up_again(**{"global": {"host": "127.0.0.1"}})
        assert not accepts("::1", api.port)
        assert api.client.get("/stats").status == 200
